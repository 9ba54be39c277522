"""The checks of the paper's specification, on the method as it trains."""

import copy
import itertools
import json
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise.encoders import TextEncoderConfig, Tokens, load_text_encoder
from likewise.errors import InputError
from likewise.methods.text.esimcse import Config, ESimCSE
from likewise.methods.text.simcse import Config as SimCSEConfig
from likewise.methods.text.simcse import SimCSE
from likewise.run_config import RunConfig
from likewise.training.optim import adamw
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

FIRST = [[1.0, 0.0], [0.0, 1.0]]
SECOND = [[1.0, 0.0], [0.6, 0.8]]
QUEUE = [[0.0, 1.0], [-1.0, 0.0]]


def with_table(first, second, queue=(), **config) -> tuple[ESimCSE, Batch]:
    """A method whose towers read off the vectors of the two views, with a queue that holds what is given."""
    size = len(first)
    settings = {"head": False, "repetition_rate": 0.0, "queue_size": 16, **config}
    method = ESimCSE(Config(**settings), TableEncoder(first + second)).double()
    if len(queue):
        method.queue.push(torch.tensor(queue, dtype=torch.float64))
    return method, Batch({"text": texts(*range(size)), "repeated": texts(*range(size, 2 * size))}, torch.arange(size))


def loss(method, batch) -> float:
    return method(batch).loss.item()


def cosine(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_two_pairs_and_a_queue_of_two_worked_out_by_hand():
    assert loss(*with_table(FIRST, SECOND, QUEUE, temperature=0.5)) == pytest.approx(0.76753140, abs=1e-8)
    rows = [
        loss(*with_table(FIRST[i : i + 1], SECOND[i : i + 1], [*SECOND[:i], *SECOND[i + 1 :], *QUEUE], temperature=0.5))
        for i in range(2)
    ]
    assert rows == pytest.approx([0.47186433, 1.06319847], abs=1e-8)


def test_an_empty_queue_leaves_the_loss_of_the_batch():
    assert loss(*with_table(FIRST, SECOND, temperature=0.5)) == pytest.approx(0.27750070, abs=1e-8)


def test_rows_equal_a_plain_loop():
    generator = np.random.default_rng(1)
    first, second, queue = generator.normal(size=(3, 6, 4))
    total, temperature = 0.0, 0.2
    for i in range(6):
        logits = [cosine(first[i], second[j]) / temperature for j in range(6)]
        earlier = [cosine(first[i], key) / temperature for key in queue]
        total += -logits[i] + math.log(sum(math.exp(s) for s in logits + earlier))
    method, batch = with_table(first.tolist(), second.tolist(), queue.tolist(), temperature=temperature)
    assert loss(method, batch) == pytest.approx(total / 6, rel=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    first, second, queue = np.random.default_rng(2).normal(size=(3, 4, 3)).tolist()
    method, batch = with_table(first, second, queue, temperature=0.4, momentum=0.9)

    def of_table(table):
        return torch.func.functional_call(method, {"encoder.table": table}, (batch,)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


def test_the_queue_pushes_queries_away_and_gets_no_gradient_itself():
    without, batch = with_table(FIRST, SECOND, temperature=0.5)
    method, _ = with_table(FIRST, SECOND, [[0.6, 0.8]], temperature=0.5)
    for one in (without, method):
        one(batch).loss.backward()
    changed = (method.encoder.table.grad - without.encoder.table.grad)[:2].norm(dim=1)
    assert (changed > 1e-3).all()
    assert method.queue.keys.grad is None
    assert not method.queue.keys.requires_grad


def test_a_longer_queue_never_lowers_the_loss_of_a_row():
    first, second, queue = np.random.default_rng(3).normal(size=(3, 9, 4)).tolist()
    courses = [
        [loss(*with_table([a], [b], queue[:held], temperature=0.1)) for held in range(10)]
        for a, b in zip(first, second, strict=True)
    ]
    assert all(shorter <= longer for course in courses for shorter, longer in itertools.pairwise(course))
    assert all(course[0] < course[-1] for course in courses)


def test_equal_embeddings_lose_the_logarithm_of_the_number_of_candidates():
    same = [[0.6, 0.8]] * 8
    assert loss(*with_table(same, same, same[:5])) == pytest.approx(math.log(13), abs=1e-8)
    assert loss(*with_table(same[:1], same[:1])) == pytest.approx(0.0, abs=1e-12)


def test_lengths_do_not_matter_and_the_queue_keeps_them():
    first, second, queue = np.random.default_rng(4).normal(size=(3, 5, 3))
    method, batch = with_table(first.tolist(), second.tolist(), queue.tolist(), temperature=0.3)
    scaled, _ = with_table((first * 7).tolist(), (second * 0.2).tolist(), (queue * 3).tolist(), temperature=0.3)
    assert loss(scaled, batch) == pytest.approx(loss(method, batch), rel=1e-9)
    scaled.after_step()
    assert_close(scaled.queue.keys[5:], torch.tensor(first * 7), rtol=1e-9, atol=0)  # not normalised


def test_the_order_of_a_step():
    method, batch = with_table(FIRST, SECOND, momentum=0.75, temperature=0.5)
    table = torch.tensor(FIRST + SECOND, dtype=torch.float64)
    slow, expected = table.clone(), []
    for step in range(3):
        held = len(method.queue)
        assert held == min(2 * step, 16)
        output = method(batch)
        assert output.metrics["queue_filled"] == held
        assert len(method.queue) == held  # the keys of a step are not among its own candidates
        slow = 0.75 * slow + 0.25 * table  # with the weights before the update
        expected += slow[:2].tolist()  # of the sentences as they are, not of the repeated ones
        output.loss.backward()
        with torch.no_grad():
            table = table - 0.1 * method.encoder.table.grad
            method.encoder.table -= 0.1 * method.encoder.table.grad
        method.encoder.table.grad = None
        method.after_step()
        assert_close(method.queue.keys, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)
        assert_close(method.momentum_tower.tower.table, slow, rtol=1e-9, atol=1e-12)
    method.after_step()  # a step's keys enter once
    assert len(method.queue) == 6


def test_without_a_queue_there_is_no_momentum_tower():
    method, batch = with_table(FIRST, SECOND, queue_size=0)
    assert (method.queue, method.momentum_tower) == (None, None)
    output = method(batch)
    method.after_step()
    assert output.metrics == {}
    assert method.state_dict().keys() == {"encoder.table"}


def trained(kind, settings, lr=0.1, steps=3):
    """Losses, gradients of the last step and random state of some steps on the same texts."""
    torch.manual_seed(5)
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=1, max_tokens=32))
    method = kind(settings, tower).train()
    optimiser, views = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=lr), method.views()
    losses = []
    for step in range(steps):
        rows = [{"text": f"sentence number {i} of step {step} {'and more ' * (i % 3)}"} for i in range(6)]
        batch = views.collate([views(row, np.random.default_rng(i)) for i, row in enumerate(rows)], list(range(6)))
        optimiser.zero_grad()
        output = method(batch)
        output.loss.backward()
        optimiser.step()
        method.after_step()
        losses.append(output.loss.detach())
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return method, losses, gradients, torch.get_rng_state()


def test_without_repetition_and_queue_it_is_simcse_to_the_bit():
    _, losses, gradients, state = trained(ESimCSE, Config(repetition_rate=0.0, queue_size=0))
    _, expected, theirs, their_state = trained(SimCSE, SimCSEConfig())
    assert all(map(torch.equal, losses, expected))
    assert gradients.keys() == theirs.keys()
    assert all(torch.equal(gradients[name], theirs[name]) for name in theirs)
    assert torch.equal(state, their_state)


def test_the_queue_draws_nothing_and_changes_the_loss_from_the_second_step_on():
    _, losses, _, state = trained(ESimCSE, Config(repetition_rate=0.0), lr=1e-4)
    _, expected, _, their_state = trained(SimCSE, SimCSEConfig(), lr=1e-4)
    assert torch.equal(losses[0], expected[0])
    assert losses[1] > expected[1] + 0.1
    assert torch.equal(state, their_state)


def test_keys_have_no_dropout_and_the_encoder_goes_on_with_its_own(tiny_tower, sentences):
    method = ESimCSE(Config(momentum=0.0), tiny_tower).train()
    tokens = tiny_tower.tokenizer(sentences)
    batch = Batch({"text": tokens}, torch.arange(len(sentences)))
    keys = []
    for _ in range(2):
        method(batch)
        keys.append(method._keys)
    assert torch.equal(*keys)
    assert method.encoder.training
    assert not torch.equal(tiny_tower(tokens), tiny_tower(tokens))
    with torch.no_grad():
        assert_close(keys[0], method.head(tiny_tower.eval()(tokens)))  # momentum 0: the encoder's own


def test_the_momentum_tower_is_not_trained_and_not_kept(tiny_tower, sentences):
    method = ESimCSE(Config(), tiny_tower).train()
    optimised = {id(p) for group in adamw(method, RunConfig.resolve("esimcse", {}).training).param_groups
                 for p in group["params"]}  # fmt: skip
    slow = list(method.momentum_tower.parameters())
    assert len(slow) == len(list(method.encoder.parameters()))
    assert not any(p.requires_grad or id(p) in optimised for p in slow)
    method(Batch({"text": tiny_tower.tokenizer(sentences)}, torch.arange(len(sentences)))).loss.backward()
    assert all(p.grad is None for p in slow)
    kept = method.eval().embedder()
    assert_close(kept.encode(sentences), tiny_tower.encode(sentences))  # no head, no slow weights
    assert method.start().fingerprint == tiny_tower.served().fingerprint


@pytest.mark.parametrize("rate", [0.0, 0.9])
def test_only_the_second_view_is_longer(tiny_tower, sentences, rate):
    views = ESimCSE(Config(repetition_rate=rate), tiny_tower).views()
    examples = [views({"text": text}, np.random.default_rng(i)) for i, text in enumerate(sentences)]
    batch = views.collate(examples, list(range(len(sentences))))
    plain: Tokens = tiny_tower.tokenizer(sentences)
    assert torch.equal(batch["text"].ids, plain.ids)
    assert ("repeated" in batch) == bool(rate)
    if rate:
        assert (batch["repeated"].lengths >= plain.lengths).all()
        assert (batch["repeated"].lengths > plain.lengths).any()


@pytest.mark.parametrize(("unit", "floor", "longer"), [("token", None, 0), ("token", 2, 1), ("word", None, 1)])
def test_short_texts_are_repeated_where_the_floor_says_so(tiny_tower, unit, floor, longer):
    views = ESimCSE(Config(repetition_unit=unit, repetition_floor=floor), tiny_tower).views()
    examples = [views({"text": "old house"}, np.random.default_rng(i)) for i in range(60)]
    batch = views.collate(examples, list(range(60)))
    assert int((batch["repeated"].lengths - batch["text"].lengths).max()) == longer


def test_the_loss_is_the_same_for_every_micro_batch(sentences):
    outputs = []
    for micro_batch in (None, 3):
        torch.manual_seed(3)
        tower = load_text_encoder(TextEncoderConfig(encoder_layers=2, max_tokens=32, dropout=0.0))
        method = ESimCSE(Config(), tower).train()
        tower.micro_batch = method.momentum_tower.tower.micro_batch = micro_batch
        views = method.views()
        examples = [views({"text": text}, np.random.default_rng(i)) for i, text in enumerate(sentences)]
        batch = views.collate(examples, list(range(len(sentences))))
        for _ in range(2):  # the second step has the keys of the first in its loss
            output = method(batch)
            method.after_step()
        output.loss.backward()
        outputs.append((output.loss.detach(), {n: p.grad for n, p in method.named_parameters() if p.grad is not None}))
    (whole, expected), (chunked, gradients) = outputs
    assert_close(chunked, whole, rtol=1e-5, atol=1e-6)
    for name, gradient in expected.items():
        assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5)


def test_a_copy_goes_on_alike():
    method, batch = with_table(FIRST, SECOND, QUEUE)
    twin = copy.deepcopy(method)
    for one in (method, twin):
        one(batch)
        one.after_step()
    assert torch.equal(method.queue.keys, twin.queue.keys)
    assert method.queue.keys.data_ptr() != twin.queue.keys.data_ptr()


def test_a_file_of_lines_becomes_a_model_that_sentence_transformers_opens_with_equal_vectors(tmp_path, capsys):
    from sentence_transformers import SentenceTransformer

    from likewise.cli import main

    notes = tmp_path / "notes.txt"
    notes.write_text("".join(f"note number {i} says {'something ' * (i % 5)}new\n" for i in range(40)))
    words = ["train", "esimcse", "--data", notes, "--out", tmp_path / "run", "--steps", "4", "--batch-size", "8",
             "--encoder-layers", "1", "--queue-size", "20", "--json"]  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["training"]["steps"] == 4
    log = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    filled = [float(line.split(",")[log[0].split(",").index("queue_filled")]) for line in log[1:]]
    assert filled == [0, 8, 16, 20]
    ours = likewise.load(tmp_path / "run").encode(["a note", "another one"], precision="fp32")
    theirs = SentenceTransformer(str(tmp_path / "run"), device="cpu").encode(["a note", "another one"])
    assert_close(ours, torch.from_numpy(theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"repetition_rate": 1.0}, "the rate of repetition is 1.0; it is a share"),
        ({"repetition_rate": -0.1}, "the rate of repetition is -0.1"),
        ({"repetition_cap": 0}, "cap and floor of the repetition are 0 and 0"),
        ({"momentum": 1.0}, "momentum is 1.0; it is the weight of the old value"),
        ({"momentum": -0.5}, "momentum is -0.5"),
        ({"queue_size": -1}, "the size of the queue is -1"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"max_tokens": 510}, "max_tokens is 510 .* 9 tokens longer, but the encoder reads 512 .* --max-tokens 503"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(settings, says):
    config = RunConfig.resolve("esimcse", {"encoder_layers": 1, **settings})
    with pytest.raises(ValueError, match=says):
        ESimCSE.build(config.settings, config.encoder)


def test_an_unknown_unit_is_refused():
    with pytest.raises(InputError, match="repetition_unit is 'letter'"):
        RunConfig.resolve("esimcse", {"repetition_unit": "letter"})


def test_a_text_without_any_token_is_named(tmp_path):
    rows = [{"text": f"sentence {i}"} for i in range(8)]
    rows[3]["text"] = "\u200b"
    with pytest.raises(InputError, match=r"^row 3: column 'text' is .* leaves no token"):
        likewise.train("esimcse", rows, out=tmp_path / "run", batch_size=8, encoder_layers=1, progress=False)
