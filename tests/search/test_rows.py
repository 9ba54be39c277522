"""What an index stores of a table: ids, texts, metadata of found-out types."""

import datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from likewise.data import Column, Text, open_table
from likewise.errors import InputError
from likewise.search import rows as index_rows
from likewise.search.rows import open_rows, survey


def types_of(rows, **options):
    found = survey(open_rows(rows, "text"), None, **options)
    return {name: str(kind) for name, kind in found.types.items()}, found.json


def test_types_are_found_over_all_rows(monkeypatch):
    monkeypatch.setattr(index_rows, "BLOCK_ROWS", 2)
    rows = [
        {"text": "a", "whole": 1, "number": 1, "word": None, "flag": True, "tags": [], "never": None, "mixed": 1},
        {"text": "b", "whole": 2, "number": 2, "word": None, "flag": None, "tags": None, "never": None, "mixed": 2},
        {
            "text": "c",
            "whole": 3,
            "number": 0.5,
            "word": "w",
            "flag": False,
            "tags": ["x"],
            "never": None,
            "mixed": "z",
        },
    ]
    types, json = types_of(rows)
    assert types["whole"] == "int64"
    assert types["number"] == "double"
    assert types["word"] == "string"
    assert types["flag"] == "bool"
    assert types["tags"] == "list<item: string>"
    assert types["never"] == "null"
    assert types["mixed"] == "string"
    assert json == {"mixed"}


def test_dates_and_bytes_of_a_parquet_file_keep_their_types(tmp_path):
    row = {"text": "a", "day": datetime.date(2026, 1, 2), "when": datetime.datetime(2026, 1, 2, 3, 4), "raw": b"x"}
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "rows.parquet")
    types, json = types_of(tmp_path / "rows.parquet")
    assert types == {"day": "date32[day]", "when": "timestamp[us]", "raw": "binary"}
    assert json == set()


def test_names_that_are_taken_get_an_underscore():
    table = pa.table({"text": ["a"], "score": [1.0], "vector": [2], "a.b": [3], "_distance": [4]})
    rows = table.to_pylist()
    types, _ = types_of(rows)
    assert set(types) == {"score_", "vector_", "a_b", "_distance_"}


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["x", "y", "x"], r"id 'x' occurs twice, in rows\[0\] and rows\[2\]"),
        ([1, 2, "1"], r"id '1' occurs twice, in rows\[0\] and rows\[2\]"),
        (["x", None, "y"], r"rows\[1\]: column 'id' holds None, which is no id"),
        (["x", " ", "y"], r"rows\[1\]: column 'id' holds ' ', which is no id"),
        ([1.5, 2.0, 3.0], r"rows\[0\]: column 'id' holds 1.5, which is no id"),
        ([True, False, True], "which is no id"),
    ],
)
def test_what_is_no_id_is_said_with_its_row(ids, words):
    rows = [{"text": "t", "id": one} for one in ids]
    with pytest.raises(InputError, match=words):
        survey(open_rows(rows, "text"), "id")


def test_whole_numbers_are_ids_as_they_are_written():
    rows = open_rows([{"text": "t", "id": 7}, {"text": "t", "id": 8}], "text")
    found = survey(rows, "id")
    assert list(found.ids) == ["7", "8"]


def test_a_table_may_declare_its_columns_or_not():
    rows = [{"text": "a", "id": "x", "year": 1}]
    declared = open_table(rows, columns=[Column("text", Text), Column("id", Text)])
    for source in (rows, declared):
        found = survey(open_rows(source, "text"), "id")
        assert list(found.ids) == ["x"]
        assert list(found.types) == ["year"]


def test_a_table_without_the_text_column_is_said():
    table = open_table([{"words": "a"}], columns=[Column("words", Text)])
    with pytest.raises(InputError, match="unknown column 'word': did you mean 'words'"):
        open_rows(table, "word")


def test_a_text_that_was_not_declared_is_checked():
    table = open_table([{"words": "a", "body": "b"}, {"words": "a", "body": " "}], columns=[Column("words", Text)])
    with pytest.raises(
        InputError, match=r"rows\[1\]: column 'body' is empty; a row of an index needs a non-empty text"
    ):
        survey(open_rows(table, "body"), None)
