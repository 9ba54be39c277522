"""Which keys are positives of a row, and the mean score of a row's positives.

The mean is linear in the products: ``sum_j w_ij scale_i <query_i, key_j> = scale_i <query_i, sum_j w_ij key_j>``. So
plain scores need no pairs: labels need sums over classes, weights one product. Scores that a ``score_mod`` makes are
summed over tiles of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.pairwise import Side

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise import PairOptions, ScoreMod

__all__ = ["LabelPositives", "Positives", "Scoring", "WeightPositives", "mean_scores"]


@dataclass(frozen=True)
class Scoring:
    """The rows of this process, the keys of all, and how a pair of them is scored.

    Args:
        query: Rows of this process ``[B, D]``.
        keys: Keys of all processes ``[N, D]``.
        queue: Constant keys ``[Q, D]``, or None.
        scale: 1 / temperature: a number, a scalar tensor or one per row ``[B]``.
        options: What else the engine takes; ``columns`` belong to all candidates.
        first_row: Number of this process's first row among all.
        num_others: Candidates between ``keys`` and ``queue``.
    """

    query: Float[Tensor, "B D"]
    keys: Float[Tensor, "N D"]
    queue: Float[Tensor, "Q D"] | None
    scale: float | Tensor
    options: PairOptions
    first_row: int
    num_others: int

    @property
    def own(self) -> slice:
        """Columns of the keys of this process's rows."""
        return slice(self.first_row, self.first_row + len(self.query))

    def options_of(self, first_column: int, num_columns: int) -> PairOptions:
        """Return the engine's options for a block of candidates."""
        options = self.options.copy()
        options["scale"] = self.scale
        last = first_column + num_columns
        options["columns"] = tuple(x[first_column:last] for x in options.get("columns", ()))
        options["first_column"] = first_column
        return options

    def values(self) -> tuple[Tensor, Tensor]:
        """Return query times scale, and keys, as the engine multiplies them."""
        precision = self.options.get("precision", "auto")
        rounded = pairwise.operands_are_rounded("info_nce", precision, (self.query, self.keys))
        query = pairwise.operand_values(self.query, rounded=rounded)
        per_row = isinstance(self.scale, Tensor) and self.scale.ndim == 1
        query = query * (self.scale[:, None] if isinstance(self.scale, Tensor) and per_row else self.scale)
        return query, pairwise.operand_values(self.keys, rounded=rounded)


class Positives(Protocol):
    """Weights of pairs: positive for positives, else 0."""

    row_totals: Float[Tensor, "B"]
    """Sum of the weights of each row."""

    column_totals: Float[Tensor, "B"] | None
    """Sum of the weights of the key of each row, over the rows of all processes; None if it is not wanted."""

    def linear_sums(self, scoring: Scoring) -> tuple[Tensor, Tensor | None]:
        """Return the weighted sums of plain scores, of each row ``[B]`` and of each key over local rows ``[N]``."""

    def pair_sums(self, scoring: Scoring) -> tuple[Tensor, Tensor | None]:
        """Return the same of scores that a ``score_mod`` makes."""


def mean_scores(positives: Positives, scoring: Scoring) -> tuple[Tensor, Tensor | None]:
    """Return the weighted mean score of the positives of each row ``[B]`` and of the key of each row ``[B]``.

    Without a positive it is 0.
    """
    with pairwise.without_autocast(scoring.query.device):
        plain = scoring.options.get("score_mod") is None
        rows, columns = positives.linear_sums(scoring) if plain else positives.pair_sums(scoring)
    rows = rows / _or_one(positives.row_totals)
    if columns is None or positives.column_totals is None:
        return rows, None
    columns = distributed.sum_over_processes(columns, with_grad=True)[scoring.own]
    return rows, columns / _or_one(positives.column_totals)


def _or_one(total: Tensor) -> Tensor:
    return total.masked_fill(total == 0, 1)


class LabelPositives:
    """Pairs of equal labels.

    Args:
        labels: Labels of this process's rows ``[B]``.
        counts: Rows of each process.
        queue_labels: Labels of the queue ``[Q]``, or None.
        both: Whether keys look among queries too.
        one_set: Whether keys are the queries themselves; then a row is no positive of itself.
    """

    def __init__(
        self,
        labels: Int[Tensor, "B"],
        counts: list[int],
        queue_labels: Int[Tensor, "Q"] | None,
        *,
        both: bool,
        one_set: bool,
    ) -> None:
        self._labels = labels
        self._queue_labels = queue_labels
        self._key_labels = distributed.gather_rows(labels, with_grad=False, counts=counts)
        self._both, self._one_set = both, one_set
        self._num_keys = len(self._key_labels)
        every = self._key_labels if queue_labels is None else torch.cat([self._key_labels, queue_labels])
        classes, self._index = torch.unique(every, return_inverse=True)
        self._num_classes = len(classes)
        first = sum(counts[: distributed.rank()])
        self._own = self._index[first : first + len(labels)]
        self.row_totals = self._count(self._index) - int(one_set)
        self.column_totals = self._count(self._index[: self._num_keys]) if both else None

    def _count(self, index: Tensor) -> Tensor:
        return torch.bincount(index, minlength=self._num_classes)[self._own]

    def _class_sums(self, x: Float[Tensor, "R D"], index: Int[Tensor, "R"]) -> Float[Tensor, "C D"]:
        return x.new_zeros(self._num_classes, x.shape[1]).index_add(0, index, x)

    def linear_sums(self, scoring: Scoring) -> tuple[Tensor, Tensor | None]:
        """Return the weighted sums of plain scores, of each row ``[B]`` and of each key over local rows ``[N]``."""
        query, keys = scoring.values()
        sums = self._class_sums(keys, self._index[: self._num_keys])
        if scoring.queue is not None and self._queue_labels is not None:
            sums = sums + self._class_sums(scoring.queue.to(sums.dtype), self._index[self._num_keys :])
        others = sums[self._own] - keys[scoring.own] if self._one_set else sums[self._own]
        rows = torch.linalg.vecdot(query, others)
        if not self._both:
            return rows, None
        return rows, torch.linalg.vecdot(keys, self._class_sums(query, self._own)[self._index[: self._num_keys]])

    def pair_sums(self, scoring: Scoring) -> tuple[Tensor, Tensor | None]:
        """Return the same of scores that a ``score_mod`` makes."""
        rows, columns = self._sums(scoring, scoring.keys, self._key_labels, 0, both=self._both)
        if scoring.queue is not None and self._queue_labels is not None:
            first = self._num_keys + scoring.num_others
            rows = rows + self._sums(scoring, scoring.queue, self._queue_labels, first, both=False)[0]
        return rows, columns

    def _sums(
        self, scoring: Scoring, keys: Tensor, labels: Tensor, first_column: int, *, both: bool
    ) -> tuple[Tensor, Tensor | None]:
        options = scoring.options_of(first_column, len(keys))
        options["rows"] = (*options.get("rows", ()), self._labels)
        options["columns"] = (*options.get("columns", ()), labels)
        options["mask_mod"] = self._is_positive
        if both:
            return pairwise.sum(scoring.query, keys, value=_itself, over="both", **options)
        return pairwise.sum(scoring.query, keys, value=_itself, **options), None

    def _is_positive(self, row: Side, column: Side) -> Tensor:
        same = row[-1] == column[-1]
        return same & (row.index != column.index) if self._one_set else same


class WeightPositives:
    """Weights given for each pair of a row of this process and a key of any.

    Args:
        weights: Weights ``[B, N]`` >= 0.
        own: Columns of the keys of this process's rows.
        both: Whether keys look among queries too.
    """

    def __init__(self, weights: Float[Tensor, "B N"], own: slice, *, both: bool) -> None:
        self._weights = weights
        self._both = both
        self.row_totals = weights.sum(1)
        self.column_totals = distributed.sum_over_processes(weights.sum(0))[own] if both else None

    def linear_sums(self, scoring: Scoring) -> tuple[Tensor, Tensor | None]:
        """Return the weighted sums of plain scores, of each row ``[B]`` and of each key over local rows ``[N]``."""
        query, keys = scoring.values()
        weights = self._weights.to(query.dtype)
        rows = torch.linalg.vecdot(query, weights @ keys)
        return rows, torch.linalg.vecdot(keys, weights.T @ query) if self._both else None

    def pair_sums(self, scoring: Scoring) -> tuple[Tensor, Tensor | None]:
        """Return the same of scores that a ``score_mod`` makes."""
        options = scoring.options_of(0, len(scoring.keys))
        options["rows"] = (*options.get("rows", ()), self._weights)
        options["mask_mod"] = None
        options["score_mod"] = _weighted(options.get("score_mod"))
        if self._both:
            return pairwise.sum(scoring.query, scoring.keys, value=_itself, over="both", **options)
        return pairwise.sum(scoring.query, scoring.keys, value=_itself, **options), None


def _weighted(score_mod: ScoreMod | None) -> ScoreMod:
    """Return a function that multiplies scores with the weights that are the last tensor of rows."""

    def weighted(score: Tensor, row: Side, column: Side) -> Tensor:
        weight = row[-1][:, 0, column.index[0]].to(score.dtype)
        score = score if score_mod is None else score_mod(score, row, column)
        return torch.where(weight > 0, weight * score, 0.0)

    return weighted


def _itself(score: Tensor) -> Tensor:
    return score
