"""The checks of the paper's specification, on the method as it trains, and what its users do with a model."""

import copy
import csv
import json
import logging
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import likewise
from likewise import geometry
from likewise.data import Stages, open_table
from likewise.errors import InputError
from likewise.methods.text.ccp import CCP, Config
from likewise.run_config import RunConfig
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

CENTRES, CONTEXTS = [[1.0, 0.0], [0.0, 1.0]], [[0.8, 0.6], [0.6, 0.8]]
BANK = [[0.0, 1.0], [-1.0, 0.0]]
BANK_4 = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.6, 0.8, 0.0]]


class NoHead(nn.Module):
    """Leaves both sides as they are, so that a loss can be worked out by hand."""

    norm = None

    def forward(self, first, second):
        return first, second


def with_table(centres, contexts, held=(), *, head=False, group="de", ids=None, **config) -> tuple[CCP, Batch]:
    """A method whose tower reads off the vectors of both sides, with a bank of one language."""
    torch.manual_seed(0)
    size = len(centres)
    method = CCP(Config(**{"temperature": 0.5, "bank_size": 16, **config}), TableEncoder(centres + contexts)).double()
    if not head:
        method.head = NoHead()
    if len(held):
        method.bank.push("de", torch.tensor(held), text=-1 - torch.arange(len(held)))
        method.bank.double().keys("de").copy_(torch.tensor(held, dtype=torch.float64))
    inputs = {"centre": texts(*range(size)), "context": texts(*range(size, 2 * size))}
    named = ids or {"centre_id": range(size), "context_id": range(size, 2 * size)}
    inputs |= {name: torch.tensor(list(numbers)) for name, numbers in named.items()}
    return method, Batch(inputs, torch.arange(size), group)


def loss(method, batch) -> float:
    return method(batch).loss.item()


@pytest.mark.parametrize(("in_batch", "expected"), [(True, 0.93178998), (False, 0.61438220)])
def test_two_pairs_and_a_bank_of_two_worked_out_by_hand(in_batch, expected):
    method, batch = with_table(CENTRES, CONTEXTS, BANK, in_batch_negatives=in_batch)
    assert loss(method, batch) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("in_batch", "there", "back"), [
    (True, [0.64161190, 1.21314301], [0.86768951, 1.00471548]),
    (False, [0.20638002, 0.99092359], [0.53712607, 0.72309914]),
])  # fmt: skip
def test_the_rows_of_both_directions_by_hand(in_batch, there, back):
    method, batch = with_table(CENTRES, CONTEXTS, BANK, in_batch_negatives=in_batch)
    a, b = (torch.tensor(side, dtype=torch.float64) for side in (CENTRES, CONTEXTS))
    ids = batch["centre_id"], batch["context_id"]
    assert method._rows(a, b, ids[1], ids, "de").values.tolist() == pytest.approx(there, abs=1e-8)
    assert method._rows(b, a, ids[0], ids, "de").values.tolist() == pytest.approx(back, abs=1e-8)


def in_a_loop(centres, contexts, bank, centre_ids, context_ids, bank_ids, in_batch) -> float:
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    total = 0.0
    for queries, keys, key_ids in ((centres, contexts, context_ids), (contexts, centres, centre_ids)):
        for i, query in enumerate(queries):
            own = {centre_ids[i], context_ids[i]}
            candidates = [cosine(query, keys[i])]
            candidates += [
                cosine(query, k) for j, k in enumerate(keys) if in_batch and j != i and key_ids[j] not in own
            ]
            candidates += [cosine(query, k) for k, number in zip(bank, bank_ids, strict=True) if number not in own]
            total += math.log(sum(math.exp(c / 0.5) for c in candidates)) - candidates[0] / 0.5
    return total / 2 / len(centres)


@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize("repeated", [False, True])
def test_rows_equal_a_plain_loop_and_equal_texts_are_no_negatives(in_batch, repeated):
    generator = torch.Generator().manual_seed(1)
    centres, contexts, bank = (torch.randn(n, 3, generator=generator).tolist() for n in (4, 4, 5))
    ids = (
        [0, 1, 2, 3],
        [4, 5, 4, 1] if repeated else [4, 5, 6, 7],
        [4, 11, 12, 0, 13] if repeated else [*range(10, 15)],
    )
    unit = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in bank]
    method, batch = with_table(
        centres, contexts, unit, in_batch_negatives=in_batch, ids={"centre_id": ids[0], "context_id": ids[1]}
    )
    method.bank.column("text", "de").copy_(torch.tensor(ids[2]))
    assert loss(method, batch) == pytest.approx(in_a_loop(centres, contexts, bank, *ids, in_batch), rel=1e-9)


def test_an_empty_bank_leaves_symmetric_info_nce():
    method, batch = with_table(CENTRES, CONTEXTS)
    a, b = (torch.tensor(side, dtype=torch.float64) for side in (CENTRES, CONTEXTS))
    symmetric = likewise.losses.info_nce(a, b, temperature=0.5, symmetric=True).mean().item()
    assert loss(method, batch) == pytest.approx(symmetric, rel=1e-9)


def test_exchanging_centre_and_context_changes_nothing_without_a_bank():
    assert loss(*with_table(CENTRES, CONTEXTS)) == pytest.approx(loss(*with_table(CONTEXTS, CENTRES)), rel=1e-12)


@pytest.mark.parametrize(("kind", "alike"), [("language", True), ("shared", False)])
def test_a_language_never_meets_the_bank_of_another_and_a_shared_bank_is_of_all(kind, alike):
    first, second = (loss(*after_an_english_step(kind, english)) for english in (BANK, CONTEXTS))
    assert (first == second) == alike


def after_an_english_step(kind: str, english) -> tuple[CCP, Batch]:
    """A German batch after a batch of English sentences."""
    method = CCP(Config(temperature=0.5, bank_size=16, bank=kind), TableEncoder(CENTRES + CONTEXTS + english)).double()
    method.head, method.bank = NoHead(), method.bank.double()
    inputs = {"centre": texts(4, 5), "context": texts(5, 4), "centre_id": torch.tensor([4, 5]),
              "context_id": torch.tensor([6, 7])}  # fmt: skip
    method(Batch(inputs, torch.arange(2), "en"))
    method.after_step()
    return method, with_table(CENTRES, CONTEXTS)[1]


def test_whichever_side_took_running_statistics_enters_the_bank_after_the_step():
    generator = torch.Generator().manual_seed(1)
    centres, contexts = (torch.randn(3, 4, generator=generator).tolist() for _ in range(2))
    method, batch = with_table(centres, contexts, head=True)
    for step, side in enumerate(("context_id", "centre_id", "context_id")):
        before = method.head.norm.running_mean.clone()
        assert len(method.bank.keys("de")) == 3 * step
        method(batch)
        assert len(method.bank.keys("de")) == 3 * step  # as it stood before the step
        assert not torch.equal(method.head.norm.running_mean, before)
        method.after_step()
        assert method.bank.column("text", "de")[-3:].tolist() == batch[side].tolist()
        assert bool(method.head.norm.second_by_batch) == (step % 2 == 0)
    assert_close(method.bank.keys("de").norm(dim=1), torch.ones(9, dtype=torch.float64), check_dtype=False)


def test_gradients_of_a_step_are_right():
    generator = torch.Generator().manual_seed(1)
    centres, contexts = (torch.randn(3, 4, generator=generator).tolist() for _ in range(2))
    method, batch = with_table(centres, contexts, BANK_4, head=True)
    table = method.encoder.table

    def of_table(values):
        twin = copy.deepcopy(method)
        features = values.split(3)
        twin.encoder.together = lambda *_: features
        return twin(batch).loss

    assert torch.autograd.gradcheck(of_table, (table.detach().clone().requires_grad_(),))


def test_collapse_is_seen_and_said_once(caplog):
    method, batch = with_table([[1.0, 0.0]] * 4, [[1.0, 0.0]] * 4)
    with caplog.at_level(logging.WARNING):
        metrics = [method(batch).metrics for _ in range(3)]
    assert metrics[0]["coordinate_spread"] == pytest.approx(0, abs=1e-12)
    assert metrics[0]["mean_cosine"] == pytest.approx(1)
    assert len([record for record in caplog.records if "the space has collapsed" in record.getMessage()]) == 1
    random = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert geometry.coordinate_spread(random) == pytest.approx(1, rel=0.02)


def documents(number=24):
    things = ["dog", "cat", "house", "river"]
    said = {"en": "the {} is {}", "de": "{} ist {} hier", "zh.hans": "{} {} de"}
    return [
        {"sentences": [said[language].format(things[i % 4], j) for j in range(2 + i % 3)], "language": language}
        for language in said
        for i in range(number // 3)
    ]


def test_repeated_neighbours_are_one_and_single_sentences_are_counted(tiny_tower, tmp_path):
    rows = [
        {"sentences": ["a", " a ", "b", "a"], "language": "en"},
        {"sentences": ["a"], "language": "en"},
        {"sentences": ["c", "c"], "language": "de"},
        {"sentences": ["c", "d"], "language": "de"},
    ]
    said = []
    table = open_table(rows, columns=CCP.columns)
    prepared = CCP(Config(), tiny_tower).prepare(table, Stages(tmp_path, said.append))
    assert list(prepared) == [
        {"sentences": ["a", "b", "a"], "language": "en"}, {"sentences": ["c", "d"], "language": "de"}
    ]  # fmt: skip
    assert said == ["2 of 4 documents have a single sentence and are left out"]
    with pytest.raises(InputError, match="none of the 2 documents of rows has two different sentences"):
        CCP(Config(), tiny_tower).prepare(open_table(rows[1:3], columns=CCP.columns), Stages(tmp_path / "none"))


SMALL = {"encoder_layers": 1, "max_tokens": 16, "batch_size": 4, "precision": "fp32", "progress": False}


def figures(out):
    with (out / "metrics.csv").open(newline="") as file:
        return [(row["loss"], row["bank_filled"]) for row in csv.DictReader(file)]


def test_a_run_that_is_stopped_goes_on_to_the_bit(tmp_path, monkeypatch):
    """Banks that came to be, whose turn it is, the language of every batch: nothing is lost."""
    likewise.train("ccp", documents(), out=tmp_path / "whole", steps=8, **SMALL)
    steps = []
    after = CCP.after_step

    def stop(self):
        after(self)
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(CCP, "after_step", stop)
    with pytest.raises(KeyboardInterrupt):
        likewise.train("ccp", documents(), out=tmp_path / "run", steps=8, checkpoint_every=5, **SMALL)
    monkeypatch.setattr(CCP, "after_step", after)
    again = likewise.train("ccp", documents(), out=tmp_path / "run", steps=8, checkpoint_every=5, resume=True, **SMALL)
    assert figures(tmp_path / "run") == figures(tmp_path / "whole")
    assert again.fingerprint == likewise.load(tmp_path / "whole").fingerprint


def run(capsys, *words) -> dict:
    from likewise.cli import main

    with pytest.raises(SystemExit) as end:
        main([str(word) for word in [*words, "--json"]])
    out, err = capsys.readouterr()
    assert end.value.code == 0, err
    return json.loads(out)


def test_folders_of_languages_become_a_model_with_a_domain_for_each(tmp_path, capsys):
    for row in documents():
        file = tmp_path / "corpus" / row["language"] / "notes.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as stream:
            stream.write("\n".join(row["sentences"]) + "\n\n")
    corpus, plain, out = f"documents:{tmp_path / 'corpus'}", tmp_path / "plain", tmp_path / "calibrated"
    run(
        capsys, "train", "ccp", "--data", corpus, "--out", plain, "--steps", 2, "--batch-size", 4, "--encoder-layers", 1
    )
    made = run(capsys, "use", plain, "calibrate", "--data", corpus, "--out", out)
    assert {row["language"]: row["sentences"] for row in made["rows"]} == {"de": 14, "en": 14, "zh.hans": 14}
    model = likewise.load(out)
    assert sorted(model.domains) == ["de", "en", "zh.hans"]
    assert torch.equal(model.encode(["der hund"]), likewise.load(plain).encode(["der hund"]))
    sentences = ["dog ist 0 hier", "cat ist 1 hier", "river ist 1 hier"]
    tower = model.eval()
    expected = tower(tower.tokenizer(sentences)).detach()
    domain = model.domains["de"]
    expected = nn.functional.normalize((expected - domain.shift) @ domain.matrix, dim=1)
    found = model.for_domain("de").encode(sentences, precision="fp32")
    assert_close(found, expected.float(), rtol=1e-3, atol=1e-4)

    pairs = tmp_path / "pairs.jsonl"
    rows = [{"source": f"{thing} ist {i} hier", "target": f"the {thing} is {i}", "language": "de"}
            for i in range(2) for thing in ("dog", "cat", "house")]  # fmt: skip
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    domains = ["--source-domain", "de", "--target-domain", "en"]
    measured = run(capsys, "evaluate", out, "--task", "bitext", "--data", pairs, *domains)
    assert {name: measured["settings"][name] for name in ("source_domain", "target_domain")} == {
        "source_domain": "de", "target_domain": "en"
    }  # fmt: skip
    plainly = run(capsys, "evaluate", out, "--task", "bitext", "--data", pairs)
    assert plainly["settings"]["source_domain"] is None
    assert measured["model"] == plainly["model"]

    turned = run(capsys, "use", out, "calibrate", "--data", corpus, "--out", tmp_path / "turned", "--rotate",
                 "procrustes", "--anchors", only(rows, tmp_path))  # fmt: skip
    scores = {row["language"]: (row["csls_before"], row["csls_after"], row["turned"]) for row in turned["rows"]}
    assert scores["en"] == (None, None, False)
    for before, after, kept in (scores["de"], scores["zh.hans"]):
        assert kept == (after > before)


def only(rows, folder):
    """Translations of both other languages, as a file of tabs."""
    path = folder / "anchors.tsv"
    lines = [f"{row['source']}\t{row['target']}\t{language}" for row in rows for language in ("de", "zh.hans")]
    path.write_text("\n".join(["source\ttarget\tlanguage", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ccp") / "run"
    likewise.train("ccp", documents(), out=folder, steps=1, **SMALL)
    return folder


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(("settings", "says"), [
    ({"data": ""}, "no data given; say it with --data"),
    ({"out": ""}, "no out given; say it with --out"),
    ({"out": "."}, "is there already and is not an empty folder"),
    ({"pivot": "em"}, "unknown pivot 'em'.*did you mean 'en'"),
    ({"rotate": "procrustes"}, "--rotate procrustes and --anchors go together"),
    ({"anchors": "x.tsv"}, "--rotate procrustes and --anchors go together"),
    ({"most": 1}, "most is 1; it is 2 or more"),
    ({"rotate": "procrustes", "anchors": [{"source": "a", "target": "b", "language": "dd"}]},
     "no sentences of the language 'dd'; did you mean 'de'"),
    ({"rotate": "procrustes", "anchors": [{"source": "a", "target": "b", "language": "de"}]},
     "no translations of 'zh.hans' into 'en'"),
    ({"data": [{"sentences": ["a", "b"], "language": "en"}]}, "the sentences are all of 'en'"),
])  # fmt: skip
def test_what_cannot_be_calibrated_is_refused(trained, tmp_path, settings, says):
    given = {"data": documents(), "out": str(tmp_path / "out"), **settings}
    for name in ("data", "anchors"):
        if isinstance(given.get(name), list):
            given[name] = written(tmp_path / f"{name}.jsonl", given[name])
    with pytest.raises(InputError, match=says):
        likewise.use(trained, "calibrate", **given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("settings", "says"), [
    ({"temperature": 0.0}, "temperature is 0.0; it must be greater than 0"),
    ({"window": 0}, "window is 0; it is 1 or more"),
    ({"bank_size": -1}, "bank_size is -1; it is 0 or more"),
    ({"projection": 0}, "projection is 0; it is 1 or more"),
    ({"language_exponent": -0.5}, "language_exponent is -0.5; it is 0 or more"),
    ({"bank_size": 0, "in_batch_negatives": False}, "neither a bank nor in-batch negatives"),
    ({"bank": "languages"}, "bank is 'languages'"),
    ({"batch_norm": "asymetric"}, "batch_norm is 'asymetric'"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        RunConfig.resolve("ccp", settings)


def test_a_batch_of_several_languages_is_refused():
    method, batch = with_table(CENTRES, CONTEXTS, group=None)
    with pytest.raises(ValueError, match="all of its documents are of one language"):
        method(batch)


def test_documents_cannot_be_streamed(tmp_path):
    with pytest.raises(InputError, match="cannot be streamed; leave --streaming out"):
        likewise.train("ccp", documents(), out=tmp_path / "run", steps=1, streaming=True, **SMALL)
