"""The checks of the paper's specification, on the method as it trains."""

import json
import math

import numpy as np
import pytest
import torch

import likewise
from likewise.data import Stages, open_table
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError
from likewise.methods.text.debcse import Config, DebCSE
from likewise.methods.text.simcse import Config as SimCSEConfig
from likewise.methods.text.simcse import SimCSE
from likewise.run_config import RunConfig
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

SMALL = {"encoder_layers": 1, "max_tokens": 24, "batch_size": 6, "precision": "fp32", "lr": 1e-3, "progress": False}
SENTENCES = [
    f"{who} {does} {what} {where}"
    for who in ("a man", "the old man", "a woman")
    for does, what in (("plays", "a guitar"), ("is not playing", "the guitar"), ("eats", "bread"))
    for where in ("at home", "in the park", "")
]
SIZE, NEGATIVES, TEMPERATURE, THRESHOLD = 4, 3, 0.3, 0.5


def vectors_of(rows, dim, seed):
    values = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=1)


def with_table(size=SIZE, negatives=NEGATIVES, seed=0, **config):
    """A method whose tower reads off vectors, and a batch with judging vectors and weights."""
    table = torch.randn(2 * size + negatives, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    settings = {"head": False, "temperature": TEMPERATURE, **config}
    method = DebCSE(Config(**settings), TableEncoder(table.tolist())).double()
    weights = torch.linspace(0.5, 2.0, size + negatives, dtype=torch.float64)
    inputs = {
        "text": texts(*range(size)),
        "positive": texts(*range(size, 2 * size)),
        "text_vector": vectors_of(size, 2, seed + 1),
        "positive_vector": vectors_of(size, 2, seed + 2),
        "positive_weight": weights[:size],
        "positive_surface": torch.ones(size),
        "threshold": THRESHOLD,
    }
    if negatives:
        inputs |= {
            "negative": texts(*range(2 * size, 2 * size + negatives)),
            "negative_vector": vectors_of(negatives, 2, seed + 3),
            "negative_weight": weights[size:],
        }
    return method, Batch(inputs, torch.arange(size))


def by_loop(method, batch, *, mask=True, weigh=False):
    """The objective of the module, over plain numbers."""
    table = torch.nn.functional.normalize(method.encoder.table.detach(), dim=1).tolist()
    size, columns = len(batch), table[len(batch) :]
    judged = [*batch["positive_vector"].tolist(), *batch.inputs.get("negative_vector", torch.empty(0, 2)).tolist()]
    weights = [1.0] * size + batch.inputs.get("negative_weight", torch.empty(0)).tolist()
    total = 0.0
    for i in range(size):
        scores = [sum(a * b for a, b in zip(table[i], column, strict=True)) / TEMPERATURE for column in columns]
        denominator = 0.0
        for j, score in enumerate(scores):
            alike = sum(a * b for a, b in zip(batch["text_vector"][i].tolist(), judged[j], strict=True))
            if j == i or not mask or alike <= THRESHOLD:
                denominator += math.exp(score) * (weights[j] if weigh else 1.0)
        row = math.log(denominator) - scores[i]
        total += row * (float(batch["positive_weight"][i]) if weigh else 1.0)
    return total / size


@pytest.mark.parametrize("negatives", [0, NEGATIVES])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("weighting", ["sampling", "loss"])
def test_the_loss_equals_a_plain_loop(negatives, mask, weighting):
    method, batch = with_table(negatives=negatives, mask=mask, weighting=weighting)
    expected = by_loop(method, batch, mask=mask, weigh=weighting == "loss")
    assert method(batch).loss.item() == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    method, batch = with_table(weighting="loss")

    def of_table(table):
        return torch.func.functional_call(method, {"encoder.table": table}, (batch,)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


def test_a_foreign_negative_that_is_the_text_itself_is_masked_and_the_own_positive_never():
    method, batch = with_table(seed=4)
    batch.inputs["negative_vector"][0] = batch["text_vector"][1]
    batch.inputs["positive_vector"][:] = batch["text_vector"]  # the own positive is as alike as can be
    loss = method(batch).loss
    assert loss.item() == pytest.approx(by_loop(method, batch), rel=1e-9)
    with torch.no_grad():
        before = method(batch).loss
        method.encoder.table[2 * SIZE] = 3 * method.encoder.table[1]  # what row 1 would be told from
        others = by_loop(method, batch)
    assert method(batch).loss.item() == pytest.approx(others, rel=1e-9)
    batch.inputs["negative_vector"][:] = batch["text_vector"][1]
    batch.inputs["positive_vector"][:] = batch["text_vector"][1]
    batch.inputs["text_vector"][:] = batch["text_vector"][1]
    assert method(batch).loss.item() == pytest.approx(0.0, abs=1e-12)
    assert before.isfinite()


def test_a_threshold_above_one_masks_nothing():
    method, batch = with_table()
    batch.inputs["threshold"] = 1.2
    assert method(batch).loss.item() == pytest.approx(by_loop(method, batch, mask=False), rel=1e-9)


def prepared(folder, sentences=SENTENCES, said=None, layers=1, **settings):
    torch.manual_seed(5)
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=layers, max_tokens=32))
    method = DebCSE(Config(**settings), tower)
    table = open_table([{"text": text} for text in sentences], columns=DebCSE.columns)
    method.prepare(table, Stages(folder, None if said is None else said.append))
    return method


def steps_of(method, views, sentences=SENTENCES, steps=3):
    """Losses, gradients of the last step and random state of some steps on the same texts."""
    torch.manual_seed(6)
    optimiser = torch.optim.SGD([p for p in method.train().parameters() if p.requires_grad], lr=0.1)
    losses = []
    for step in range(steps):
        rows = [(7 * step + i) % len(sentences) for i in range(6)]
        made = [views({"text": sentences[row]}, np.random.default_rng([0, step, row])) for row in rows]
        optimiser.zero_grad()
        output = method(views.collate(made, rows))
        output.loss.backward()
        optimiser.step()
        losses.append(output.loss.detach())
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return losses, gradients, torch.get_rng_state()


@pytest.mark.parametrize(
    "settings",
    [{"copies": 1.0, "mask": False}, {"copies": 0.0, "positive_threshold": 1.1}],
    ids=["copies", "threshold"],
)
def test_copies_alone_are_simcse_to_the_bit(tmp_path, settings):
    method = prepared(tmp_path, hard_negatives=False, **settings)
    losses, gradients, state = steps_of(method, method.views())
    torch.manual_seed(5)
    simcse = SimCSE(SimCSEConfig(), load_text_encoder(TextEncoderConfig(encoder_layers=1, max_tokens=32)))
    expected, theirs, their_state = steps_of(simcse, simcse.views())
    assert all(map(torch.equal, losses, expected))
    assert gradients.keys() == theirs.keys()
    assert all(torch.equal(gradients[name], theirs[name]) for name in theirs)
    assert torch.equal(state, their_state)


def test_what_is_prepared_can_be_read(tmp_path):
    sentences = [*SENTENCES, SENTENCES[0].upper()]
    prepared(tmp_path, sentences, hard_negatives=True)
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [row["text"] for row in pairs] == sentences
    report = {row["pairs"]: row for row in map(json.loads, (tmp_path / "report.jsonl").read_text().splitlines())}
    own = [row for row in pairs if row["positive_source"] == "copy"]
    assert 0 < len(own) / len(pairs) == pytest.approx(report["positive"]["without"])
    assert all(row["positive"] == row["text"] and row["positive_surface"] == 1 for row in own)
    for row in pairs:
        assert row["positive_source"] == "copy" or row["positive"].lower() != row["text"].lower()
        assert row["negative"].lower() != row["text"].lower()  # never a copy of it
        assert 0 < row["negative_weight"] <= 1
        assert row["negative_semantic"] < row["positive_semantic"]
    assert report["positive"]["surface"] < report["copy"]["surface"]
    assert report["positive"]["semantic"] > report["negative"]["semantic"]


def test_preparing_again_makes_nothing_again_unless_something_changed(tmp_path, monkeypatch):
    from likewise.methods.text import debcse

    made = []
    monkeypatch.setattr(debcse, "find_candidates", lambda *args, **kw: made.append(1) or likewise_find(*args, **kw))
    likewise_find = likewise.sampling.find_candidates
    said = []
    for settings in ({}, {}, {"epsilon": 0.5}, {"nearest_candidates": 9}):
        prepared(tmp_path, said=said, **settings)
    assert len(made) == 2
    assert sum("go through the scorer" in line for line in said) == 1


def test_the_scorer_may_be_another_encoder(tmp_path):
    method = prepared(tmp_path / "own")
    other = load_text_encoder(TextEncoderConfig(encoder_layers=2))
    other.served().save(tmp_path / "scorer")
    judged = prepared(tmp_path / "other", scorer=str(tmp_path / "scorer"))
    vectors = [np.load(one.views().vectors) for one in (method, judged)]
    assert vectors[0].shape == vectors[1].shape == (len(SENTENCES), 384)
    np.testing.assert_allclose(vectors[1], other.encode(SENTENCES, precision="fp32"), atol=1e-5)
    assert not np.allclose(*vectors, atol=1e-2)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({"positive_threshold": 1.0}, "positive"), ({"negative_threshold": -0.5}, "negative")],
)
def test_thresholds_that_leave_nothing_are_said_to(tmp_path, settings, kind):
    said = []
    prepared(tmp_path, said=said, **settings)
    warnings = [line for line in said if "warning" in line]
    assert len(warnings) == 1
    assert f"no sentence has a {kind}" in warnings[0]
    assert f"--{kind}-threshold" in warnings[0]


def test_nothing_is_said_to_be_missing_that_was_not_asked_for(tmp_path):
    said = []
    prepared(tmp_path, said=said, positive_threshold=1.1, hard_negatives=False)
    assert not [line for line in said if "warning" in line]


def test_a_refreshed_scorer_judges_anew_and_training_goes_on(tmp_path):
    out = tmp_path / "run"
    rows = [{"text": text} for text in SENTENCES]
    model = likewise.train("debcse", rows, out=out, refresh=1, steps=3, scorer=None, **SMALL)
    first, second = (np.load(folder / "prepared" / "vectors.npy") for folder in (out / "round-1", out))
    assert not np.allclose(first, second, atol=1e-3)
    (out / "likewise.json").unlink()
    again = likewise.train("debcse", rows, out=out, refresh=1, steps=3, scorer=None, resume=True, **SMALL)
    assert again.fingerprint == model.fingerprint


def test_a_file_of_lines_becomes_a_model_that_tells_its_bias(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("\n".join(SENTENCES))
    likewise.train("debcse", str(notes), out=tmp_path / "run", steps=2, **SMALL)
    assert (tmp_path / "run" / "prepared" / "pairs.jsonl").exists()
    result = likewise.use(tmp_path / "run", "bias")
    assert [row["pairs"] for row in result.rows] == ["positive", "negative", "random", "copy"]
    assert result.figures == {}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"copies": 1.5}, "copies is 1.5; it is a chance"),
        ({"refresh": -1}, "refresh is -1"),
        ({"epsilon": 0.0}, "epsilon is 0.0; it is more than 0"),
        ({"positive_temperature": 0.0}, "a temperature of the sampler is 0.0"),
        ({"negative_temperature": -1.0}, "a temperature of the sampler is -1.0"),
        ({"max_weight": 0.0}, "max_weight is 0.0"),
        ({"positive_threshold": 0.5, "negative_threshold": 0.6}, "a pair between them would be both"),
        ({"nearest_candidates": -1}, "the numbers of nearest, random and surface candidates are -1, 64 and 32"),
        ({"temperature": 0.0}, "temperature is 0.0"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(settings, says):
    config = RunConfig.resolve("debcse", {"encoder_layers": 1, **settings})
    with pytest.raises(ValueError, match=says):
        DebCSE.build(config.settings, config.encoder)


def test_a_corpus_of_one_sentence_is_refused_and_an_empty_line_is_named(tmp_path):
    with pytest.raises(InputError, match="the 8 texts are all the same"):
        likewise.train("debcse", [{"text": "a dog"}] * 8, out=tmp_path / "run", steps=1, **SMALL)
    rows = [{"text": text} for text in SENTENCES]
    rows[2]["text"] = " "
    with pytest.raises(InputError, match=r"rows\[2\]: column 'text' is empty"):
        likewise.train("debcse", rows, out=tmp_path / "other", steps=1, **SMALL)
