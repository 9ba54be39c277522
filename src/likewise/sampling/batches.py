"""Which rows share a batch: a plan of all batches of all epochs, a function of the seed alone."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likewise.data.columns import Row
from likewise.errors import InputError
from likewise.sampling.duplicates import RowKeys
from likewise.sampling.packing import Packer

__all__ = ["BatchPlan", "PlannedBatch", "check_plan"]

logger = logging.getLogger(__name__)

UNPACKED = 1 << 16
"""Rows of a permutation that are turned into Python numbers at a time."""


@dataclass(frozen=True)
class PlannedBatch:
    """A batch over all processes, before anything of it is read."""

    index: int
    """Number of the batch since the beginning of training, from 0."""
    epoch: int
    """Pass over the data, from 0."""
    rows: list[int]
    """Numbers of the rows in their table, in the order of the batch."""
    contents: list[Row] | None = None
    """The rows themselves, where the table has no random access."""
    group: str | None = None
    """The group of all of its rows, where batches are made of one group each; ``epoch`` is then the group's pass."""


def check_plan(batch_size: int, min_rows: int, seed: int) -> None:
    """Refuse numbers with which no batch can be planned.

    Raises:
        ValueError: ``min_rows`` < 1, ``batch_size`` < ``min_rows``, or ``seed`` < 0.
    """
    if min_rows < 1:
        raise ValueError(f"min_rows must be >= 1, got {min_rows}")
    if batch_size < min_rows:
        raise ValueError(f"batch_size must be >= min_rows ({min_rows}), got {batch_size}")
    if seed < 0:
        raise ValueError(f"seed must be >= 0, got {seed}")


class BatchPlan:
    """The rows of every batch of every epoch.

    Each epoch goes through the rows in a random order of its own, drawn from (seed, epoch), in batches of exactly
    ``batch_size``. What remains at the end of an epoch is a shorter batch of its own where it has ``min_rows``, and is
    added to the batch before it otherwise. Two rows that share a key never share a batch: one of them waits for a
    later one, still within the epoch, so that with keys several of the last batches may be shorter, or longer by the
    rows that found no other place. Where equal keys are so many that no batch is left for some rows, these are left out
    of the epoch: ``left_out`` lists them, and a warning in the log gives their number once.

    The i-th batch is a function of the arguments and i alone: not of processes, workers, or where one began.

    Args:
        num_rows: Rows of the table, N.
        batch_size: Rows of a batch over all processes.
        seed: Where the orders come from, >= 0.
        min_rows: Fewest rows of a batch, >= 1: 2 where rows are told from each other.
        keys: The keys of each row, any number of them; None where any rows may meet.

    Raises:
        ValueError: A number is out of its range, or the keys are not those of N rows.
        InputError: There are fewer rows than a batch needs.

    Cost: O(N) memory. Without keys beginning anywhere takes one permutation (20 ms for a million rows); with keys the
        batches of the earlier epochs have to be counted once (about a second for a million rows and epoch).

    Example:
        >>> plan = BatchPlan(7, 3, seed=0)
        >>> [len(batch.rows) for batch in itertools.islice(plan.batches(), 4)], plan.steps_per_epoch
        ([3, 4, 3, 4], 2)
    """

    def __init__(
        self,
        num_rows: int,
        batch_size: int,
        *,
        seed: int,
        min_rows: int = 2,
        keys: RowKeys | Sequence[Sequence[int]] | None = None,
    ) -> None:
        check_plan(batch_size, min_rows, seed)
        if num_rows < min_rows:
            raise InputError(f"there are {num_rows} rows, and a batch needs at least {min_rows}; give more data.")
        if keys is not None and len(keys) != num_rows:
            raise ValueError(f"keys must hold the keys of {num_rows} rows, got those of {len(keys)}")
        self.num_rows = num_rows
        self.batch_size = batch_size
        self.seed = seed
        self.min_rows = min_rows
        self._keys = _only_shared(keys)
        self._shared = b"" if self._keys is None else (np.diff(self._keys.starts) > 0).tobytes()
        self._steps: dict[int, int] = {}
        self._left_out: dict[int, list[int]] = {}
        self._told = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches of the first epoch. With keys a later epoch may have a few more or fewer: see ``steps_in``."""
        return self.steps_in(0)

    def steps_in(self, epoch: int) -> int:
        """Return the number of batches of an epoch."""
        if self._keys is None:
            full, rest = divmod(self.num_rows, self.batch_size)
            return full + (rest >= self.min_rows) if full else 1
        if epoch not in self._steps:
            for _ in self._epoch(epoch):
                pass
        return self._steps[epoch]

    def left_out(self, epoch: int) -> list[int]:
        """Return the rows that an epoch has no batch for, in increasing order."""
        if self._keys is None:
            return []
        self.steps_in(epoch)
        return self._left_out[epoch]

    def batches(self, start: int = 0) -> Iterator[PlannedBatch]:
        """Yield the batches from the one numbered ``start`` on, without end.

        Raises:
            InputError: All rows share a key, so that no batch can be made.
        """
        epoch, skipped = 0, start
        if self._keys is None:
            epoch, skipped = divmod(start, self.steps_per_epoch)
        else:
            while skipped and skipped >= self.steps_in(epoch):
                skipped -= self.steps_in(epoch)
                epoch += 1
        index = start
        for current in itertools.count(epoch):
            for rows in itertools.islice(self._epoch(current), skipped, None):
                yield PlannedBatch(index, current, rows)
                index += 1
            skipped = 0

    def _epoch(self, epoch: int) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, epoch]).permutation(self.num_rows)
        if self._keys is None:
            steps = self.steps_in(epoch)
            for step in range(steps):
                first = step * self.batch_size
                yield order[first : None if step == steps - 1 else first + self.batch_size].tolist()
            return
        packer = Packer(self.batch_size, self.min_rows, self._keys_of)
        steps = 0
        for rows in packer.batches(_python_numbers(order)):
            steps += 1
            yield rows
        self._finish(epoch, steps, packer.left_out)

    def _finish(self, epoch: int, steps: int, left_out: list[int]) -> None:
        """Note what is known once an epoch has been gone through."""
        if not steps:
            raise InputError(
                f"no batch of {self.min_rows} rows can be made: all {self.num_rows} rows share a text, and rows that "
                "do are kept apart; give data with more different texts."
            )
        self._steps[epoch] = steps
        self._left_out[epoch] = sorted(left_out)
        if left_out and not self._told:
            self._told = True
            logger.warning(
                "%d of %d rows share a text with so many others that they have no place in a batch of epoch %d",
                len(left_out),
                self.num_rows,
                epoch,
            )

    def _keys_of(self, row: int) -> Sequence[int]:
        keys = self._keys
        if keys is None or not self._shared[row]:
            return ()
        first, last = keys.starts[row : row + 2]
        listed: list[int] = keys.values[first:last].tolist()
        return listed


def _only_shared(keys: RowKeys | Sequence[Sequence[int]] | None) -> RowKeys | None:
    """Keep the keys that more than one row has; None where there are none."""
    if keys is None:
        return None
    packed = keys if isinstance(keys, RowKeys) else RowKeys.of(keys)
    shared = packed.only_shared()
    return shared if len(shared.values) else None


def _python_numbers(order: NDArray[np.int64]) -> Iterator[int]:
    for first in range(0, len(order), UNPACKED):
        yield from order[first : first + UNPACKED].tolist()
