"""What is made of the data before training is made once, whole, and found again."""

import json

import numpy as np
import pytest

from likewise.data import Column, Number, Stages, Text, Vector
from likewise.errors import InputError

TEXT = Column("text", Text)


def counted(rows):
    made = []

    def make():
        made.append(1)
        yield from rows

    return make, made


def test_a_table_is_made_once_and_made_again_when_it_depends_on_something_else(tmp_path):
    make, made = counted([{"text": "a", "why": 1}, {"text": "b", "why": 2}])
    for seed in (0, 0, 1, 1):
        table = Stages(tmp_path).table("pairs", [TEXT], make, depends_on={"seed": seed})
    assert len(made) == 2
    assert [row["text"] for row in table] == ["a", "b"]
    assert table.extra(1) == {"why": 2}
    lines = (tmp_path / "pairs.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {"text": "a", "why": 1}


def test_vectors_and_numbers_come_back_as_they_were(tmp_path):
    rows = [{"text": f"t{i}", "vector": [i, 0.5], "weight": i / 4} for i in range(5000)]
    columns = [TEXT, Column("vector", Vector), Column("weight", Number)]
    table = Stages(tmp_path).table("rows", columns, lambda: rows, depends_on={})
    assert (tmp_path / "rows.parquet").exists()
    assert table[4999] == {"text": "t4999", "vector": [4999.0, 0.5], "weight": 4999 / 4}


def test_a_preparation_that_fails_leaves_nothing_that_looks_whole(tmp_path):
    def breaks():
        yield {"text": "a"}
        raise InputError("row 2 cannot be used.")

    with pytest.raises(InputError, match="row 2"):
        Stages(tmp_path).table("pairs", [TEXT], breaks, depends_on={})
    assert not (tmp_path / "pairs.jsonl").exists()
    with pytest.raises(InputError, match="made no row of 'pairs'"):
        Stages(tmp_path).table("pairs", [TEXT], list, depends_on={})
    assert len(Stages(tmp_path).table("pairs", [TEXT], lambda: [{"text": "b"}], depends_on={})) == 1


def test_rows_that_are_dear_are_made_once_even_where_the_making_is_killed(tmp_path):
    folder = tmp_path / "prepared"
    asked = []

    def make(start, stop=9):
        asked.append(start)
        for i in range(start, 6):
            if i == stop:
                raise KeyboardInterrupt
            yield {"text": f"dear {i}"}

    with pytest.raises(KeyboardInterrupt):
        Stages(folder).appended("dear", [TEXT], lambda start: make(start, 3), depends_on={"seed": 0})
    assert not (folder / "dear.jsonl").exists()
    with (folder / ".dear.jsonl.writing").open("a") as file:
        file.write('{"text": "half a li')  # a kill in the middle of a line
    said = []
    table = Stages(folder, said.append).appended("dear", [TEXT], make, depends_on={"seed": 0})
    assert [row["text"] for row in table] == [f"dear {i}" for i in range(6)]
    assert asked == [0, 3]
    assert said == ["dear: going on behind 3 rows that are there already"]
    assert sorted(path.name for path in folder.iterdir()) == ["dear.jsonl", "dear.jsonl.from.json"]
    Stages(folder).appended("dear", [TEXT], make, depends_on={"seed": 0})
    assert asked == [0, 3]


def test_rows_that_were_begun_from_something_else_are_not_gone_on_with(tmp_path):
    asked = []

    def make(start, fail):
        asked.append(start)
        yield {"text": "a"}
        if fail:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path).appended("dear", [TEXT], lambda start: make(start, True), depends_on={"seed": 0})
    table = Stages(tmp_path).appended("dear", [TEXT], lambda start: make(start, False), depends_on={"seed": 1})
    assert (asked, len(table)) == ([0, 0], 1)
    with pytest.raises(InputError, match="made no row of 'none'"):
        Stages(tmp_path).appended("none", [TEXT], lambda start: [], depends_on={})


def test_an_array_is_made_once_and_is_read_from_the_file(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.arange(6.0).reshape(2, 3)

    first = Stages(tmp_path).array("vectors", make, depends_on={"model": "x"})
    second = Stages(tmp_path).array("vectors", make, depends_on={"model": "x"})
    assert len(made) == 1
    assert isinstance(second, np.memmap)
    assert np.array_equal(first, second)
    with pytest.raises(ValueError, match="read-only"):
        second[0, 0] = 1.0


def test_people_are_told_how_far_it_is(tmp_path):
    said = []
    Stages(tmp_path, said.append).say("12 of 20 texts")
    Stages(tmp_path).say("nobody listens")
    assert said == ["12 of 20 texts"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1, 2.5], None),
        (3, None),
        ([], "is an empty list"),
        ([1, "a"], "number 2"),
        ("x", "is a text"),
        (None, "is mi"),
    ],
)
def test_a_vector_is_a_list_of_finite_numbers(value, problem):
    found = Vector.problem(value)
    assert found is None if problem is None else problem in found


def test_a_making_that_cannot_begin_leaves_nothing_behind(tmp_path):
    def breaks(start):
        raise InputError("the model cannot be loaded.")
        yield

    with pytest.raises(InputError, match="cannot be loaded"):
        Stages(tmp_path / "prepared").appended("dear", [TEXT], breaks, depends_on={})
    assert list((tmp_path / "prepared").iterdir()) == []
