"""A dictionary that was trained on is looked up backwards, grows without training, and says how good it is."""

import json

import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise.artefact import load_model, save_kept
from likewise.errors import InputError
from likewise.products.entries import EntryTable

ROWS = [
    {"entry": "kennel", "definition": "a small house for a dog"},
    {"entry": "bread", "definition": ["food made of flour and water", "what a person lives on"]},
    {"entry": "crash course", "definition": "a short and intense course of study"},
    {"entry": "river", "definition": "a large natural stream of water"},
    {"entry": "lamp", "definition": "a thing that gives light"},
]
NEW = [
    {"entry": "night owl", "definition": "a person who stays up late"},
    {"entry": "bread", "definition": "something else"},
]
SMALL = {"max_tokens": 24, "batch_size": 6, "precision": "fp32", "lr": 1e-2, "steps": 20}


def features_of(encoder, texts):
    """What the encoder makes of texts before it normalises."""
    return encoder.encode_tokens(encoder.tokenizer(texts), precision="fp32")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory, random_bert):
    """A model of two rounds that is used with the mask token in a prompt."""
    out = tmp_path_factory.mktemp("runs") / "dictionary"
    settings = {**SMALL, "encoder": str(random_bert), "rounds": 2, "served_pooling": "prompt"}
    likewise.train("defsent-plus", ROWS, out=out, progress=False, **settings)
    return out


def test_a_definition_finds_its_entry(dictionary):
    for row in ROWS[2:]:
        found = likewise.use(dictionary, "lookup", text=row["definition"], k=3).rows
        assert [one["rank"] for one in found] == [1, 2, 3]
        assert found[0]["entry"] == row["entry"]
        assert found[0]["probability"] > found[1]["probability"] >= found[2]["probability"] >= 0
    everything = likewise.use(dictionary, "lookup", text="something new", k=100).rows
    assert {one["entry"] for one in everything} == {row["entry"] for row in ROWS}
    assert sum(one["probability"] for one in everything) == pytest.approx(1, abs=1e-3)


def test_scores_are_those_that_training_made_large(dictionary):
    model = load_model(dictionary)
    assert model.embedder.pooling == "prompt"
    query = EntryTable.of(model).queries(["a small house for a dog"])
    head = model.kept["head"]
    pooled = features_of(model.embedder.pooled("mean"), ["a small house for a dog"])
    assert_close(query, torch.tanh(pooled @ head["dense.weight"].T + head["dense.bias"]))
    found = likewise.use(dictionary, "lookup", text="a small house for a dog", k=5).rows
    scores = dict(zip(model.kept["entries"], (query @ model.kept["table"].T)[0].tolist(), strict=True))
    assert {row["entry"]: row["score"] for row in found} == pytest.approx(scores, abs=1e-3)


def copied(dictionary, folder):
    import shutil

    return shutil.copytree(dictionary, folder / "copy")


def test_entries_are_added_without_training_and_once(dictionary, tmp_path):
    folder, file = copied(dictionary, tmp_path), write(tmp_path / "new.jsonl", NEW)
    before = load_model(folder)
    result = likewise.use(folder, "add-entries", file=file)
    assert result.figures == {"added": 1, "there already": 1, "entries": 6}
    after = load_model(folder)
    assert after.kept["entries"] == [*before.kept["entries"], "night owl"]
    assert torch.equal(after.kept["table"][:5], before.kept["table"])
    assert after.embedder.fingerprint == before.embedder.fingerprint
    # the new row is made by the frozen encoder that made the table: what round 1 ended with
    maker = before.embedder.pooled("mean")
    maker.load_state_dict(before.kept["maker"])
    made = features_of(maker, [NEW[0]["definition"]])
    assert_close(after.kept["table"][5:], made, rtol=1e-4, atol=1e-5)
    found = likewise.use(folder, "lookup", text="a person who stays up late", k=6).rows
    score = (EntryTable.of(after).queries(["a person who stays up late"]) @ after.kept["table"][5:].T).item()
    assert {row["entry"]: row["score"] for row in found}["night owl"] == pytest.approx(score, abs=1e-3)
    again = likewise.use(folder, "add-entries", file=file)
    assert again.figures == {"added": 0, "there already": 2, "entries": 6}
    assert again.files == []


def test_the_table_could_have_been_made_by_its_maker(dictionary):
    model = load_model(dictionary)
    maker = model.embedder.pooled("mean")
    maker.load_state_dict(model.kept["maker"])
    made = features_of(maker, [ROWS[0]["definition"]])
    assert_close(model.kept["table"][:1], made, rtol=1e-4, atol=1e-5)
    now = features_of(load_model(dictionary).embedder.pooled("mean"), [ROWS[0]["definition"]])
    assert not torch.allclose(now, made, rtol=1e-2, atol=1e-2)  # which is not what training ended with


def test_entries_may_be_added_for_one_lookup_alone(dictionary, tmp_path):
    terms, published = tmp_path / "terms.csv", tmp_path / "new.txt"
    terms.write_text("term,definition\nnight owl,a person who stays up late\n")
    published.write_bytes("night owl\ta person who stays up late\n".encode("utf-16"))
    for add in (
        {"add": str(terms), "columns": ("entry=term",)},
        {"add": f"dictionary:{published}", "encoding": "utf-16"},
    ):
        found = likewise.use(dictionary, "lookup", text="a person who stays up late", k=6, **add).rows
        assert "night owl" in {row["entry"] for row in found}
    assert "night owl" not in load_model(dictionary).kept["entries"]


def test_new_entries_go_through_the_independent_components(dictionary, tmp_path):
    folder = copied(dictionary, tmp_path)
    kept = dict(load_model(folder).kept)
    shift, matrix = torch.arange(16.0), torch.eye(16).roll(1, 0) * 2
    save_kept(folder, {**kept, "ica": {"shift": shift.double(), "matrix": matrix.double()}})
    file = write(tmp_path / "new.jsonl", NEW[:1])
    plain = EntryTable.of(load_model(dictionary)).with_more(_opened(file)).table.vectors[5]
    mapped = EntryTable.of(load_model(folder)).with_more(_opened(file)).table.vectors[5]
    assert_close(mapped, (plain - shift) @ matrix, rtol=1e-5, atol=1e-4)


def _opened(file):
    from likewise.products.entries import open_dictionary

    return open_dictionary(file)


def test_the_rank_of_held_out_definitions_is_measured(dictionary, tmp_path):
    rows = [*ROWS[2:], {"entry": "moon", "definition": "a body in the sky"}]
    result = likewise.use(dictionary, "check-lookup", file=write(tmp_path / "held-out.jsonl", rows), bootstrap=50)
    assert result.figures == {"definitions": 3, "of unknown entries": 1, "entries": 5}
    found = {row["metric"]: row for row in result.rows}
    assert found["hit@1"]["value"] == 1.0
    assert found["mrr@100"]["value"] == 1.0
    assert found["hit@10"]["low"] <= 1.0 <= found["hit@10"]["high"]
    wrong = [{"entry": "lamp", "definition": ROWS[0]["definition"]}]
    file = write(tmp_path / "wrong.jsonl", wrong)
    worse = likewise.use(dictionary, "check-lookup", file=file, bootstrap=0, metrics=("hit@1", "mrr@5"))
    assert worse.rows[0] == {"metric": "hit@1", "value": 0.0}
    assert 0.2 <= worse.rows[1]["value"] <= 0.5


@pytest.mark.parametrize(
    ("product", "settings", "says"),
    [
        ("lookup", {"text": "  "}, "the description is empty"),
        ("lookup", {"text": "a", "k": 0}, "k is 0; it is how many entries"),
        ("lookup", {"text": "a", "add": "nowhere.jsonl"}, "there is no file or folder 'nowhere.jsonl'"),
        ("add-entries", {"file": ""}, "no entries given; name a file with the columns entry and definition"),
        ("check-lookup", {"file": "MOON"}, "none of the 1 entries is in the model's dictionary of 5"),
        ("look-up", {"text": "a"}, "unknown product .*did you mean 'lookup'"),
    ],
)
def test_what_cannot_be_used_is_named(dictionary, tmp_path, product, settings, says):
    moon = write(tmp_path / "moon.jsonl", [{"entry": "moon", "definition": "a body in the sky"}])
    settings = {name: moon if value == "MOON" else value for name, value in settings.items()}
    with pytest.raises(InputError, match=says):
        likewise.use(dictionary, product, **settings)


def test_a_table_of_another_width_is_refused(dictionary, tmp_path):
    folder = copied(dictionary, tmp_path)
    kept = dict(load_model(folder).kept)
    save_kept(folder, {**kept, "table": kept["table"][:, :10]})
    with pytest.raises(InputError, match="vectors of 10 numbers and the encoder makes 16"):
        likewise.use(folder, "lookup", text="a dog")


def test_a_table_of_word_pieces_takes_no_further_entries(tmp_path, random_bert):
    out = tmp_path / "pieces"
    settings = {**SMALL, "encoder": str(random_bert), "table": "pieces", "steps": 2}
    likewise.train("defsent-plus", ROWS, out=out, progress=False, **settings)
    assert len(likewise.use(out, "lookup", text="a dog").rows) == 5
    with pytest.raises(InputError, match="made of words and not of definitions, so that entries cannot be added"):
        likewise.use(out, "add-entries", file=write(tmp_path / "new.jsonl", NEW))


def test_the_baseline_looks_words_up_through_its_output_layer(tmp_path, random_bert):
    settings = {**SMALL, "encoder": str(random_bert), "table": "word", "steps": 3}
    likewise.train("defsent-plus", ROWS, out=tmp_path / "run", progress=False, **settings)
    found = likewise.use(tmp_path / "run", "lookup", text=ROWS[3]["definition"], k=9).rows
    assert {row["entry"] for row in found} == {"bread", "river", "lamp"}
    assert sum(row["probability"] for row in found) == pytest.approx(1, abs=1e-3)


def test_on_the_command_line(dictionary, tmp_path, capfd):
    from likewise.cli import main

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        captured = capfd.readouterr()
        return end.value.code, captured.out, captured.err

    code, out, _ = run("use", dictionary, "lookup", "a thing that gives light", "--k", 2, "--json")
    assert (code, json.loads(out)["rows"][0]["entry"]) == (0, "lamp")
    code, out, _ = run("use", dictionary)
    assert code == 0
    assert all(name in out for name in ("lookup", "add-entries", "check-lookup"))
    folder = copied(dictionary, tmp_path)
    code, out, _ = run("use", folder, "add-entries", write(tmp_path / "new.jsonl", NEW))
    assert code == 0
    assert "written:" in out
    code, _, err = run("use", folder, "lookup", "a dog", "--add", "nothing.txt")
    assert code == 1
    assert "nothing.txt" in err
