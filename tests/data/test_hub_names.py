"""Hugging Face data sets: given from Python, and by name (a folder stands in for the hub)."""

import datasets
import numpy as np
import pytest

from likewise.data import Column, Image, StoredImage, Text, open_table
from likewise.errors import InputError

TEXT = [Column("text", Text)]
PLAIN = "hf:owner/plain"


@pytest.fixture(autouse=True)
def hub(write, tmp_path, monkeypatch):
    """A folder owner/plain with two splits, and owner/several with two configurations."""
    write("owner/plain/train.jsonl", '{"text": "one", "id": 1}\n{"text": "two", "id": 2}\n')
    write("owner/plain/test.jsonl", '{"text": "three", "id": 3}\n')
    configs = "- config_name: first\n  data_files: a.jsonl\n- config_name: second\n  data_files: b.jsonl\n"
    write("owner/several/README.md", f"---\nconfigs:\n{configs}---\n")
    write("owner/several/a.jsonl", '{"text": "a"}\n')
    write("owner/several/b.jsonl", '{"text": "b"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))


def texts(source, **options):
    return [row["text"] for row in open_table(source, columns=TEXT, **options)]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_name_means_the_training_split(streaming, capfd):
    assert texts(PLAIN, streaming=streaming) == ["one", "two"]
    assert capfd.readouterr().err == ""


def test_a_split_may_be_named():
    assert texts(f"{PLAIN}:test") == ["three"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_configuration_may_be_named(streaming):
    assert texts("hf:owner/several:second", streaming=streaming) == ["b"]
    assert texts("hf:owner/several:first:train", streaming=streaming) == ["a"]


@pytest.mark.parametrize("streaming", [False, True])
def test_pictures_come_as_they_are(write, streaming):
    for i in range(2):
        write(f"owner/pets/train/{i}.png", StoredImage.of(np.full((2, 2), i, dtype=np.uint8)).data)
    table = open_table("hf:owner/pets", columns=[Column("image", Image)], streaming=streaming)
    assert [row["image"].open().getpixel((0, 0)) for row in table] == [0, 1]


def test_metadata_and_places_are_kept():
    table = open_table(PLAIN, columns=TEXT)
    assert table.extra(1) == {"id": 2}
    assert table.where(1) == "hf:owner/plain:train, row 2"
    assert table.name == "hf:owner/plain:train"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("hf:owner/plain:tst", r"unknown split of owner/plain 'tst': did you mean 'test'\? Known: test, train\."),
        ("hf:owner/several:third:train", r"unknown configuration of owner/several 'third'"),
        ("hf:owner/several", r"'hf:owner/several' has several configurations; name one: hf:owner/several:CONFIG"),
        ("hf:", r"'hf:' is no hub name; write hf:OWNER/NAME"),
        ("hf:a:b:c:d", r"'hf:a:b:c:d' is no hub name"),
        ("hf:owner/missing", r"'hf:owner/missing' cannot be loaded \(.*\); check the name and the network"),
    ],
)
def test_a_name_that_cannot_be_loaded(source, sentence):
    with pytest.raises(InputError, match=f"^{sentence}"):
        open_table(source, columns=TEXT)


def test_progress_bars_are_left_as_they_were():
    datasets.enable_progress_bars()
    texts(PLAIN)
    assert not datasets.are_progress_bars_disabled()


def test_a_dataset_from_python_is_a_table(cache):
    given = datasets.Dataset.from_dict({"text": ["one", "two", "three"], "id": [1, 2, 3]})
    table = open_table(given.select([2, 0]), columns=TEXT)
    assert [row["text"] for row in table] == ["three", "one"]
    assert table.extra(0) == {"id": 3}


def test_a_bad_row_of_a_dataset_is_refused():
    given = datasets.Dataset.from_dict({"text": ["one", ""]})
    with pytest.raises(InputError, match=r"row 2: column 'text' is empty"):
        open_table(given, columns=TEXT)
