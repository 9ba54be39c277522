"""The checks of the paper's specification, on the method as it trains."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError
from likewise.methods.text.simcse import Config, SimCSE
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

FIRST = [[1.0, 0.0], [0.0, 1.0]]
SECOND = [[1.0, 0.0], [0.6, 0.8]]
THIRD = [[0.0, 1.0], [1.0, 0.0]]


def supervised(first, second, third=None, **config) -> tuple[SimCSE, Batch]:
    size = len(first)
    method = SimCSE(Config(supervised=True, head=False, **config), TableEncoder(first + second + (third or [])))
    inputs = {"text": texts(*range(size)), "positive": texts(*range(size, 2 * size))}
    if third is not None:
        inputs["negative"] = texts(*range(2 * size, 3 * size))
    return method, Batch(inputs, torch.arange(size) + 40)


def loss(method, batch) -> float:
    return method(batch).loss.item()


def test_two_pairs_worked_out_by_hand():
    assert loss(*supervised(FIRST, SECOND, temperature=0.5)) == pytest.approx(0.27750070, abs=1e-8)
    assert loss(*supervised(FIRST, SECOND, temperature=0.05)) == pytest.approx(1.67759454e-4, rel=1e-6)


def test_hard_negatives_worked_out_by_hand():
    assert loss(*supervised(FIRST, SECOND, THIRD, temperature=0.5)) == pytest.approx(1.00639704, abs=1e-8)


def test_a_weight_on_the_rows_own_hard_negative_worked_out_by_hand():
    weighed = supervised(FIRST, SECOND, THIRD, temperature=0.5, hard_negative_log_weight=math.log(2))
    assert loss(*weighed) == pytest.approx(1.06561582, abs=1e-8)


def test_a_weight_of_one_changes_nothing():
    tiny = supervised(FIRST, SECOND, THIRD, temperature=0.5, hard_negative_log_weight=1e-300)
    assert loss(*tiny) == pytest.approx(loss(*supervised(FIRST, SECOND, THIRD, temperature=0.5)), abs=1e-15)


def test_equal_embeddings_lose_the_logarithm_of_the_number_of_candidates():
    same = [[0.6, 0.8]] * 64
    assert loss(*supervised(same, same)) == pytest.approx(math.log(64), abs=1e-8)
    assert loss(*supervised(same, same, same)) == pytest.approx(math.log(128), abs=1e-8)


def test_one_row_alone_loses_nothing_and_learns_nothing():
    method, batch = supervised(FIRST[:1], SECOND[1:])
    output = method(batch)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(0, abs=1e-12)
    assert not method.encoder.table.grad.any()


def test_lengths_do_not_matter_and_the_gradient_is_across_each_vector():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 5, 3)).tolist()
    method, batch = supervised(first, second, temperature=0.3)
    method(batch).loss.backward()
    scaled, _ = supervised((np.array(first) * 7).tolist(), (np.array(second) * 0.2).tolist(), temperature=0.3)
    assert loss(scaled, batch) == pytest.approx(loss(method, batch), rel=1e-9)
    along = (method.encoder.table.grad * method.encoder.table).sum(1)
    assert_close(along, torch.zeros_like(along), atol=1e-12, rtol=0)


def test_one_direction_only():
    forward, backward = supervised(FIRST, SECOND, temperature=0.5), supervised(SECOND, FIRST, temperature=0.5)
    assert loss(*forward) != pytest.approx(loss(*backward), abs=1e-3)


def test_rows_equal_a_plain_loop():
    generator = np.random.default_rng(1)
    first, second, third = generator.normal(size=(3, 6, 4))
    temperature, weight = 0.2, 0.7
    total = 0.0

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    for i in range(6):
        logits = [cosine(first[i], second[j]) / temperature for j in range(6)]
        hard = [cosine(first[i], third[j]) / temperature + (weight if i == j else 0) for j in range(6)]
        total += -logits[i] + math.log(sum(math.exp(s) for s in logits + hard))
    method, batch = supervised(
        first.tolist(), second.tolist(), third.tolist(), temperature=temperature, hard_negative_log_weight=weight
    )
    assert loss(method, batch) == pytest.approx(total / 6, rel=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    generator = np.random.default_rng(2)
    first, second, third = generator.normal(size=(3, 4, 3)).tolist()
    method, batch = supervised(first, second, third, temperature=0.4, hard_negative_log_weight=0.5)

    def of_table(table):
        return torch.func.functional_call(method, {"encoder.table": table}, (batch,)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


def test_without_dropout_both_views_of_a_sentence_are_the_same_vector(tiny_tower, sentences):
    method = SimCSE(Config(head=False, temperature=0.05), tiny_tower).eval()
    views = method.encoder(method.encoder.tokenizer(sentences).repeat(2))
    first, second = views.chunk(2)
    assert torch.equal(first, second)
    method.train()
    first, second = method.encoder(method.encoder.tokenizer(sentences).repeat(2)).chunk(2)
    assert not torch.equal(first, second)


def test_every_row_draws_its_own_dropout_mask(tiny_tower):
    tiny_tower.train()
    features = tiny_tower(tiny_tower.tokenizer(["the same sentence"]).repeat(4))
    assert len({tuple(row.tolist()) for row in features}) == 4


def test_the_head_is_dropped_without_labels_and_kept_with_them(tiny_tower, sentences):
    dropped = SimCSE(Config(), tiny_tower).eval().embedder()
    assert_close(dropped.encode(sentences), tiny_tower.encode(sentences))
    method = SimCSE(Config(supervised=True), tiny_tower).eval()
    kept = method.embedder()
    with torch.no_grad():
        expected = torch.nn.functional.normalize(method.head(tiny_tower(tiny_tower.tokenizer(sentences))), dim=-1)
    assert_close(kept.encode(sentences, precision="fp32"), expected, rtol=1e-4, atol=1e-5)


def stepped(tower, sentences, micro_batch=None, **config):
    """The output of one step of training on sentences, with its gradients and the random state it leaves."""
    torch.manual_seed(3)
    method = SimCSE(Config(**config), tower).train()
    tower.micro_batch = micro_batch
    method.zero_grad(set_to_none=True)
    torch.manual_seed(4)
    output = method(Batch({"text": tower.tokenizer(sentences)}, torch.arange(len(sentences))))
    output.loss.backward()
    gradients = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    return method, output, gradients, torch.get_rng_state()


def test_without_the_masked_language_loss_there_is_no_head_and_nothing_is_drawn_for_it(tiny_tower, sentences):
    method, output, _, state = stepped(tiny_tower, sentences)
    assert method.mlm is None
    assert output.terms.keys() == {"info_nce"}
    torch.manual_seed(4)
    first, second = method._embed(tiny_tower.tokenizer(sentences).repeat(2)).chunk(2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(method.loss(first, second).mean(), output.loss)
    assert not [name for name in method.state_dict() if name.startswith("mlm")]


def test_the_masked_language_loss_is_added_with_its_weight_and_changes_no_other_term(tiny_tower, sentences):
    _, without, plain, _ = stepped(tiny_tower, sentences)
    method, output, gradients, _ = stepped(tiny_tower, sentences, mlm_weight=0.1)
    _, twice, _, _ = stepped(tiny_tower, sentences, mlm_weight=0.2)
    assert torch.equal(output.terms["info_nce"], without.loss)
    assert torch.equal(output.loss, output.terms["info_nce"] + output.terms["mlm"])
    assert_close(twice.terms["mlm"], 2 * output.terms["mlm"])
    assert output.terms["mlm"].item() == pytest.approx(0.1 * math.log(30522), rel=0.2)  # a fresh head knows nothing
    fresh = {name for name, _ in method.named_parameters() if name.startswith("mlm.head.")}
    assert gradients.keys() == plain.keys() | fresh
    assert len(fresh) == 5
    assert fresh <= method.state_dict().keys()


def test_labels_and_the_masked_language_loss_go_together(tiny_tower, sentences):
    method = SimCSE(Config(supervised=True, mlm_weight=0.1), tiny_tower)
    tokens = tiny_tower.tokenizer(sentences)
    output = method(Batch({"text": tokens, "positive": tokens, "negative": tokens}, torch.arange(len(sentences))))
    assert output.terms.keys() == {"info_nce", "mlm"}
    assert torch.isfinite(output.loss)


def test_both_terms_are_the_same_for_every_micro_batch(sentences):
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=2, max_tokens=32, dropout=0.0))
    _, whole, expected, _ = stepped(tower, sentences, mlm_weight=0.5)
    _, chunked, gradients, _ = stepped(tower, sentences, 3, mlm_weight=0.5)
    assert_close(chunked.terms, whole.terms, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5)


def test_the_masked_language_head_is_not_kept(tiny_tower, sentences):
    method, *_ = stepped(tiny_tower, sentences, mlm_weight=0.1)
    assert not [name for name in method.embedder().state_dict() if "mlm" in name]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mlm_weight": -0.1}, "mlm_weight is -0.1"),
        ({"mlm_weight": 0.1, "mlm_probability": 1.0}, "more than 0 and less than 1"),
    ],
)
def test_settings_of_the_masked_language_loss_that_mean_nothing_are_refused(tiny_tower, settings, says):
    with pytest.raises(InputError, match=says):
        SimCSE(Config(**settings), tiny_tower)


def test_a_masked_language_loss_needs_a_mask_token(tiny_tower):
    tiny_tower.tokenizer.tokenizer.mask_token = None
    SimCSE(Config(), tiny_tower)
    with pytest.raises(InputError, match="has no mask token"):
        SimCSE(Config(mlm_weight=0.1), tiny_tower)


def test_columns_follow_the_supervision():
    assert [c.name for c in SimCSE.columns_for(Config())] == ["text"]
    columns = SimCSE.columns_for(Config(supervised=True))
    assert [(c.name, c.needed) for c in columns] == [
        ("text", "yes"),
        ("positive", "yes"),
        ("negative", "in all rows or in none"),
    ]


def test_triples_of_which_some_lack_the_third_are_refused_before_training(tmp_path):
    rows = [{"text": f"a {i}", "positive": f"b {i}"} for i in range(8)]
    rows[3]["negative"] = "c"
    with pytest.raises(InputError, match=r"^rows\[3\]: column 'negative' has a value, but the rows before have none"):
        likewise.train("simcse", rows, out=tmp_path / "run", supervised=True, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        SimCSE(Config(temperature=0.0), TableEncoder(FIRST))
