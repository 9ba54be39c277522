"""A small real study: two arms and two seeds on a one-layer tower, run once for all tests."""

import json
from pathlib import Path

import pytest

import small_minilm
from likewise.studies import study

THINGS = ["dog", "cat", "house", "river", "train", "bread", "phone", "garden", "window", "tower", "boat", "lamp"]


def write_files(folder: Path) -> None:
    notes = [f"a {thing} {what}" for thing in THINGS for what in ("by the sea", "in the old town", "that is very long")]
    (folder / "notes.txt").write_text("\n".join(notes))
    pairs = [(4, "a dog runs", "a dog is running"), (1, "a dog runs", "bread is in the oven"), (3, "a boat", "a ship"),
             (0, "the phone rings", "a river bends"), (5, "a small house", "a little house"), (2, "a cat", "a dog"),
             (4, "the lamp is on", "the light is on"), (1, "a tower", "bread"), (3, "a garden", "a park")]  # fmt: skip
    rows = [{"score": score, "sentence1": one, "sentence2": other} for score, one, other in pairs]
    (folder / "sts.jsonl").write_text("\n".join(map(json.dumps, rows)))


def content(**changes):
    return {
        "name": "a <b>small</b> study",
        "about": "Is warm better than cold?",
        "data": "notes.txt",
        "shared": {
            "encoder": str(small_minilm.folder()),
            "encoder_layers": 1,
            "batch_size": 8,
            "max_tokens": 24,
            "precision": "fp32",
            "lr": 1e-3,
            "eval_data": "sts.jsonl",
            "eval_every": 2,
            "geometry_every": 2,
        },
        "arms": {"cold": {"method": "simcse"}, "warm": {"method": "simcse", "temperature": 0.2}},
        "budget": {"steps": 4},
        "seeds": 2,
        "evaluate": [{"task": "similarity", "data": "sts.jsonl"}],
        **changes,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study")
    write_files(path)
    return path


@pytest.fixture(scope="module")
def made(folder):
    """The study, done once."""
    from likewise.studies import read_study

    return study(read_study(content(), folder=folder), folder / "out", progress=False)
