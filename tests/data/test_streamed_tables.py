"""Rows that are read anew each time: the same rows, the same checks, nothing stored."""

import json

import pytest

from likewise.data import Column, StreamedTable, Text, open_table
from likewise.errors import InputError

TEXT = [Column("text", Text)]
MANY = [*TEXT, Column("negative", Text, required=False, many=True)]


def numbered(count, **more):
    return "".join(json.dumps({"text": f"row {i}", **more}) + "\n" for i in range(count))


def test_the_rows_are_those_of_the_stored_table(write):
    path = write("a.jsonl", numbered(5000, id=1))
    streamed = open_table(path, columns=TEXT, streaming=True)
    assert isinstance(streamed, StreamedTable)
    assert list(streamed) == list(open_table(path, columns=TEXT))
    assert list(streamed) == list(streamed.stream())


def test_nothing_is_stored(write, cache):
    list(open_table(write("a.jsonl", numbered(10)), columns=TEXT, streaming=True))
    assert not cache.exists()


@pytest.mark.parametrize("start", [0, 1, 2999, 4999, 5000])
def test_reading_begins_anywhere(write, start):
    table = open_table(write("a.jsonl", numbered(5000)), columns=TEXT, streaming=True)
    assert [row["text"] for row in table.stream(start)] == [f"row {i}" for i in range(start, 5000)]


def test_several_files_follow_each_other(write, tmp_path):
    write("a.csv", "text\none\n")
    write("b.csv", "text\ntwo\n")
    assert [row["text"] for row in open_table(tmp_path / "*.csv", columns=TEXT, streaming=True)] == ["one", "two"]


def test_rows_have_every_column_that_a_file_begins_with(write, tmp_path):
    write("a.jsonl", '{"text": "one"}\n')
    write("b.jsonl", '{"text": "two", "negative": "x"}\n')
    table = open_table(tmp_path / "*.jsonl", columns=MANY, streaming=True)
    assert table.column_names == ["text", "negative"]
    assert list(table) == [{"text": "one", "negative": []}, {"text": "two", "negative": ["x"]}]


def test_a_bad_row_far_away_is_met_when_it_is_read(write):
    table = open_table(write("a.jsonl", numbered(20_000) + '{"text": ""}\n'), columns=TEXT, streaming=True)
    rows = table.stream()
    assert next(rows) == {"text": "row 0"}
    with pytest.raises(InputError, match=r"^a\.jsonl, row 20001: column 'text' is empty"):
        list(rows)


def test_a_missing_column_is_known_at_once(write, tmp_path):
    write("a.jsonl", numbered(10))
    write("b.jsonl", '{"body": "two"}\n')
    with pytest.raises(InputError, match=r"^b\.jsonl has no column 'text'"):
        open_table(tmp_path / "*.jsonl", columns=TEXT, streaming=True)


def test_skipped_rows_are_counted_once_a_reading_and_recorded(write, tmp_path):
    path = write("a.jsonl", numbered(2) + '{"text": ""}\n' + numbered(1) + "nonsense\n")
    record = tmp_path / "rejected.jsonl"
    table = open_table(path, columns=TEXT, streaming=True, bad_rows="skip", rejected=record)
    for _ in range(2):
        assert len(list(table)) == 3
        assert table.rejected == 2
        assert [json.loads(line)["row"] for line in record.read_text().splitlines()] == [3, 5]


def test_rows_that_are_all_bad_are_refused(write):
    table = open_table(write("a.jsonl", '{"text": ""}\n'), columns=TEXT, streaming=True, bad_rows="skip")
    with pytest.raises(InputError, match=r"^none of the 1 rows of a\.jsonl can be used"):
        list(table)


def test_the_fingerprint_changes_with_the_files(write):
    path = write("a.jsonl", numbered(10))
    first = open_table(path, columns=TEXT, streaming=True).fingerprint
    assert open_table(path, columns=TEXT, streaming=True).fingerprint == first
    write("a.jsonl", numbered(9) + '{"text": "new 9"}\n')
    assert open_table(path, columns=TEXT, streaming=True).fingerprint != first


def test_rows_from_python_can_be_streamed():
    assert list(open_table([{"text": "one"}], columns=TEXT, streaming=True)) == [{"text": "one"}]
