"""What a table promises once it is open: access, metadata, fingerprint, a cache that is never stale."""

import json
import multiprocessing
import os
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from likewise.data import Column, Number, Text, cache_folder, open_table

TEXT = [Column("text", Text)]
SCORED = [Column("text", Text), Column("score", Number, required=False)]


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def table(write):
    rows = [{"text": f"row {i}", "id": i, "kind": "even" if i % 2 == 0 else "odd"} for i in range(3000)]
    return open_table(write("notes.jsonl", lines(*rows)), columns=TEXT)


def test_rows_are_had_by_number(table):
    assert len(table) == 3000
    assert table[0] == {"text": "row 0"}
    assert table[-1] == {"text": "row 2999"}
    assert table[np.int64(7)] == {"text": "row 7"}
    assert table.rows([5, 5, 2999]) == [{"text": "row 5"}, {"text": "row 5"}, {"text": "row 2999"}]
    assert table.rows([]) == []


@pytest.mark.parametrize("i", [3000, -3001])
def test_a_row_that_does_not_exist_is_an_index_error(table, i):
    with pytest.raises(IndexError, match=rf"row {i} does not exist: notes\.jsonl has 3000 rows"):
        table[i]


def test_a_table_is_gone_through_from_anywhere(table):
    assert list(table) == [{"text": f"row {i}"} for i in range(3000)]
    assert list(table.stream(2998)) == [{"text": "row 2998"}, {"text": "row 2999"}]
    assert list(table.stream(3000)) == []


def test_a_declared_column_is_had_whole(table):
    assert table.column("text").to_pylist()[:2] == ["row 0", "row 1"]


def test_other_columns_are_metadata(table):
    assert table.extra_names == ["id", "kind"]
    assert table.extra(3) == {"id": 3, "kind": "odd"}
    assert table.extras([0, 2]) == [{"id": 0, "kind": "even"}, {"id": 2, "kind": "even"}]


def test_metadata_of_several_kinds_comes_back_as_it_was(write):
    values = [1, 2.5, "three", None, {"four": [4]}, [5], True, 10**30]
    table = open_table(write("a.jsonl", lines(*({"text": "x", "any": value} for value in values))), columns=TEXT)
    assert [table.extra(i)["any"] for i in range(len(values))] == values


def test_metadata_may_change_its_kind_far_into_the_file(write):
    rows = [{"text": "x" * 300, "n": i, "sometimes": None} for i in range(3000)]
    rows[2500] = {"text": "x", "n": 0.5, "late": "here", "sometimes": 3}
    rows[2900] = {"text": "x", "n": "text", "sometimes": "so"}
    table = open_table(write("a.jsonl", lines(*rows)), columns=TEXT)
    assert table.extra(0) == {"n": 0, "sometimes": None, "late": None}
    assert table.extra(2500) == {"n": 0.5, "late": "here", "sometimes": 3}
    assert table.extra(2900) == {"n": "text", "late": None, "sometimes": "so"}
    assert len(table) == 3000


def test_metadata_of_parquet_keeps_its_type(tmp_path):
    nested = {"text": ["one"], "tags": [["a", "b"]], "at": [{"x": 1}], "day": np.array(["2024-02-03"], "datetime64[D]")}
    pq.write_table(pa.table(nested), tmp_path / "a.parquet")
    extra = open_table(tmp_path / "a.parquet", columns=TEXT).extra(0)
    assert (extra["tags"], extra["at"], str(extra["day"])) == (["a", "b"], {"x": 1}, "2024-02-03")


def test_metadata_that_no_table_can_hold_is_kept_as_json(tmp_path):
    mapping = pa.array([[("a", 1)]], type=pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"text": ["one"], "odd": mapping}), tmp_path / "a.parquet")
    assert open_table(tmp_path / "a.parquet", columns=TEXT).extra(0) == {"odd": [["a", 1]]}


def test_a_table_without_other_columns_has_no_metadata(write):
    assert open_table(write("a.txt", "one\n"), columns=TEXT).extra(0) == {}


def test_a_table_is_pickled_by_name_and_reopened(table):
    pickled = pickle.dumps(table)
    assert len(pickled) < 20_000
    again = pickle.loads(pickled)
    assert (again[2999], again.extra(1), again.where(1)) == (table[2999], table.extra(1), table.where(1))


def test_rows_from_python_can_be_pickled():
    table = pickle.loads(pickle.dumps(open_table([{"text": "one"}], columns=TEXT)))
    assert table[0] == {"text": "one"}


def test_the_fingerprint_is_of_the_contents_alone(write, tmp_path):
    rows = [{"text": "one", "score": 1}, {"text": "two", "score": 2}]
    same = [
        open_table(write("a.jsonl", lines(*rows)), columns=SCORED),
        open_table(write("elsewhere/b.csv", "score,id,text\n1,7,one\n2,8,two\n"), columns=SCORED),
        open_table(rows, columns=SCORED),
        open_table(write("c.jsonl", lines(rows[0], {"text": ""}, rows[1])), columns=SCORED, bad_rows="skip"),
    ]
    assert len({table.fingerprint for table in same}) == 1


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": "one", "score": 1}, {"text": "two", "score": 3}],
        [{"text": "two", "score": 2}, {"text": "one", "score": 1}],
        [{"text": "onet", "score": 1}, {"text": "wo", "score": 2}],
        [{"text": "one", "score": 1}, {"text": "two"}],
        [{"text": "one", "score": 1}],
        [{"text": "one"}, {"text": "two"}],
    ],
)
def test_the_fingerprint_differs_where_a_value_does(rows):
    known = open_table([{"text": "one", "score": 1}, {"text": "two", "score": 2}], columns=SCORED)
    assert open_table(rows, columns=SCORED).fingerprint != known.fingerprint


def test_the_fingerprint_tells_which_file_lacks_an_optional_column(write, tmp_path):
    columns = [*SCORED, Column("tags", Text, required=False, many=True)]
    full, bare = lines({"text": "one", "score": 1, "tags": ["x"]}), lines({"text": "one"})
    for folder, contents in {"x": (full, bare), "y": (bare, full)}.items():
        for name, content in zip("ab", contents, strict=True):
            write(f"{folder}/{name}.jsonl", content)
    write("z.jsonl", bare + full)
    first, last, whole = (open_table(tmp_path / name, columns=columns) for name in ("x", "y", "z.jsonl"))
    assert first.fingerprint != last.fingerprint
    assert last.fingerprint == whole.fingerprint


def test_the_fingerprint_tells_lists_from_their_parts():
    columns = [Column("text", Text, many=True)]
    one = open_table([{"text": ["a", "b"]}, {"text": ["c"]}], columns=columns)
    other = open_table([{"text": ["a"]}, {"text": ["b", "c"]}], columns=columns)
    assert one.fingerprint != other.fingerprint


def stored_files(cache):
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.arrow")}


def test_an_unchanged_file_is_not_read_again(write, cache):
    path = write("a.txt", "one\ntwo\n")
    first = open_table(path, columns=TEXT)
    before = stored_files(cache)
    again = open_table(path, columns=TEXT)
    assert stored_files(cache) == before
    assert again.fingerprint == first.fingerprint
    assert list(again) == list(first)


def test_a_changed_file_is_read_again(write):
    path = write("a.txt", "one\ntwo\n")
    open_table(path, columns=TEXT)
    assert list(open_table(write("a.txt", "six\ntwo\n"), columns=TEXT)) == [{"text": "six"}, {"text": "two"}]
    os.utime(path, ns=(0, 0))
    assert len(open_table(path, columns=TEXT)) == 2


def test_other_columns_of_the_same_file_are_another_table(write):
    path = write("a.csv", "text,score,title\none,1,t\n")
    assert open_table(path, columns=TEXT)[0] == {"text": "one"}
    assert open_table(path, columns=SCORED)[0] == {"text": "one", "score": 1.0}
    assert open_table(path, columns=TEXT, rename={"text": "title"})[0] == {"text": "t"}


def test_a_cache_folder_may_be_named(write, tmp_path, cache):
    table = open_table(write("a.txt", "one\n"), columns=TEXT, cache=tmp_path / "here")
    assert table[0] == {"text": "one"}
    assert stored_files(tmp_path / "here")
    assert not cache.exists()


def _open(path, go, results):
    go.wait()
    results.put(len(open_table(path, columns=TEXT)))


def test_two_processes_may_open_the_same_file_at_once(write, cache):
    path = write("a.txt", "word\n" * 20_000)
    context = multiprocessing.get_context("fork")
    go, results = context.Event(), context.Queue()
    workers = [context.Process(target=_open, args=(path, go, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    go.set()
    assert [results.get(timeout=60) for _ in workers] == [20_000] * 3
    for worker in workers:
        worker.join()
    assert len(stored_files(cache)) == 1


def test_the_environment_names_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LIKEWISE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("LIKEWISE_CACHE")
    assert cache_folder().name == "likewise"


def test_opening_says_nothing(write, capfd):
    open_table(write("a.jsonl", lines({"text": "one"})), columns=TEXT)[0]
    assert capfd.readouterr() == ("", "")
