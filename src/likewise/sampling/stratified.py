"""Batches that hold rows of every group: background and target, rare and frequent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from likewise.errors import InputError
from likewise.sampling.batches import BatchPlan, PlannedBatch, check_plan
from likewise.sampling.groups import Int64s

__all__ = ["Stratified", "StratifiedPlan"]


@dataclass(frozen=True)
class Stratified:
    """Every batch holds rows of every value of a column, as many of each.

    Args:
        column: The column; every row has a value in it.
        least: Fewest rows of each value in a batch, >= 1.

    Raises:
        ValueError: ``least`` < 1.
    """

    column: str
    least: int = 1

    def __post_init__(self) -> None:
        """Check the range."""
        if self.least < 1:
            raise ValueError(f"least must be >= 1, got {self.least}")


class StratifiedPlan:
    """The rows of every batch of every epoch, each batch with an equal share of every group.

    Every group goes through its own rows in a random order, as a :class:`BatchPlan` of the group alone makes it, in
    steps of its share: ``batch_size`` over the number of groups, the first of them one more where that leaves a rest.
    The last step of a pass may be shorter, or longer by fewer than ``least`` rows; a group with fewer rows than its
    share is whole in every batch. Rows of the groups alternate, so that processes which take parts of a batch have some
    of each. An epoch has as many batches as going once through all rows takes; small groups come round more often.

    The ``epoch`` of a batch is the sum of the passes of all groups: a row that comes again has other views.

    The i-th batch is a function of the arguments and i alone.

    Args:
        groups: The number of each row's group, int64 ``[N]``.
        names: The value of each group.
        batch_size: Rows of a batch over all processes.
        seed: Where the orders come from, >= 0.
        least: Fewest rows of each group in a batch, >= 1.
        min_rows: Fewest rows of a batch, >= 1.

    Raises:
        ValueError: A number is out of its range.
        InputError: There is one group only, one has fewer than ``least`` rows, or a batch does not hold ``least`` of
            each.

    Cost: O(N) memory.

    Example:
        >>> plan = StratifiedPlan(np.array([0, 0, 0, 0, 0, 1]), ["plain", "rare"], 4, seed=0)
        >>> [sorted(batch.rows) for batch in itertools.islice(plan.batches(), 2)], plan.steps_per_epoch
        ([[2, 4, 5], [0, 3, 5]], 2)
    """

    def __init__(
        self,
        groups: Int64s,
        names: Sequence[str],
        batch_size: int,
        *,
        seed: int,
        least: int = 1,
        min_rows: int = 2,
    ) -> None:
        check_plan(batch_size, min_rows, seed)
        sizes = np.bincount(groups, minlength=len(names)).tolist()
        if len(names) < 2:
            listed = f"'{names[0]}'" if names else "nothing"
            raise InputError(f"every batch needs rows of two kinds, and there is {listed} alone; give rows of both.")
        if batch_size < least * len(names):
            raise InputError(
                f"batch_size is {batch_size}; a batch needs {least} rows of each of {len(names)} kinds. Use at least "
                f"{least * len(names)}."
            )
        for name, size in zip(names, sizes, strict=True):
            if size < least:
                raise InputError(f"'{name}' has {size} row, and every batch needs at least {least} of it; give more.")
        self.batch_size, self.seed, self.min_rows = batch_size, seed, min_rows
        share, rest = divmod(batch_size, len(names))
        self._rows = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
        self._plans = [
            BatchPlan(
                size,
                share + (number < rest),
                seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
                min_rows=least,
            )
            for number, size in enumerate(sizes)
        ]
        self.steps_per_epoch = max(1, round(len(groups) / batch_size))

    def batches(self, start: int = 0) -> Iterator[PlannedBatch]:
        """Yield the batches from the one numbered ``start`` on, without end."""
        coming = [plan.batches(start) for plan in self._plans]
        for index in itertools.count(start):
            parts = [next(one) for one in coming]
            rows = [of[part.rows].tolist() for of, part in zip(self._rows, parts, strict=True)]
            together = [row for several in itertools.zip_longest(*rows) for row in several if row is not None]
            yield PlannedBatch(index, sum(part.epoch for part in parts), together)
