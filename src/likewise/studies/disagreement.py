"""Where two models see a space differently: rows whose neighbours have least in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Disagreement", "disagreements"]

Near = list[tuple[int, float]]
"""Candidates with their cosines, nearest first; -1 where there are fewer."""


@dataclass(frozen=True)
class Disagreement:
    """A row that two models see differently.

    Args:
        row: Its number.
        first: Its neighbours with the first model.
        second: Its neighbours with the second model.
        ranks: Rank of its own positive with either, where rows have positives.
    """

    row: int
    first: Near
    second: Near
    ranks: tuple[int, int] | None


def disagreements(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], number: int) -> list[Disagreement]:
    """Return the rows on which two models disagree most.

    Where rows have positives, by how far the rank of the own positive moved, as a ratio: from 1 to 10 is as far as from
    10 to 100. Elsewhere by how few neighbours both have. Of equal ones the first rows are taken.

    Args:
        first: Arrays as :class:`likewise.studies.measures.Neighbours` names them.
        second: Those of the other model, on the same rows.
        number: How many, at most; rows on which both agree are not among them.

    Example:
        >>> a = {"index": np.array([[1], [0], [1]]), "cosine": np.ones((3, 1)), "rank": np.empty(0)}
        >>> b = {"index": np.array([[1], [2], [1]]), "cosine": np.ones((3, 1)), "rank": np.empty(0)}
        >>> [one.row for one in disagreements(a, b, 5)]
        [1]
    """
    has_ranks = len(first["rank"]) > 0
    if has_ranks:
        distance = np.abs(np.log(first["rank"]) - np.log(second["rank"]))
    else:
        shared = (first["index"][:, :, None] == second["index"][:, None, :]).any(axis=2).sum(axis=1)
        distance = (first["index"].shape[1] - shared).astype(float)
    order = np.argsort(-distance, kind="stable")[:number]
    return [
        Disagreement(
            int(row),
            _near(first, row),
            _near(second, row),
            (int(first["rank"][row]), int(second["rank"][row])) if has_ranks else None,
        )
        for row in order
        if distance[row] > 0
    ]


def _near(found: Mapping[str, np.ndarray], row: int) -> Near:
    return [(int(i), float(c)) for i, c in zip(found["index"][row], found["cosine"][row], strict=True)]
