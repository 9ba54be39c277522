"""The checks of the paper's specification, on the method as it trains."""

import csv
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from transformers import BertForPreTraining

import likewise
from likewise.api import train_run
from likewise.artefact import load_model
from likewise.data import DICTIONARY_COLUMNS, Stages, open_table
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError
from likewise.methods.text.defsent_plus import Config, DefSentPlus
from likewise.run_config import RunConfig
from likewise.training.optim import adamw

SMALL = {"max_tokens": 24, "batch_size": 4, "precision": "fp32", "lr": 1e-3, "steps": 3}
ROWS = [
    {"entry": "kennel", "definition": ["a small house for a dog", "a place where dogs are kept"]},
    {"entry": "bread", "definition": "food made of flour and water"},
    {"entry": "crash course", "definition": "a short and intense course of study"},
    {"entry": "river", "definition": "a large natural stream of water"},
    {"entry": "lamp", "definition": "a thing that gives light"},
    {"entry": "bread", "definition": "what a person needs to live on"},
]


@pytest.fixture
def tower(random_bert, capfd):
    """Makes a fresh tower."""

    def made(**settings):
        encoder = load_text_encoder(TextEncoderConfig(**{"encoder": str(random_bert), "max_tokens": 24, **settings}))
        capfd.readouterr()  # what the library says of the head that it leaves
        return encoder

    return made


@pytest.fixture
def train(random_bert, tmp_path):
    """``train("name", rounds=2)`` trains in a folder of that name."""

    def trained(name, rows=ROWS, **settings):
        settings = {"encoder": str(random_bert), **SMALL, **settings}
        return likewise.train("defsent-plus", rows, out=tmp_path / name, progress=False, **settings)

    return trained


def features_of(encoder, texts):
    """What the encoder makes of texts before it normalises."""
    return encoder.encode_tokens(encoder.tokenizer(texts), precision="fp32")


def prepared(method, folder, rows=ROWS, **how):
    said = []
    table = method.prepare(open_table(rows, columns=DICTIONARY_COLUMNS), Stages(folder, said.append, **how))
    return table, said


def batch_of(method, table):
    views = method.views()
    rows = range(len(table))
    return views.collate([views(table[i], np.random.default_rng(i)) for i in rows], list(rows))


def test_a_definition_is_told_from_all_entries_as_the_formula_says(tmp_path, tower):
    method = DefSentPlus(Config(pooler="identity"), tower()).eval()
    table, said = prepared(method, tmp_path)
    assert said == ["5 entries with 7 definitions (a mean of 1.4, at most 2), from 6 rows"]
    assert [(row["definition"], row["target"]) for row in table][:3] == [
        ("a small house for a dog", 0.0),
        ("a place where dogs are kept", 0.0),
        ("food made of flour and water", 1.0),
    ]
    texts = [row["definition"] for row in table]
    pooled = features_of(method.encoder, texts).double()
    entries = torch.stack([pooled[:2].mean(0), pooled[2:4].mean(0), *pooled[4:]])
    assert_close(method.table.vectors.double(), entries, rtol=1e-4, atol=1e-5)
    total = 0.0
    for row, target in zip(pooled.tanh().tolist(), [0, 0, 1, 1, 2, 3, 4], strict=True):
        logits = [sum(a * b for a, b in zip(row, entry, strict=True)) for entry in entries.tolist()]
        top = max(logits)
        total += top + math.log(sum(math.exp(one - top) for one in logits)) - logits[target]
    output = method(batch_of(method, table))
    assert output.contrast is None
    assert output.terms.keys() == {"entry"}
    assert output.loss.item() == pytest.approx(total / 7, rel=1e-4)


def test_rows_of_an_entry_and_their_order_do_not_change_the_table(tmp_path, tower):
    tables = []
    for name, rows in (("a", ROWS), ("b", list(reversed(ROWS)))):
        method = DefSentPlus(Config(), tower())
        prepared(method, tmp_path / name, rows)
        tables.append(dict(zip(method.kept()["entries"], method.table.vectors, strict=True)))
    first, second = tables
    assert first.keys() == second.keys()
    for entry, vector in first.items():
        assert_close(vector, second[entry], rtol=1e-4, atol=1e-5)


def test_the_table_stays_and_pooler_and_encoder_change(tmp_path, tower):
    method = DefSentPlus(Config(), tower()).train()
    table, _ = prepared(method, tmp_path)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    vectors = method.table.vectors.clone()
    optimiser = adamw(method, RunConfig.resolve("defsent-plus", {"lr": 1e-2}).training)
    optimised = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert id(method.table.vectors) not in optimised
    method(batch_of(method, table)).loss.backward()
    optimiser.step()
    assert torch.equal(method.table.vectors, vectors)
    assert method.table.vectors.grad is None
    changed = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert {"pooler.dense.weight", "pooler.dense.bias"} <= changed
    assert any(name.startswith("encoder.tower.0") for name in changed)
    assert "table.digest" in before
    assert "table.digest" not in changed


@pytest.fixture
def starts(monkeypatch):
    """What each round began with: the fingerprints of the first weights, of the round before, and of the table."""
    seen = []
    plain = DefSentPlus.prepare

    def prepare(self, table, stages, previous=None):
        rows = plain(self, table, stages, previous)
        before = previous.fingerprint if previous is not None else None
        seen.append((self.start().fingerprint, before, self.table.version, stages.round))
        return rows

    monkeypatch.setattr(DefSentPlus, "prepare", prepare)
    return seen


def losses(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_every_round_starts_from_the_first_weights_on_the_table_of_the_round_before(tmp_path, starts, tower, train):
    base = tower().served().fingerprint
    once = train("once")
    twice = train("twice", rounds=2)
    single, first, second = starts
    assert [one[0] for one in starts] == [base, base, base]
    assert single == first == (base, None, tower().fingerprint, 1)
    assert second[1:] == (once.fingerprint, once.fingerprint, 2)  # made by what a single training ends with
    assert twice.fingerprint != once.fingerprint
    assert losses(tmp_path / "once") == losses(tmp_path / "twice" / "round-1")
    assert losses(tmp_path / "twice") != losses(tmp_path / "once")


def test_a_run_of_two_rounds_that_was_stopped_goes_on_to_the_bit(tmp_path, monkeypatch, random_bert):
    settings = {"data": "rows", "encoder": str(random_bert), "rounds": 2, "checkpoint_every": 1, **SMALL}
    config = RunConfig.resolve("defsent-plus", settings)
    whole = train_run(config, tmp_path / "whole", rows=ROWS, progress=False)
    plain, calls = DefSentPlus.training_step, []

    def training_step(self, batch):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return plain(self, batch)

    monkeypatch.setattr(DefSentPlus, "training_step", training_step)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "parts", rows=ROWS, progress=False)
    monkeypatch.undo()
    parts = train_run(config, tmp_path / "parts", rows=ROWS, resume=True, progress=False)
    assert parts.fingerprint == whole.fingerprint
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for folder in (tmp_path / "whole", tmp_path / "parts"):
        kept = load_model(folder).kept
        assert kept["entries"] == ["kennel", "bread", "crash course", "river", "lamp"]
    assert torch.equal(*(load_model(tmp_path / one).kept["table"] for one in ("whole", "parts")))


def test_the_round_that_is_best_in_validation_is_kept(tmp_path, train):
    pairs = [
        {"sentence1": "a dog", "sentence2": "a hound", "score": 5.0},
        {"sentence1": "a dog", "sentence2": "a lamp", "score": 0.0},
        {"sentence1": "a river", "sentence2": "a stream", "score": 4.0},
    ]
    (tmp_path / "sts.jsonl").write_text("".join(f"{one}\n".replace("'", '"') for one in pairs))
    settings = {"rounds": 2, "lr": 1e-9, "eval_data": str(tmp_path / "sts.jsonl")}
    train("run", **settings)
    about = load_model(tmp_path / "run").about
    assert about["training"]["kept_round"] == 2  # the last of equals
    assert next(iter(about["figures"])) == "spearman"


def test_from_its_round_on_the_table_is_isotropic(tmp_path, tower):
    rows = [{"entry": f"thing {i}", "definition": f"number {i * i} of {i % 7} kinds of {i // 5}"} for i in range(60)]
    encoder = tower().truncated(dims=8)
    for number in (1, 2):
        method = DefSentPlus(Config(rounds=2, ica_round=2), encoder)
        _, said = prepared(method, tmp_path / str(number), rows, round=number)
        vectors = method.table.vectors.double()
        isotropic = torch.allclose(vectors.T.cov(correction=0), 1e4 * torch.eye(8, dtype=torch.float64), atol=10)
        assert isotropic == (number == 2)
        assert (method.kept()["ica"] is not None) == (number == 2)
        assert any("isotropic" in line for line in said) == (number == 2)
    again = DefSentPlus(Config(rounds=2, ica_round=2), encoder)
    _, said = prepared(again, tmp_path / "2", rows, round=2)
    assert torch.equal(again.table.vectors, method.table.vectors)  # found, not made a second time
    assert not any("isotropic" in line for line in said)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_table_may_be_pooled_otherwise_than_training(tmp_path, pooling, tower):
    method = DefSentPlus(Config(entry_pooling=pooling), tower())
    prepared(method, tmp_path, ROWS[1:5])
    texts = [row["definition"] for row in ROWS[1:5]]
    expected = features_of(method.encoder.pooled(pooling), texts)
    assert_close(method.table.vectors, expected, rtol=1e-4, atol=1e-5)


def test_word_pieces_may_make_the_table(tmp_path, tower):
    method = DefSentPlus(Config(table="pieces"), tower())
    prepared(method, tmp_path)
    words, tokenizer = method.encoder.token_embedding, method.encoder.tokenizer.tokenizer
    ids = tokenizer("crash course", add_special_tokens=False)["input_ids"]
    assert len(ids) == 2
    assert_close(method.table.vectors[2], words[ids].mean(0).detach())


def test_the_baseline_predicts_words_through_the_frozen_output_layer(tmp_path, tower, random_bert):
    encoder, theirs = tower(), BertForPreTraining.from_pretrained(random_bert).eval()
    method = DefSentPlus(Config(table="word"), encoder).eval()
    table, said = prepared(method, tmp_path / "prepared")
    assert said[0] == "2 of 5 entries are not one token and are left out"
    assert method.kept()["entries"] == ["bread", "river", "lamp"]
    batch = batch_of(method, table)
    tokenizer = encoder.tokenizer.tokenizer
    words = [row["entry"] for row in (ROWS[1], ROWS[5], ROWS[3], ROWS[4])]
    assert tokenizer.convert_ids_to_tokens(batch["target"].long()) == words
    with torch.no_grad():
        logits = theirs.cls.predictions(method.encoder(batch["definition"]))
    expected = torch.nn.functional.cross_entropy(logits, batch["target"].long())
    assert_close(method(batch).loss, expected, rtol=1e-4, atol=1e-5)
    method.train()(batch).loss.backward()
    assert encoder.token_embedding.grad is None
    assert all(p.grad is None for p in method.words.parameters())
    assert any(p.grad is not None for p in method.parameters())


def test_the_model_is_used_without_the_pooler_and_with_the_pooling_that_was_asked_for(tmp_path, sentences, tower):
    for served in ("own", "cls", "prompt"):
        method = DefSentPlus(Config(served_pooling=served), tower()).eval()
        expected = method.encoder.served() if served == "own" else method.encoder.pooled(served)
        assert_close(method.embedder().encode(sentences), expected.encode(sentences))
        assert method.start().fingerprint == tower().served().fingerprint


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"max_definitions": 0}, "max_definitions is 0"),
        ({"ica_max_iterations": 0}, "ica_max_iterations is 0"),
        ({"ica_scale": 0.0}, "ica_scale is 0.0; it must be greater than 0"),
        ({"ica_round": 2}, "ica_round is 2; it is 0 .never. or a round, 1 to 1"),
        ({"table": "pieces", "rounds": 2}, "table is pieces, which is made of words"),
        ({"table": "word"}, "'all-MiniLM-L6-v2' brings no masked-language head"),
        ({"served_pooling": "prompt", "pooling": "first_last"}, "does more than pool the last layer"),
        ({"served_pooling": "prompt", "max_tokens": 10}, "the pooling 'prompt' needs 11 and more"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    def built():
        config = RunConfig.resolve("defsent-plus", {"encoder_layers": 1, **settings})
        return DefSentPlus.build(config.settings, config.encoder)

    with pytest.raises(InputError, match=says):
        built()


def test_a_table_that_cannot_be_told_apart_or_made_isotropic_is_refused(tmp_path, train):
    with pytest.raises(InputError, match="only 1 entry to train on"):
        train("a", ROWS[:1])
    with pytest.raises(InputError, match="16 directions need at least as many vectors, and there are 5"):
        train("b", ica_round=1)
    with pytest.raises(InputError, match=r"rows\[1\]: column 'definition' is an empty list"):
        train("c", [ROWS[0], {"entry": "a", "definition": []}])
    rows = [*ROWS, {"entry": "\u200b", "definition": "nothing"}]
    with pytest.raises(InputError, match="has no token in the encoder's vocabulary"):
        train("d", rows, table="pieces")


def test_a_step_before_the_rows_are_prepared_is_refused(tmp_path, tower):
    method = DefSentPlus(Config(), tower())
    table, _ = prepared(method, tmp_path)
    batch = batch_of(method, table)
    with pytest.raises(ValueError, match="call prepare before"):
        DefSentPlus(Config(), tower())(batch)
