"""Which rows show the space, and on which side they are encoded."""

import pytest
import torch

from evaluation.rule_embedder import random_embedder
from likewise.data import Column, Text, open_table
from likewise.geometry.space import SpaceRows
from likewise.methods import get_method

COLUMNS = (Column("query", Text), Column("positive", Text, required=False))
ROWS = [{"query": f"q {i}", "positive": f"p {i}" if i % 5 else None} for i in range(40)]


def look(table, columns, *, rows=20, seed=0):
    embedder = random_embedder()
    space = SpaceRows.draw(table, columns, roles={"query": "query"}, rows=rows, seed=seed)
    return space.described(*space.encode(embedder), temperature=0.1).figures, embedder.asked


def test_rows_are_drawn_once_by_the_seed_and_pairs_stay_pairs():
    table = open_table(ROWS, columns=COLUMNS)
    figures, ((role, queries), (other, positives)) = look(table, ("query", "positive"))
    assert (role, other) == ("query", None)
    assert [text.split()[1] for text in queries] == [text.split()[1] for text in positives]
    drawn = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:20].sort().values.tolist()
    assert queries == [f"q {i}" for i in drawn if i % 5]  # rows without a positive are passed over
    assert figures["rows"] == len(queries)
    assert figures["temperature"] == 0.1
    assert {"alignment", "length_bias"} <= figures.keys()
    assert look(table, ("query", "positive"), seed=1)[1][0][1] != queries


def test_one_column_has_no_positives_and_a_list_shows_its_first_text():
    table = open_table(
        [{"query": ["a", "b"]}, {"query": "c"}, {"query": ["d"]}], columns=[Column("query", Text, many=True)]
    )
    figures, asked = look(table, ("query",))
    assert asked == [("query", ["a", "c", "d"])]
    assert "alignment" not in figures


def test_of_a_stream_the_first_rows_are_looked_at(tmp_path):
    (tmp_path / "x.txt").write_text("\n".join(f"line {i}" for i in range(50)))
    table = open_table(tmp_path / "x.txt", columns=[Column("text", Text)], streaming=True)
    assert look(table, ("text",), rows=7)[1] == [(None, [f"line {i}" for i in range(7)])]


@pytest.mark.parametrize(
    ("method", "brought", "expected"),
    [
        ("pairs", ["query", "positive", "negative"], ("query", "positive")),
        ("simcse", ["text"], ("text",)),
        ("simcse", ["text", "positive"], ("text", "positive")),
    ],
)
def test_a_method_is_looked_at_by_its_pair_where_rows_bring_both(method, brought, expected):
    assert get_method(method).looked_at(brought) == expected
