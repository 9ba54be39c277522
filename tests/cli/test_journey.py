"""What a newcomer does, in order, on a file of their own."""

import csv

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from cli.conftest import PAIRS
from likewise.methods import METHODS

SMALL = ("--encoder-layers", 2, "--steps", 6, "--batch-size", 4, "--lr", "1e-4")
COLUMNS = ("--columns", "query=question", "positive=answer")


def train(likewise, file, *more):
    done = likewise("train", "pairs", "--data", file, *COLUMNS, "--out", "runs/faq", *SMALL, "--json", *more)
    assert done.code == 0, done.err
    return done.json


def test_from_a_file_to_a_search(likewise, pairs_file, tmp_path):
    trained = train(likewise, pairs_file)
    assert trained["model"] == "runs/faq"
    assert trained["training"]["steps"] == 6
    assert {"metrics.csv", "run.yaml", "likewise.json", "README.md", "model.safetensors"} <= {
        path.name for path in (tmp_path / "runs/faq").iterdir()
    }

    indexed = likewise("index", "runs/faq", "--data", pairs_file, "--text-column", "answer", "--out", "idx", "--json")
    assert indexed.json["rows"] == len(PAIRS)

    found = likewise("search", "idx", "new password", "-k", 3, "--json").json
    assert len(found) == 3
    assert found[0]["text"] == PAIRS[0][1]
    assert found[0].keys() >= {"id", "text", "score", "question", "topic"}
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)
    for mode in ("text", "hybrid"):
        assert likewise("search", "idx", "password", "--mode", mode, "--json").json[0]["text"] == PAIRS[0][1]
    only = likewise("search", "idx", "password", "--where", "topic = 't1'", "--json").json
    assert {hit["topic"] for hit in only} == {"t1"}
    table = likewise("search", "idx", "new password")
    assert "billing" in table.out or "settings" in table.out

    measured = likewise("evaluate", "runs/faq", "--task", "retrieval", "--data", pairs_file, *COLUMNS, "--json").json
    assert measured["metrics"].keys() >= {"ndcg@10", "mrr@10", "recall@1"}
    assert measured["num_items"] == len(PAIRS)


def test_an_index_grows_and_shrinks(likewise, pairs_file, tmp_path):
    base = "all-MiniLM-L6-v2"
    likewise("index", base, "--data", pairs_file, "--text-column", "answer", "--out", "idx")
    (tmp_path / "more.jsonl").write_text('{"question": "new", "answer": "a whale is no fish", "topic": "t0"}')
    added = likewise("index", "--out", "idx", "--data", "more.jsonl", "--add", "--json")
    assert added.json["added"] == 1
    assert added.json["rows"] == len(PAIRS) + 1
    hit = likewise("search", "idx", "animals of the sea", "-k", 1, "--json").json[0]
    assert hit["text"] == "a whale is no fish"
    deleted = likewise("index", "--out", "idx", "--delete", hit["id"], "--json")
    assert (deleted.json["deleted"], deleted.json["rows"]) == (1, len(PAIRS))


def test_sentences_without_labels(likewise, tmp_path):
    (tmp_path / "notes.txt").write_text("\n".join(answer for _, answer in PAIRS))
    done = likewise("train", "simcse", "--data", "notes.txt", "--out", "runs/notes", *SMALL)
    assert done.code == 0, done.err
    assert "runs/notes" in done.out
    with (tmp_path / "runs/notes/metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    for ending in ("npy", "parquet", "safetensors"):
        made = likewise("encode", "runs/notes", "--data", "notes.txt", "--out", f"v.{ending}", "--precision", "fp32")
        assert made.code == 0, made.err
    vectors = np.load(tmp_path / "v.npy")
    theirs = SentenceTransformer(str(tmp_path / "runs/notes"), device="cpu").encode([a for _, a in PAIRS])
    np.testing.assert_allclose(vectors, theirs, rtol=1e-4, atol=1e-6)
    assert torch.equal(load_file(tmp_path / "v.safetensors")["embeddings"], torch.from_numpy(vectors))
    table = pq.read_table(tmp_path / "v.parquet").to_pydict()
    assert table["text"] == [answer for _, answer in PAIRS]
    np.testing.assert_array_equal(np.array(table["embedding"], dtype="float32"), vectors)


def test_validation_keeps_the_best_model_and_says_how_good_it_was(likewise, pairs_file, tmp_path):
    (tmp_path / "held.jsonl").write_text(
        "\n".join(f'{{"query": "{question}", "positive": "{answer}"}}' for question, answer in PAIRS)
    )
    trained = train(likewise, pairs_file, "--eval-data", "held.jsonl", "--eval-every", 2)
    with (tmp_path / "runs/faq/validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    best = max(rows, key=lambda row: float(row["ndcg@10"]))
    assert trained["training"]["kept_step"] == int(best["step"])
    assert abs(trained["figures"]["ndcg@10"] - float(best["ndcg@10"])) < 1e-6
    assert "ndcg@10" in (tmp_path / "runs/faq/README.md").read_text()


def test_similarity_of_a_file(likewise, tmp_path):
    rows = [("5", "a dog runs", "the dog is running"), ("0", "a dog runs", "the price of oil"), ("3", "a cat", "a dog")]
    (tmp_path / "sts.tsv").write_text("score\tsentence1\tsentence2\n" + "\n".join("\t".join(row) for row in rows))
    measured = likewise("evaluate", "all-MiniLM-L6-v2", "--task", "similarity", "--data", "sts.tsv", "--json")
    assert measured.json["metrics"]["spearman"] == 1.0
    shown = likewise("evaluate", "all-MiniLM-L6-v2", "--task", "similarity", "--data", "sts.tsv")
    assert "spearman" in shown.out


def test_mined_negatives_train(likewise, pairs_file, tmp_path):
    mined = likewise("mine", "all-MiniLM-L6-v2", "--data", pairs_file, *COLUMNS, "--out", "mined.jsonl",
                     "--num-negatives", 2, "--json")  # fmt: skip
    assert mined.code == 0, mined.err
    assert mined.json["rows"] == len(PAIRS)
    assert mined.json["negatives"] > 0
    done = likewise("train", "pairs", "--data", "mined.jsonl", "--out", "run", *SMALL)
    assert done.code == 0, done.err


def test_a_runs_settings_are_given_back_with_config(likewise, pairs_file, tmp_path):
    train(likewise, pairs_file, "--temperature", 0.2)
    again = likewise("train", "pairs", "--config", "runs/faq/run.yaml", "--out", "again", "--seed", 1)
    assert again.code == 0, again.err
    settings = (tmp_path / "again/run.yaml").read_text()
    assert "temperature: 0.2" in settings
    assert "seed: 1" in settings
    assert "query=question" in settings


def test_methods_are_listed_and_explained(likewise):
    assert [entry["method"] for entry in likewise("methods", "--json").json] == list(METHODS)
    one = likewise("methods", "simcse", "--json").json
    assert "2104.08821" in one["paper"]
    listed = {setting["name"]: setting for group in one["settings"].values() for setting in group}
    assert listed["temperature"]["default"] == 0.05
    assert listed["lr"]["default"] == 3e-5  # the paper's, not the shared default
    assert listed["temperature"]["help"].startswith("Divisor of the cosines")
    assert "SimCSE" in likewise("methods", "simcse").out
