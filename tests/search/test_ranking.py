"""Hits come in an order that is the same every time."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.search.ranking import fused, top


def searching(rows, order):
    """A search that cuts after ``limit`` rows and takes equal ones in any order."""
    asked = []

    def find(limit):
        asked.append(limit)
        return pa.Table.from_pylist(order(rows)[:limit], schema=pa.schema([("id", pa.string()), ("s", pa.float64())]))

    return find, asked


scored = st.lists(st.integers(0, 3), min_size=0, max_size=80).map(
    lambda scores: [{"id": str(i), "s": float(score)} for i, score in enumerate(scores)]
)


@given(scored, st.integers(1, 12), st.randoms(use_true_random=False), st.sampled_from(["highest", "lowest"]))
def test_equal_scores_are_in_the_order_of_ids_wherever_the_search_is_cut(rows, k, random, best):
    sign = -1 if best == "highest" else 1
    shuffled = random.sample(rows, len(rows))
    find, _ = searching(shuffled, lambda some: sorted(some, key=lambda row: sign * row["s"]))
    expected = sorted(rows, key=lambda row: (sign * row["s"], int(row["id"])))[:k]
    assert top(find, k, "s", best=best) == expected


def test_no_more_is_asked_for_than_is_needed():
    rows = [{"id": str(i), "s": -float(i)} for i in range(100)]
    find, asked = searching(rows, list)
    assert len(top(find, 5, "s", best="highest")) == 5
    assert len(asked) == 1


def test_fusion_is_the_sum_of_reciprocal_ranks():
    one, two, three = ({"id": name} for name in "abc")
    ranked = fused([[one, two, three], [three, one]])
    assert [row["id"] for row, _ in ranked] == ["a", "c", "b"]
    assert [score for _, score in ranked] == pytest.approx([1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62])


def test_rows_that_fuse_to_the_same_score_are_in_the_order_of_ids():
    ranked = fused([[{"id": "10"}, {"id": "9"}], [{"id": "9"}, {"id": "10"}]])
    assert [row["id"] for row, _ in ranked] == ["9", "10"]
