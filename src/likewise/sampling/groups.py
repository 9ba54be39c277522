"""Batches whose rows are all of one group: one language, one source, one kind of label."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from likewise.errors import InputError
from likewise.sampling.batches import BatchPlan, PlannedBatch, check_plan
from likewise.sampling.duplicates import RowKeys

if TYPE_CHECKING:
    from likewise.data import Table

__all__ = ["GroupPlan", "Grouping", "groups_of"]

logger = logging.getLogger(__name__)

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Grouping:
    """Which rows may share a batch: those with the same value in a column.

    Args:
        column: The column; every row has a value in it.
        exponent: How the next group is drawn: with probability ~ rows^exponent, >= 0. 1: each epoch goes once through
            all rows, in batches in a random order; 0: all groups alike; between them, small groups come more often than
            their rows would have it (CCP and others: 0.3).
        in_turn: Groups take turns, in the order in which the table first shows them, and an epoch ends when the
            smallest one is through; the larger ones go on in the next. ``exponent`` has no say then.

    Raises:
        ValueError: ``exponent`` is negative or not finite.
    """

    column: str
    exponent: float = 1.0
    in_turn: bool = False

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.exponent < np.inf:
            raise ValueError(f"exponent must be >= 0 and finite, got {self.exponent}")


def groups_of(table: Table, column: str) -> tuple[Int64s, list[str]]:
    """Number the groups of a table in the order in which they first appear.

    Args:
        table: The rows.
        column: Whose values are the groups; labels or texts.

    Returns:
        The number of each row's group, int64 ``[N]``, and the value of each group.

    Raises:
        InputError: The table has no such column, or a row has no value in it.
    """
    if column not in table.column_names:
        raise InputError(
            f"{table.name} has no column '{column}', which says what rows may share a batch; give every row a value, "
            f"or name the column that has it with --columns {column}=NAME."
        )
    values = pc.dictionary_encode(table.column(column)).combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # no rows at all
        return np.zeros(0, dtype=np.int64), []
    if values.indices.null_count:
        row = int(np.flatnonzero(values.indices.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(
            f"{table.where(row)}: column '{column}' is missing; it says which rows may share a batch. "
            "Give every row a value."
        )
    return values.indices.to_numpy().astype(np.int64), values.dictionary.to_pylist()


class GroupPlan:
    """The rows of every batch of every epoch, each batch of a single group.

    Every group goes through its own rows in a random order, without replacement before it begins again, in batches as a
    :class:`BatchPlan` of the group alone makes them: exactly ``batch_size`` rows, the last of a pass shorter, keys kept
    apart. Which group comes next, and how many batches an epoch has, is said by ``exponent`` and ``in_turn``; see
    :class:`Grouping`. Where ``exponent`` is not 1, an epoch has as many batches as going once through all rows takes.
    The ``epoch`` of a batch is the pass of its group, so that a row which comes twice in one epoch of the plan has
    other views the second time.

    A group of fewer than ``min_rows`` rows has no batch: it is left out, listed in ``left_out``, and a warning in the
    log names such groups once.

    The i-th batch is a function of the arguments and i alone.

    Args:
        groups: The number of each row's group, int64 ``[N]``.
        names: The value of each group.
        batch_size: Rows of a batch over all processes.
        seed: Where the orders come from, >= 0.
        exponent: As in :class:`Grouping`.
        in_turn: As in :class:`Grouping`.
        min_rows: Fewest rows of a batch, >= 1.
        keys: The keys of each row; two rows that share one never share a batch.

    Raises:
        ValueError: A number is out of its range, or the keys are not those of N rows.
        InputError: No group has enough rows, or with ``in_turn`` one has not.

    Cost: O(N) memory; beginning anywhere counts the batches of the earlier epochs.

    Example:
        >>> import itertools
        >>> plan = GroupPlan(np.array([0, 1, 0, 1, 0, 0]), ["de", "en"], 2, seed=0)
        >>> [(batch.group, len(batch.rows)) for batch in itertools.islice(plan.batches(), 3)], plan.steps_per_epoch
        ([('de', 2), ('en', 2), ('de', 2)], 3)
    """

    def __init__(
        self,
        groups: Int64s,
        names: Sequence[str],
        batch_size: int,
        *,
        seed: int,
        exponent: float = 1.0,
        in_turn: bool = False,
        min_rows: int = 2,
        keys: RowKeys | Sequence[Sequence[int]] | None = None,
    ) -> None:
        check_plan(batch_size, min_rows, seed)
        if keys is not None and len(keys) != len(groups):
            raise ValueError(f"keys must hold the keys of {len(groups)} rows, got those of {len(keys)}")
        self.batch_size = batch_size
        self.seed = seed
        self.min_rows = min_rows
        self._exponent, self._in_turn = exponent, in_turn
        sizes = np.bincount(groups, minlength=len(names))
        self._small = [number for number, size in enumerate(sizes.tolist()) if size < min_rows]
        self._refuse_or_tell(names, sizes.tolist())
        self._left_out = np.flatnonzero(np.isin(groups, self._small)).tolist()
        kept = [number for number in range(len(names)) if number not in set(self._small)]
        by_group = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
        self._names = [names[number] for number in kept]
        self._rows = [by_group[number] for number in kept]
        self._weights = sizes[kept].astype(np.float64) ** exponent
        packed = None if keys is None else keys if isinstance(keys, RowKeys) else RowKeys.of(keys)
        self._plans = [
            BatchPlan(
                len(rows),
                batch_size,
                seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
                min_rows=min_rows,
                keys=None if packed is None else packed.of_rows(rows),
            )
            for number, rows in zip(kept, self._rows, strict=True)
        ]

    @property
    def steps_per_epoch(self) -> int:
        """Batches of the first epoch. With keys a later epoch may have a few more or fewer: see ``steps_in``."""
        return self.steps_in(0)

    def steps_in(self, epoch: int) -> int:
        """Return the number of batches of an epoch."""
        return len(self._order(epoch))

    def left_out(self, epoch: int) -> list[int]:
        """Return the rows that no batch can hold in a pass of their group, in increasing order.

        Args:
            epoch: The pass, from 0.
        """
        within = [
            int(rows[row])
            for rows, plan in zip(self._rows, self._plans, strict=True)
            for row in plan.left_out(epoch)
        ]  # fmt: skip
        return sorted([*self._left_out, *within])

    def batches(self, start: int = 0) -> Iterator[PlannedBatch]:
        """Yield the batches from the one numbered ``start`` on, without end.

        Raises:
            InputError: All rows of a group share a key, so that no batch can be made of it.
        """
        epoch, skipped = 0, start
        taken = np.zeros(len(self._plans), dtype=np.int64)  # batches of each group before ``start``
        order = self._order(epoch)
        while skipped >= len(order):
            taken += np.bincount(order, minlength=len(taken))
            skipped -= len(order)
            epoch += 1
            order = self._order(epoch)
        taken += np.bincount(order[:skipped], minlength=len(taken))
        coming = [plan.batches(int(before)) for plan, before in zip(self._plans, taken, strict=True)]
        index = start
        while True:
            for group in order[skipped:].tolist():
                batch = next(coming[group])
                rows = self._rows[group][batch.rows].tolist()
                yield PlannedBatch(index, batch.epoch, rows, group=self._names[group])
                index += 1
            epoch, skipped = epoch + 1, 0
            order = self._order(epoch)

    def _order(self, epoch: int) -> Int64s:
        """Return the group of every batch of an epoch."""
        numbers = np.arange(len(self._plans))
        if self._in_turn:
            return np.tile(numbers, min(self._steps(0)))
        random = np.random.default_rng([self.seed, epoch])
        if self._exponent == 1:
            return random.permutation(np.repeat(numbers, self._steps(epoch)))
        return random.choice(numbers, size=sum(self._steps(0)), p=self._weights / self._weights.sum())

    def _steps(self, epoch: int) -> list[int]:
        steps = []
        for name, plan in zip(self._names, self._plans, strict=True):
            try:
                steps.append(plan.steps_in(epoch))
            except InputError as error:
                raise InputError(f"group '{name}': {error}") from error
        return steps

    def _refuse_or_tell(self, names: Sequence[str], sizes: Sequence[int]) -> None:
        """Say which groups are too small for a batch."""
        if not self._small:
            return
        listed = ", ".join(f"'{names[number]}' ({sizes[number]})" for number in self._small[:5])
        more = f" and {len(self._small) - 5} more" if len(self._small) > 5 else ""
        if self._in_turn or len(self._small) == len(names):
            raise InputError(
                f"a batch needs at least {self.min_rows} rows of one group, and these have fewer: {listed}{more}; "
                "give more rows of each."
            )
        logger.warning(
            "%d of %d groups have fewer than the %d rows of a batch and are left out: %s%s",
            len(self._small),
            len(names),
            self.min_rows,
            listed,
            more,
        )
