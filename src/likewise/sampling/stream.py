"""Batches of rows that are read one after the other: a shuffle buffer instead of a permutation."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from likewise.data.columns import Row
from likewise.errors import InputError
from likewise.sampling.batches import PlannedBatch, check_plan
from likewise.sampling.duplicates import text_key
from likewise.sampling.packing import Packer

if TYPE_CHECKING:
    from likewise.data import StreamedTable, Table

__all__ = ["StreamPlan"]

logger = logging.getLogger(__name__)

NumberedRow = tuple[int, Row]


class StreamPlan:
    """The rows of every batch of every epoch, for a table without random access.

    Each epoch reads the table from its beginning. Rows go through a buffer of ``buffer_rows``: whenever one is read,
    one of the buffer, drawn from (seed, epoch), leaves it. A buffer as large as the table is a full shuffle; a smaller
    one mixes neighbours only, so a sorted file should be shuffled on disk first. From there batches are made as
    ``BatchPlan`` makes them.

    The i-th batch is a function of the arguments, the data and i alone. To begin at batch ``start`` the rows before it
    are read and passed over.

    Args:
        table: The rows.
        batch_size: Rows of a batch over all processes.
        seed: Where the order comes from, >= 0.
        min_rows: Fewest rows of a batch, >= 1.
        keep_apart: Text columns: two rows with the same text in any of them never share a batch.
        buffer_rows: Rows that are held in memory to draw from, >= 1.

    Raises:
        ValueError: A number is out of its range.
    """

    def __init__(
        self,
        table: StreamedTable | Table,
        batch_size: int,
        *,
        seed: int,
        min_rows: int = 2,
        keep_apart: Sequence[str] = (),
        buffer_rows: int = 10_000,
    ) -> None:
        check_plan(batch_size, min_rows, seed)
        if buffer_rows < 1:
            raise ValueError(f"buffer_rows must be >= 1, got {buffer_rows}")
        self.batch_size = batch_size
        self.seed = seed
        self.min_rows = min_rows
        self.buffer_rows = buffer_rows
        self._table = table
        self._keep_apart = [name for name in keep_apart if name in table.column_names]
        self._steps: dict[int, int] = {}
        self._left_out: dict[int, list[int]] = {}
        self._told = False

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches of the first epoch once it has been gone through; None before."""
        return self._steps.get(0)

    def left_out(self, epoch: int) -> list[int] | None:
        """Return the rows that an epoch had no batch for; None before it has been gone through."""
        return self._left_out.get(epoch)

    def batches(self, start: int = 0) -> Iterator[PlannedBatch]:
        """Yield the batches from the one numbered ``start`` on, without end.

        Raises:
            InputError: A bad row is met and bad rows are errors, or no batch can be made of the rows.
        """
        index = 0
        for epoch in itertools.count():
            known = self._steps.get(epoch)
            if known is not None and index + known <= start:
                index += known
                continue
            for rows in self._epoch(epoch):
                if index >= start:
                    yield PlannedBatch(index, epoch, [number for number, _ in rows], [row for _, row in rows])
                index += 1

    def _epoch(self, epoch: int) -> Iterator[list[NumberedRow]]:
        packer = Packer(self.batch_size, self.min_rows, self._keys_of)
        steps = 0
        for rows in packer.batches(self._shuffled(epoch)):
            steps += 1
            yield rows
        if not steps:
            raise InputError(
                f"no batch of {self.min_rows} rows can be made of {self._table.name}: it has too few rows, or all of "
                "them share a text, and rows that do are kept apart; give more data."
            )
        self._steps[epoch] = steps
        self._left_out[epoch] = sorted(number for number, _ in packer.left_out)
        if packer.left_out and not self._told:
            self._told = True
            logger.warning(
                "%d rows share a text with so many others that they have no place in a batch of epoch %d",
                len(packer.left_out),
                epoch,
            )

    def _shuffled(self, epoch: int) -> Iterator[NumberedRow]:
        random = np.random.default_rng([self.seed, epoch])
        places = _places(random, self.buffer_rows)
        buffer: list[NumberedRow] = []
        for numbered in enumerate(self._table.stream()):
            if len(buffer) < self.buffer_rows:
                buffer.append(numbered)
                continue
            place = next(places)
            yield buffer[place]
            buffer[place] = numbered
        for place in np.random.default_rng([self.seed, epoch, len(buffer)]).permutation(len(buffer)).tolist():
            yield buffer[place]

    def _keys_of(self, numbered: NumberedRow) -> list[int]:
        keys = []
        for name in self._keep_apart:
            value = numbered[1][name]
            texts = value if isinstance(value, list) else [value]
            keys += [text_key(text) for text in texts if text is not None]
        return keys


def _places(random: np.random.Generator, size: int) -> Iterator[int]:
    while True:
        yield from random.integers(0, size, size=4096).tolist()
