"""Whatever goes wrong with an index is said in one sentence and loses nothing."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from evaluation.rule_embedder import RuleEmbedder, random_embedder
from likewise.errors import InputError, LikewiseError, RunError
from likewise.search import Index, storage


def entries(folder):
    return sorted(one.name for one in folder.iterdir())


def test_an_index_is_not_overwritten_by_accident(index, tmp_path, embedder, rows):
    with pytest.raises(InputError, match=r"the index '.*' exists; give another folder, add the rows to it, or ask"):
        Index.create(tmp_path / "index", embedder, rows)
    other = Index.create(tmp_path / "index", embedder, rows[:2], overwrite=True)
    assert len(other) == len(Index.open(tmp_path / "index")) == 2
    assert entries(tmp_path) == ["index"]


def test_nothing_but_an_index_is_overwritten(tmp_path, embedder, rows):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="exists and is no index"):
            Index.create(tmp_path / "photos", embedder, rows, overwrite=overwrite)
    assert entries(tmp_path / "photos") == ["one.jpg"]
    (tmp_path / "empty").mkdir()
    assert len(Index.create(tmp_path / "empty", embedder, rows)) == 5


def failing(after: int):
    """An embedder that fails after so many calls."""
    calls = []

    def rule(text):
        calls.append(text)
        if len(calls) > after:
            raise KeyboardInterrupt
        return [1.0, 2.0]

    return RuleEmbedder(2, rule)


def test_an_interrupted_creation_leaves_nothing(tmp_path, rows, monkeypatch):
    monkeypatch.setattr("likewise.search.rows.BLOCK_ROWS", 2)
    with pytest.raises(KeyboardInterrupt):
        Index.create(tmp_path / "index", failing(3), rows)
    assert entries(tmp_path) == []


def test_an_interrupted_replacement_leaves_the_old_index(index, tmp_path, rows):
    with pytest.raises(KeyboardInterrupt):
        Index.create(tmp_path / "index", failing(1), rows, overwrite=True)
    assert entries(tmp_path) == ["index"]
    assert len(Index.open(tmp_path / "index")) == 5


def test_an_interrupted_addition_leaves_the_index_as_it_was(tmp_path, rows):
    embedder = random_embedder()
    index = Index.create(tmp_path / "index", embedder, rows)
    before = entries(tmp_path / "index")

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add([{"id": "z", "text": "zebra"}], progress=interrupt)
    assert len(index) == len(Index.open(tmp_path / "index")) == 5
    assert set(entries(tmp_path / "index")) - set(before) <= {".lock"}
    assert index.add([{"id": "z", "text": "zebra"}]) == 1


KILLED = """
    import sys, time
    from evaluation.rule_embedder import RuleEmbedder
    from likewise.search import Index
    def slow(text):
        print("at work", flush=True)
        time.sleep(60)
        return [1.0, 2.0]
    Index.create(sys.argv[1], RuleEmbedder(2, slow), [{"text": "a"}])
"""


@pytest.fixture
def being_made(tmp_path):
    """Another process that is making the index ``tmp_path / "index"``."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "index")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_processes_do_not_make_one_index_and_a_killed_one_is_cleaned_up_after(tmp_path, being_made, rows, embedder):
    with pytest.raises(InputError, match="there is no index"):
        Index.open(tmp_path / "index")
    with pytest.raises(InputError, match=r"the index '.*' is being written by another process; wait"):
        Index.create(tmp_path / "index", embedder, rows)
    being_made.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    being_made.wait()
    assert not (tmp_path / "index").exists()
    assert len(Index.create(tmp_path / "index", embedder, rows)) == 5
    assert entries(tmp_path) == ["index"]


def test_two_processes_do_not_change_one_index_at_once(index, tmp_path):
    other = Index.open(tmp_path / "index", random_embedder())
    with storage.only_writer(tmp_path / "index" / ".lock", "it"):
        for change in (
            lambda: other.add([{"id": "z", "text": "zebra"}]),
            lambda: other.delete(["a1"]),
            other.build_approximate,
        ):
            with pytest.raises(InputError, match="is being written by another process"):
                change()
    assert other.delete(["a1"]) == 1


FULL = """
    import resource, signal, sys
    from evaluation.rule_embedder import random_embedder
    from likewise.data import Column, Text, open_table
    from likewise.errors import RunError
    from likewise.search import Index
    folder, columns = sys.argv[1], [Column("text", Text)]
    rows = open_table([{"text": f"text {i}", "id": i} for i in range(2000)], columns=columns)
    index = Index.open(folder + "/index", random_embedder())
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    for attempt in (lambda: Index.create(folder + "/other", random_embedder(), rows), lambda: index.add(rows)):
        try:
            attempt()
        except RunError as error:
            print(error)
    print(len(Index.open(folder + "/index")), *[hit.id for hit in index.search("x")])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of a file")
def test_a_full_disk_is_one_sentence_and_another_process_leaves_everything_as_it_was(index, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(FULL), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        check=True,
    )
    first, second, last = done.stdout.splitlines()
    for message in (first, second):
        assert message.startswith("cannot write into '")
        assert "no index was changed. Make room or give another folder" in message
    assert last.split() == ["5", *(hit.id for hit in index.search("x"))]
    assert done.stderr == ""
    assert entries(tmp_path) == ["index"]
    assert "spool.arrow" not in entries(tmp_path / "index")


def test_a_folder_that_may_not_be_written_is_said(tmp_path, embedder, rows):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot write into"):
        Index.create(tmp_path / "file" / "index", embedder, rows)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "there is no index '.*'; make one with `likewise index MODEL"),
        (lambda folder: folder.mkdir(), r"is no index \(it has no index.json\)"),
        (lambda folder: (folder.mkdir(), (folder / "index.json").write_text("{")), "cannot be read"),
        (lambda folder: (folder.mkdir(), (folder / "index.json").write_text('{"format": 99}')), "has format 99"),
        (lambda folder: folder.write_text("x"), "there is no index"),
    ],
)
def test_what_is_no_index_is_said(tmp_path, make, words):
    make(tmp_path / "index")
    with pytest.raises(InputError, match=words):
        Index.open(tmp_path / "index")


def test_an_index_without_its_rows_is_said(index, tmp_path):
    (tmp_path / "index" / "rows.lance").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"is damaged .*; make it again"):
        Index.open(tmp_path / "index")


def test_another_model_is_refused_with_the_name_of_the_right_one(index, tmp_path):
    with pytest.raises(
        InputError,
        match=r"was made with the model 'by rule' \(8 dimensions, not 4 as 'by rule' has\); search it with that",
    ):
        Index.open(tmp_path / "index", random_embedder(4))
    with pytest.raises(InputError, match=r"\(fingerprint 0123abcd, not ffffffff as 'by rule' has\).*make it again"):
        Index.open(tmp_path / "index", random_embedder(8, fingerprint="ffffffffffff"))


def test_a_model_that_is_gone_is_said_when_it_is_needed(index, tmp_path):
    opened = Index.open(tmp_path / "index")
    assert opened.search("dog", mode="text")
    with pytest.raises(InputError, match=r"was made with the model 'by rule', which cannot be loaded any more"):
        opened.search("dog")


def test_a_model_that_was_trained_on_is_refused(tmp_path, tiny_tower, rows):
    tiny_tower.save(tmp_path / "model")
    Index.create(tmp_path / "index", tiny_tower, rows, model=tmp_path / "model")
    with torch.no_grad():
        next(iter(tiny_tower.parameters())).add_(0.1)
    tiny_tower.save(tmp_path / "changed")
    (tmp_path / "model").rename(tmp_path / "before")
    (tmp_path / "changed").rename(tmp_path / "model")
    with pytest.raises(InputError, match=r"was made with the model .*fingerprint"):
        Index.open(tmp_path / "index").search("dog")


@pytest.mark.parametrize(
    ("query", "options", "error", "words"),
    [
        ("", {}, InputError, "the query is empty"),
        ("  ", {"mode": "text"}, InputError, "the query is empty"),
        ("x", {"mode": "vectors"}, InputError, "unknown search mode 'vectors': did you mean 'vector'"),
        ("x", {"k": 0}, ValueError, "k is 0; at least 1"),
        ("x", {"where": "yeer > 2000"}, InputError, r"'yeer > 2000' cannot be used \(.*No field named yeer\); an SQL"),
        ("x", {"where": "year > "}, InputError, "columns id, text, year, topic is accepted"),
        ("x", {"where": 'topic = "animals', "mode": "text"}, InputError, "cannot be used"),
        (torch.ones(3), {}, ValueError, r"the vector has shape \[3\]; \[8\] is accepted"),
        (torch.zeros(8), {}, InputError, "zero or not finite"),
        (torch.full((8,), torch.nan), {}, InputError, "zero or not finite"),
        (torch.ones(8), {"mode": "hybrid"}, InputError, "mode 'hybrid' looks for words and needs a text"),
    ],
)
def test_what_cannot_be_searched_is_said(index, query, options, error, words):
    with pytest.raises(error, match=words):
        index.search(query, **options)


@pytest.mark.parametrize(
    ("rows", "options", "error", "words"),
    [
        ([], {}, InputError, "no rows"),
        ([{"text": ""}], {}, InputError, "is empty"),
        ([{"text": "a"}], {"text_column": "word"}, InputError, "has no column 'word'"),
        ([{"text": "a"}], {"id_column": "key"}, InputError, "unknown column 'key'"),
        ([{"text": "a", "key": 1}], {"id_column": "key", "numbered": True}, InputError, "cannot be numbered and have"),
        ([{"text": "a", "id": 1}, {"text": "b", "id": 1}], {}, InputError, r"id '1' occurs twice, in rows\[0\] and"),
        ([{"text": "a"}], {"language": "Klingon"}, InputError, "unknown language 'Klingon'"),
        ([{"text": "a"}], {"vectors": torch.ones(2, 8)}, ValueError, r"shape \[2, 8\]; \[1, 8\] is accepted"),
        ([{"text": "a"}], {"vectors": torch.zeros(1, 8)}, InputError, r"rows\[0\]: its vector is zero or not finite"),
    ],
)
def test_what_cannot_be_indexed_is_said_and_leaves_nothing(tmp_path, embedder, rows, options, error, words):
    with pytest.raises(error, match=words):
        Index.create(tmp_path / "index", embedder, rows, **options)
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": "a1", "text": "x"}, "the index has a row with id 'a1' already"),
        ({"text": "x", "year": 1}, "unknown column|no id|has no column"),
        (
            {"id": "n", "text": "x", "colour": "red"},
            r"column 'colour' that the index does not have \(its metadata: year,",
        ),
        ({"id": "n", "text": "x", "year": "old"}, "the column 'year' holds string, but in the index it is int64"),
        ({"id": "n", "text": "x", "year": {"a": 1}}, "the column 'year' holds"),
        ({"id": "n", "text": "x", "year": 1.5}, "the column 'year' holds double"),
    ],
)
def test_what_does_not_fit_the_index_is_said(index, row, words):
    with pytest.raises(InputError, match=words):
        index.add([row])
    assert len(index) == 5


def test_numbered_rows_are_not_replaced(tmp_path, embedder):
    index = Index.create(tmp_path / "index", embedder, [{"text": "a"}])
    with pytest.raises(InputError, match="numbers its rows, so no new row can replace one"):
        index.add([{"text": "b"}], replace=True)


def test_every_message_is_one_paragraph(index):
    with pytest.raises(LikewiseError) as caught:
        index.search("x", where="year > 'a")
    assert "\n" not in str(caught.value)
    assert ".rs" not in str(caught.value)


def test_opening_is_quick_and_does_not_load_the_model(index, tmp_path):
    start = time.perf_counter()
    assert json.loads((tmp_path / "index" / "index.json").read_text())["model"] == "by rule"
    Index.open(tmp_path / "index")
    assert time.perf_counter() - start < 1
