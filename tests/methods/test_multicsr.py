"""The checks of the paper's specification, on the method as it prepares its rows and as it trains."""

import json
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import likewise
from generators.language_models import save_language_model
from generators.server import served
from likewise.data import Stages, open_table
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError, RunError
from likewise.methods.text import multicsr
from likewise.methods.text.multicsr import FROZEN, Config, MultiCSR
from likewise.methods.text.simcse import Config as SimCSEConfig
from likewise.methods.text.simcse import SimCSE
from likewise.run_config import RunConfig
from likewise.training.optim import adamw
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch, minilm):
    """The frozen encoder is the same for all tests; loading it would be most of their time."""
    load = multicsr.load_text_encoder
    monkeypatch.setattr(
        multicsr, "load_text_encoder", lambda name: minilm if name == "all-MiniLM-L6-v2" else load(name)
    )


TRAINING = {"encoder_layers": 1, "max_tokens": 16, "batch_size": 4, "steps": 2, "precision": "fp32"}


def unit(*shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


def with_table(size: int, seed: int = 0, **config) -> tuple[MultiCSR, Batch]:
    """A method whose tower reads off random vectors, and a batch with random vectors of a frozen encoder."""
    rows = range(size)
    method = MultiCSR(Config(head=False, **config), TableEncoder(unit(3 * size, 4, seed=seed).tolist())).double()
    inputs = {name: texts(*(k * size + i for i in rows)) for k, name in enumerate(("text", "positive", "negative"))}
    frozen = {name: unit(size, 3, seed=seed + k + 1).float() for k, name in enumerate(FROZEN)}
    return method, Batch({**inputs, **frozen}, torch.arange(size))


@pytest.mark.parametrize("objective", ["masked", "official"])
def test_rows_equal_a_plain_loop(objective):
    size, phi, temperature = 5, 0.3, 0.2
    method, batch = with_table(size, phi=phi, temperature=temperature, objective=objective)
    z, r = method.encoder.table.detach(), torch.cat([batch[name] for name in FROZEN]).double()
    total, masked = 0.0, 0
    for i in range(size):
        kept = [i == j or float(r[i] @ r[size + j]) <= phi for j in range(2 * size)]
        logits = [float(z[i] @ z[size + j]) / temperature for j in range(2 * size)]
        masked += 2 * size - sum(kept)
        if objective == "masked":
            total += -logits[i] + math.log(math.fsum(math.exp(s) for s, k in zip(logits, kept, strict=True) if k))
        else:
            e = [math.exp(s) if k else 1.0 for s, k in zip(logits, kept, strict=True)]
            p = [one / math.fsum(e) for one in e]
            others = math.fsum(math.log(1 - p[j]) for j in range(2 * size) if j != i)
            total -= (math.log(p[i]) + others) / (2 * size)
    output = method(batch)
    assert 0 < masked < 2 * size**2
    assert output.loss.item() == pytest.approx(total / size, rel=1e-9)
    assert float(output.metrics["masked"]) == pytest.approx(masked / (size * (2 * size - 1)))
    assert list(output.terms) == [{"masked": "info_nce", "official": "bce"}[objective]]


@pytest.mark.parametrize("objective", ["masked", "official"])
def test_the_gradient_is_that_of_finite_differences(objective):
    method, batch = with_table(4, phi=0.2, temperature=0.4, objective=objective)

    def of_table(table):
        return torch.func.functional_call(method, {"encoder.table": table}, (batch,)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


def test_at_phi_minus_1_only_the_positive_remains():
    method, batch = with_table(5, phi=-1.0)
    output = method(batch)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(0.0, abs=1e-12)
    assert method.encoder.table.grad.abs().max() < 1e-12
    assert output.metrics["masked"] == 1.0


def test_without_a_mask_it_is_supervised_simcse_to_the_bit():
    rows = [
        {"text": f"number {i}", "positive": f"the number {i}", "negative": f"no number but {9 - i}"} for i in range(6)
    ]
    losses = []
    for kind, config in (
        (SimCSE, SimCSEConfig(supervised=True)), (MultiCSR, Config(phi=1.0)), (MultiCSR, Config(mask=False)),
    ):  # fmt: skip
        torch.manual_seed(5)
        method = kind(config, load_text_encoder(TextEncoderConfig(encoder_layers=1, max_tokens=32))).train()
        views = method.views()
        batch = views.collate([views(row, np.random.default_rng(i)) for i, row in enumerate(rows)], list(range(6)))
        output = method(batch)
        output.loss.backward()
        losses.append((output.loss.detach(), method.head.linear.weight.grad))
        assert "masked" not in output.metrics
    for loss, gradient in losses[1:]:
        assert torch.equal(loss, losses[0][0])
        assert torch.equal(gradient, losses[0][1])


ROWS = [
    ("a man plays the guitar", "a man is playing a guitar", "the train leaves at noon"),
    ("two dogs run over a field", "the bread is in the oven", "two dogs are running across a field"),  # swapped
    ("a woman slices an onion", "a woman is cutting an onion", "a woman is slicing an onion"),  # negative: a paraphrase
    ("a boy jumps into a lake", "prices rose in march", "the moon is full tonight"),  # neither follows
    ("a cat sleeps on a sofa", "a cat is asleep on the couch", "the ship has left the harbour"),
    ("children play in the snow", "kids are playing in snow", "he repaired the old engine"),
    ("a chef cooks a meal", None, "the library is closed"),
]


def table_of(rows=ROWS, scores=None, names=("text", "positive", "negative")):
    made = [dict(zip(names, row, strict=True)) for row in rows]
    for row, pair in zip(made, scores or [], strict=False):
        row |= dict(zip(("positive_score", "negative_score"), pair, strict=True))
    return open_table(made, columns=MultiCSR.columns)


def prepared(folder, table, tower, said=None, **config):
    return MultiCSR(Config(**config), tower).prepare(table, Stages(folder, None if said is None else said.append))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_triples_are_scored_curated_and_looked_at_a_file_for_each_stage(tmp_path, tiny_tower, minilm):
    said: list[str] = []
    table = prepared(tmp_path, table_of(), tiny_tower, said)
    assert [row["text"] for row in table] == [ROWS[i][0] for i in (0, 1, 4, 5)]
    assert (table[1]["positive"], table[1]["negative"]) == (ROWS[1][2], ROWS[1][1])
    assert said == [
        "curation: kept 4 of 7 triples (1 of them swapped); dropped 1 without a positive or a negative, 1 whose "
        "positive scores too low, 1 whose negative scores too high (prepared/curated.jsonl, prepared/dropped.jsonl)"
    ]
    curated, dropped = lines(tmp_path / "curated.jsonl"), lines(tmp_path / "dropped.jsonl")
    assert [row["why"] for row in curated] == ["kept", "kept, with positive and negative swapped", "kept", "kept"]
    assert all(row["positive_score"] >= 3 >= row["negative_score"] for row in curated)
    assert [row["dropped"] for row in dropped] == ["above_beta", "below_alpha", "incomplete"]
    assert dropped[0]["why"].startswith("dropped: the lower score 4.")
    manifest = json.loads((tmp_path / "curation.json").read_text())
    assert manifest["rule"] == {"alpha": 3.0, "beta": 3.0, "gap": True}
    assert manifest["counts"]["kept"] == 4
    made_from = json.loads((tmp_path / "frozen.parquet.from.json").read_text())
    assert made_from["frozen"] == "all-MiniLM-L6-v2"
    assert made_from["frozen_fingerprint"] == minilm.served().fingerprint
    assert {path.name for path in tmp_path.glob("[!.]*.*") if not path.name.endswith("from.json")} == {
        "scored.jsonl", "curated.jsonl", "dropped.jsonl", "curation.json", "frozen.parquet",
    }  # fmt: skip


def test_another_rule_scores_nothing_again_and_the_curated_file_trains_any_method(tmp_path, tiny_tower, monkeypatch):
    prepared(tmp_path, table_of(), tiny_tower)
    monkeypatch.setattr("likewise.generators.EncoderScorer.score", None)
    assert len(prepared(tmp_path, table_of(), tiny_tower, alpha=0.0, beta=5.0)) == 6
    assert len(prepared(tmp_path, table_of(), tiny_tower, rule=13)) == 4
    likewise.train("simcse", str(tmp_path / "curated.jsonl"), out=tmp_path / "run", supervised=True, progress=False,
                   **TRAINING)  # fmt: skip


def test_the_rows_own_scores_are_taken(tmp_path, tiny_tower):
    scores = [(4, 1), (1, 4), (3, 3), (2.9, 1), (5, 3.1), (3.0, 2.9), (5, 0)]
    table = prepared(tmp_path, table_of(scores=scores), tiny_tower)
    assert [row["text"] for row in table] == [ROWS[i][0] for i in (0, 1, 5)]
    assert not (tmp_path / "scored.jsonl").exists()
    assert len(prepared(tmp_path, table_of(scores=scores), tiny_tower, scorer="encoder")) == 4
    with pytest.raises(InputError, match=r"^rows\[1\]: column 'negative_score' is 5.5; a score is 0 to 5"):
        prepared(tmp_path, table_of(scores=[(4, 1), (1, 5.5)]), tiny_tower)


def test_stages_can_be_left_out(tmp_path, tiny_tower):
    said: list[str] = []
    plain = prepared(tmp_path / "a", table_of(), tiny_tower, said, curate=False, mask=False)
    assert (len(plain), plain.column_names) == (6, ["text", "positive", "negative"])
    assert said == ["1 of 7 rows lack a positive or a negative and are left out"]
    whole = table_of(ROWS[:6])
    assert prepared(tmp_path / "b", whole, tiny_tower, curate=False, phi=1.0) is whole
    assert len(prepared(tmp_path / "c", whole, tiny_tower, curate=False)) == 6
    assert not (tmp_path / "c" / "curated.jsonl").exists()


def test_frozen_vectors_have_no_dropout_and_equal_texts_are_masked_off_the_diagonal(tmp_path, tiny_tower):
    rows = [("a red kite", "a red kite", "b"), ("a red kite", "a red kite", "d"), ("a warm loaf", "fresh bread", "f")]
    table = prepared(tmp_path, table_of(rows), tiny_tower, curate=False)
    vectors = torch.tensor([[row[name] for name in FROZEN] for row in table])
    assert_close(vectors.norm(dim=2), torch.ones(3, 3))
    assert torch.equal(vectors[0, 0], vectors[1, 1])
    method = MultiCSR(Config(), tiny_tower).train()
    views = method.views()
    batch = views.collate([views(row, np.random.default_rng(i)) for i, row in enumerate(table)], [0, 1, 2])
    assert method(batch).metrics["masked"].item() == pytest.approx(2 / (3 * 5))  # (0, 1) and (1, 0)


def test_the_frozen_encoder_is_no_part_of_the_method(tiny_tower):
    method = MultiCSR(Config(), tiny_tower)
    assert {name.split(".")[0] for name in method.state_dict()} == {"encoder", "head"}
    optimised = sum(p.numel() for group in adamw(method, RunConfig.resolve("multicsr", {}).training).param_groups
                    for p in group["params"])  # fmt: skip
    trained = [p for p in (*tiny_tower.parameters(), *method.head.parameters()) if p.requires_grad]
    assert optimised == sum(p.numel() for p in trained)
    assert_close(method.eval().embedder().encode(["a"]), tiny_tower.encode(["a"]))  # without the head


def test_an_encoder_that_finds_everything_alike_is_told(tmp_path, tiny_tower):
    said: list[str] = []
    prepared(tmp_path, table_of(ROWS[:6]), tiny_tower, said, curate=False, phi=-0.5)
    (warning,) = said
    assert warning.startswith("warning: all-MiniLM-L6-v2 finds 100% of all pairs more alike than phi -0.5")


def test_a_rule_that_overlaps_is_told(tmp_path, tiny_tower):
    said: list[str] = []
    prepared(tmp_path, table_of(), tiny_tower, said, alpha=2.0, beta=4.0, gap=False)
    assert said[0].startswith("the rule keeps positives from 2 and negatives up to 4: one score may make both")


def test_nothing_left_is_an_error_with_the_counts(tmp_path, tiny_tower):
    with pytest.raises(InputError, match=r"no triple is left to train on: kept 0 of 7 triples .*1 without a positive"):
        prepared(tmp_path, table_of(), tiny_tower, alpha=5.0, beta=0.0)
    assert len(lines(tmp_path / "dropped.jsonl")) == 7


def test_rows_without_positives_ask_for_a_generator(tmp_path, tiny_tower):
    with pytest.raises(InputError, match=r"brings no positive and no negative; .* --generator"):
        prepared(tmp_path, open_table([{"text": "a"}], columns=MultiCSR.columns), tiny_tower)


def test_a_language_model_of_this_machine_writes_what_rows_lack(tmp_path, tiny_tower):
    generator = save_language_model(tmp_path / "model", "t5")
    settings = {"generator": generator, "generator_tokens": 4, "generator_batch": 3, "plausibility": 0.0}
    rows = [{"text": row[0], "positive": row[1] if i < 2 else None} for i, row in enumerate(ROWS)]
    table = open_table(rows, columns=MultiCSR.columns)
    made = prepared(tmp_path / "out", table, tiny_tower, curate=False, mask=False, contrast=9.0, **settings)
    generated = lines(tmp_path / "out" / "generated.jsonl")
    assert [row["text"] for row in generated] == [row[0] for row in ROWS]
    assert [row["positive"] for row in generated[:2]] == [row[1] for row in ROWS[:2]]
    assert len(made) == sum(bool(row["positive"] and row["negative"]) for row in generated) > 2
    other = prepared(tmp_path / "plain", table, tiny_tower, curate=False, mask=False, contrast=0.0, **settings)
    assert [row["negative"] for row in other] != [row["negative"] for row in made]
    with pytest.raises(InputError, match=r"no triple is left .* without a valid score"):  # it cannot count to five
        prepared(tmp_path / "out", table, tiny_tower, **settings)


def replied(prompt: str) -> str:
    """A language model that can do it: it shouts for a positive, and scores what is shouted as alike."""
    sentence = prompt.splitlines()[-1]
    if sentence.startswith("Score"):
        first, second = sentence.split("(a) ")[1].split(" (b) ")
        return "4.5" if first.upper() == second else "0.5"
    text = sentence.split("'")[1]
    return f"'{text.upper()}'" if "entailment" in sentence else f"'never {len(text)}'"


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LIKEWISE_CACHE", str(tmp_path / "cache"))


def test_bare_sentences_and_an_endpoint_make_a_model(tmp_path, own_cache, monkeypatch, capsys):
    from likewise.cli import main

    def run(*more):
        words = ["train", "multicsr", "--data", tmp_path / "notes.txt", "--out", tmp_path / "run", "--generator",
                 "endpoint:small", "--endpoint-url", server.url, "--generator-batch", "4", "--workers", "0",
                 *(word for name, value in TRAINING.items() for word in (f"--{name.replace('_', '-')}", value)),
                 *more]  # fmt: skip
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return end.value.code, capsys.readouterr().err

    (tmp_path / "notes.txt").write_text("".join(f"note number {i}\n" for i in range(10)))
    with served(reply=replied) as server:
        code, err = run("--token-limit", "100")
        assert code == 1
        assert "small would be sent 20 requests, about 2,7" in err
        assert not server.asked
        code, err = run("--token-limit", "20000", "--price-in", "2", "--price-out", "8")
        assert code == 0, err
        assert len(server.asked) == 40  # two to write, two to score
        assert len(set(server.prompts)) == 40
        assert "writing: 20 requests, about 2,7" in err
        assert "in the currency of your prices" in err
        assert "curation: kept 10 of 10 triples (0 of them swapped)" in err
        generated = lines(tmp_path / "run" / "prepared" / "generated.jsonl")
        assert generated[3] == {"text": "note number 3", "positive": "NOTE NUMBER 3", "negative": "never 13"}
        code, err = run("--token-limit", "5", "--resume")  # done already: nothing is asked
        assert (code, len(server.asked)) == (0, 40)


def test_a_generation_that_breaks_off_goes_on_sentence_by_sentence(tmp_path, own_cache, tiny_tower):
    table = open_table([{"text": f"note number {i}"} for i in range(10)], columns=MultiCSR.columns)
    answered = []

    def reply(prompt):
        answered.append(prompt)
        if len(answered) == 12:
            server.failures += [401] * 99
        return replied(prompt)

    with served(reply=reply) as server:
        settings = {"generator": "endpoint:small", "endpoint_url": server.url, "generator_batch": 2, "curate": False}
        with pytest.raises((InputError, RunError), match="the endpoint refuses the key"):
            prepared(tmp_path / "out", table, tiny_tower, **settings)
        half = lines(tmp_path / "out" / ".generated.jsonl.writing")
        assert 4 <= len(half) < 10
        server.failures.clear()
        said: list[str] = []
        prepared(tmp_path / "out", table, tiny_tower, said, **settings)
    assert said[0] == f"generated: going on behind {len(half)} rows that are there already"
    assert len(answered) == len(set(answered)) == 20
    assert len(lines(tmp_path / "out" / "generated.jsonl")) == 10


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"phi": 1.01}, r"phi is 1.01; it is a cosine"),
        ({"phi": -1.5}, r"phi is -1.5"),
        ({"alpha": 6.0}, r"alpha is 6.0; it is a score of similarity, 0 to 5"),
        ({"beta": -1.0}, r"beta is -1.0"),
        ({"rule": 19}, r"rule is 19; official rules are numbered 2 to 18"),
        ({"scorer": "generator"}, r"the scorer is the generator, and there is none"),
        ({"endpoint_url": "http://x/v1"}, r"endpoint_url is given, and the generator is none behind an endpoint"),
        ({"endpoint_url": "http://x/v1", "generator": "model"}, r"endpoint_url is given"),
        ({"generator": "endpoint:m", "contrast": 0.5}, r"an endpoint does not show the logits"),
        ({"generator": "m", "contrast": -1.0}, r"beta of contrastive decoding is -1.0"),
        ({"generator": "m", "plausibility": 2.0}, r"gamma of contrastive decoding is 2.0"),
        ({"generator_batch": 0}, r"generator_batch is 0"),
        ({"generator_tokens": 0}, r"generator_tokens 0; both are at least 1"),
        ({"objective": "other"}, r"objective is 'other'"),
        ({"temperature": 0.0}, r"temperature is 0.0"),
        ({"frozen": "no-such-model"}, r"unknown model or folder 'no-such-model'"),
        ({"generator": "no/such-model"}, r"cannot load the language model 'no/such-model'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(settings, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        likewise.train("multicsr", [dict(zip(("text", "positive", "negative"), row, strict=True)) for row in ROWS[:2]],
                       out=tmp_path / "run", progress=False, **TRAINING, **settings)  # fmt: skip
    assert not (tmp_path / "run").exists()
