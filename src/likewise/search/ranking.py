"""Putting hits in an order that is the same every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pyarrow as pa

__all__ = ["FUSION", "fused", "top"]

FUSION = 60
"""Constant of reciprocal rank fusion: how little the first ranks count more than the next."""

Row = dict[str, Any]


def _place(row: Row) -> tuple[int, str]:
    return len(row["id"]), row["id"]


def top(find: Callable[[int], pa.Table], k: int, score: str, *, best: Literal["highest", "lowest"]) -> list[Row]:
    """Return the ``k`` best rows; equal scores in the order of their ids, shorter ids first.

    A search that is cut after ``k`` rows takes any of those that are equal at the cut, so more are asked for until none
    of them is missing.

    Args:
        find: Returns the best rows of a given number.
        k: How many.
        score: Column of the score.
        best: Which scores are good.
    """
    limit, sign = k + 8, 1 if best == "lowest" else -1
    while True:
        rows: list[Row] = find(limit).to_pylist()
        rows.sort(key=lambda row: (sign * row[score], *_place(row)))
        if len(rows) < limit or rows[-1][score] != rows[k - 1][score]:
            return rows[:k]
        limit *= 4


def fused(rankings: Sequence[Sequence[Row]]) -> list[tuple[Row, float]]:
    """Fuse rankings by reciprocal rank: each row scores ``sum 1 / (60 + rank)`` over the rankings that have it.

    Source: Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual rank
        learning methods", SIGIR.

    Example:
        >>> a, b = {"id": "a"}, {"id": "b"}
        >>> [(row["id"], round(score, 4)) for row, score in fused([[a, b], [b]])]
        [('b', 0.0325), ('a', 0.0164)]
    """
    rows: dict[str, Row] = {}
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, 1):
            rows.setdefault(row["id"], row)
            scores[row["id"]] = scores.get(row["id"], 0.0) + 1 / (FUSION + rank)
    return sorted(((row, scores[name]) for name, row in rows.items()), key=lambda pair: (-pair[1], *_place(pair[0])))
