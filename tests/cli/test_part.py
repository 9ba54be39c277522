"""``--layers`` and ``--dims`` mean the same on every verb that embeds."""

import json

import numpy as np
import pytest
import torch

import likewise as library


def _lines(sentences):
    return [*dict.fromkeys(sentences), *(f"note number {i}" for i in range(5))]


@pytest.fixture
def files(tmp_path, sentences):
    """The words that a verb needs beside the model."""
    texts, scored = tmp_path / "texts.txt", tmp_path / "scored.csv"
    texts.write_text("\n".join(_lines(sentences)) + "\n")
    lines = [f'{i % 4},"{one}","{sentences[i - 3]}"' for i, one in enumerate(sentences)]
    scored.write_text("\n".join(["score,sentence1,sentence2", *lines]))
    return {
        "encode": ("--data", texts, "--out", tmp_path / "vectors.npy"),
        "evaluate": ("--task", "similarity", "--data", scored),
        "geometry": ("--data", texts),
        "index": ("--data", texts, "--out", tmp_path / "index"),
    }


def test_a_file_is_encoded_by_the_part_that_is_asked_for(likewise, files, sentences):
    said = json.loads(
        likewise("encode", "all-MiniLM-L6-v2", *files["encode"], "--layers", 2, "--dims", 32, "--json").out
    )
    assert (said["layers"], said["dims"], said["dim"]) == (2, 32, 32)
    part = library.load("all-MiniLM-L6-v2", layers=2, dims=32)
    assert said["fingerprint"] == part.fingerprint
    assert torch.equal(torch.from_numpy(np.load(said["out"])), part.encode(_lines(sentences)))


@pytest.mark.parametrize("verb", ["encode", "evaluate", "geometry", "index"])
def test_a_part_that_is_not_there_is_refused_on_every_verb(likewise, files, verb):
    for option, says in (("--layers", "has 6, use 1 to 6"), ("--dims", "has 384 numbers, keep 1 to 384")):
        done = likewise(verb, "all-MiniLM-L6-v2", *files[verb], option, 999)
        assert done.code == 1
        assert says in done.err


def test_figures_are_those_of_the_part(likewise, files):
    words = ("evaluate", "all-MiniLM-L6-v2", *files["evaluate"], "--bootstrap", 0, "--json")
    whole, part = (json.loads(likewise(*words, *more).out)["metrics"] for more in ((), ("--layers", 1, "--dims", 16)))
    assert whole != part
    looked = likewise("geometry", "all-MiniLM-L6-v2", *files["geometry"], "--dims", 16, "--json")
    assert json.loads(looked.out)["dims"] == 16


def test_an_index_remembers_its_part_and_its_search_uses_it(likewise, files, tmp_path):
    made = json.loads(likewise("index", "all-MiniLM-L6-v2", *files["index"], "--layers", 1, "--dims", 32, "--json").out)
    assert (made["part"], made["dim"]) == ({"layers": 1, "dims": 32}, 32)
    hits = json.loads(likewise("search", tmp_path / "index", "kennel", "--json").out)
    assert hits[0]["text"] == "kennel"
    assert hits[0]["score"] == pytest.approx(1.0, abs=1e-3)
    named = json.loads(likewise("search", tmp_path / "index", "kennel", "--model", "all-MiniLM-L6-v2", "--json").out)
    assert named == hits
    more = tmp_path / "more.txt"
    more.write_text("a new line\n")
    added = likewise("index", "all-MiniLM-L6-v2", "--add", "--data", more, "--out", tmp_path / "index", "--json")
    assert json.loads(added.out)["rows"] == made["rows"] + 1
    refused = likewise("index", "--add", "--data", more, "--out", tmp_path / "index", "--layers", 1)
    assert refused.code == 1
    assert "an index that is there remembers what it was made with" in refused.err
