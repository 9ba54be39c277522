"""Pairs of rows that have one label, label by label in a random order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from likewise.errors import unknown

if TYPE_CHECKING:
    from jaxtyping import Int

__all__ = ["Balance", "LabelPairs"]

Balance = Literal["none", "reduce", "extend"]
"""What is done about labels of very different size."""


@dataclass(frozen=True)
class LabelPairs:
    """Makes pairs of rows with equal labels: each label's rows in a random order, neighbours make a pair.

    A label of ``n`` rows gives ``n - 1`` pairs: each row is once an anchor and once a partner, but the first and the
    last. A row is never paired with itself, so a label of one row gives none.

    Args:
        balance: "none": as said. "reduce": of the rows of a label at most as many take part as the second-largest
            label has. "extend": every label of two rows or more gives as many pairs as the largest label has rows; its
            rows are put into another order whenever they are used up.

    Raises:
        InputError: There is no such balance.

    Source: Burdisso et al. 2024, arXiv 2410.18481; official ``SimilarityDatasetFromLabels`` (which, with "extend",
        pairs the row of a label of one row with itself).

    Example:
        >>> LabelPairs("none").of(["a", "b", "a"], np.random.default_rng(0)).tolist() in ([[0, 2]], [[2, 0]])
        True
        >>> LabelPairs("extend").of(["a", "b", "a", "b", "b"], np.random.default_rng(0)).shape  # 3 pairs of each
        (6, 2)
    """

    balance: Balance = "none"

    def __post_init__(self) -> None:
        if self.balance not in get_args(Balance):
            raise unknown("balance of labels", self.balance, get_args(Balance))

    def of(self, labels: Sequence[Any], random: np.random.Generator) -> Int[np.ndarray, "P 2"]:
        """Return the pairs, shuffled.

        Args:
            labels: Label of each row.
            random: Everything random is drawn from it; labels draw in the order of their sorted names.

        Returns:
            Numbers of two rows, int64 ``[P, 2]``; ``[0, 2]`` where no label has two rows.

        Cost: O(N log N) for N rows, and the pairs.
        """
        _, number, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
        groups = np.split(np.argsort(number, kind="stable"), np.cumsum(counts)[:-1]) if len(counts) else []
        sizes = sorted(counts.tolist(), reverse=True)
        pairs = [self._of_label(rows, sizes, random) for rows in groups if len(rows) > 1]
        if not pairs:
            return np.empty((0, 2), dtype=np.int64)
        return random.permutation(np.concatenate(pairs)).astype(np.int64)

    def _of_label(
        self, rows: Int[np.ndarray, "n"], sizes: list[int], random: np.random.Generator
    ) -> Int[np.ndarray, "p 2"]:
        if self.balance == "extend":
            return np.array(list(_again_and_again(rows, sizes[0], random)))
        order = random.permutation(rows)
        if self.balance == "reduce":
            order = order[: max(sizes[1], 2)] if len(sizes) > 1 else order  # one row would make no pair
        return np.stack([order[:-1], order[1:]], axis=1)


def _again_and_again(rows: Int[np.ndarray, "n"], number: int, random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Go around the rows; where the last meets the first, it is in a new order."""
    order = random.permutation(rows)
    for i in range(number):
        if (i + 1) % len(order) == 0:
            order = random.permutation(rows)
        yield order[i % len(order)], order[(i + 1) % len(order)]
