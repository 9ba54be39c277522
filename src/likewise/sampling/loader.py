"""From planned batches to batches of model inputs, in worker processes or in this one."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from likewise.data.columns import Row
from likewise.errors import InputError, RunError
from likewise.sampling.batches import BatchPlan, PlannedBatch
from likewise.sampling.duplicates import duplicate_keys
from likewise.sampling.groups import Grouping, GroupPlan, groups_of
from likewise.sampling.parcel import Parcel, pack
from likewise.sampling.stratified import Stratified, StratifiedPlan
from likewise.sampling.stream import StreamPlan
from likewise.views.base import Batch, Views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from likewise.data import StreamedTable, Table

__all__ = ["BatchLoader", "Plan", "plan_batches"]


class Plan(Protocol):
    """What the loader needs of a plan."""

    seed: int
    min_rows: int

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches of an epoch, where that is known."""
        ...

    def batches(self, start: int = 0) -> Iterator[PlannedBatch]:
        """Yield the batches from the one numbered ``start`` on, without end."""
        ...


def plan_batches(
    table: Table | StreamedTable,
    batch_size: int,
    *,
    seed: int,
    min_rows: int = 2,
    keep_apart: Sequence[str] = (),
    buffer_rows: int = 10_000,
    grouping: Grouping | Stratified | None = None,
) -> BatchPlan | GroupPlan | StratifiedPlan | StreamPlan:
    """Plan the batches of a table.

    Args:
        table: The rows; one that is read anew each time gets a ``StreamPlan``.
        batch_size: Rows of a batch over all processes.
        seed: Where the order comes from, >= 0.
        min_rows: Fewest rows of a batch, >= 1.
        keep_apart: Text columns: two rows with the same text (but for case and white space) in any of them, or across
            them, never share a batch. Columns that the table does not have are passed over.
        buffer_rows: For a table that is read anew: rows held in memory to draw from.
        grouping: Which rows may share a batch, those of a group; or of which groups every batch has some; None: any.

    Raises:
        ValueError: Rows are kept apart in batches that mix groups.
        InputError: The rows do not suffice for a batch, or have no such groups; or they are read anew each time, and a
            batch would need those of one group.
    """
    if table.streaming:
        if grouping is not None:
            raise InputError(
                f"batches are made by column '{grouping.column}', and streamed data cannot be drawn by it; leave "
                "--streaming out."
            )
        return StreamPlan(
            table, batch_size, seed=seed, min_rows=min_rows, keep_apart=keep_apart, buffer_rows=buffer_rows
        )
    keys = duplicate_keys(table, keep_apart) if keep_apart else None
    if isinstance(grouping, Stratified):
        if keep_apart:
            raise ValueError("plan_batches: rows are kept apart within a group, and a mixture has several; give one.")
        numbers, names = groups_of(table, grouping.column)
        return StratifiedPlan(numbers, names, batch_size, seed=seed, least=grouping.least, min_rows=min_rows)
    if grouping is not None:
        numbers, names = groups_of(table, grouping.column)
        return GroupPlan(
            numbers,
            names,
            batch_size,
            seed=seed,
            exponent=grouping.exponent,
            in_turn=grouping.in_turn,
            min_rows=min_rows,
            keys=keys,
        )
    return BatchPlan(len(table), batch_size, seed=seed, min_rows=min_rows, keys=keys)


@dataclass(frozen=True)
class _Share:
    """The part of a planned batch that this process makes."""

    epoch: int
    rows: list[int]
    contents: list[Row] | None
    group: str | None


class _Shares(Sampler[_Share]):
    """This process's share of each planned batch, from one of them on."""

    def __init__(self, plan: Plan, start: int, rank: int, world_size: int) -> None:
        self._plan, self._start, self._rank, self._world_size = plan, start, rank, world_size

    def __iter__(self) -> Iterator[_Share]:
        for batch in self._plan.batches(self._start):
            small, larger = divmod(len(batch.rows), self._world_size)
            first = self._rank * small + min(self._rank, larger)
            mine = slice(first, first + small + (self._rank < larger))
            contents = None if batch.contents is None else batch.contents[mine]
            yield _Share(batch.epoch, batch.rows[mine], contents, batch.group)


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a worker to the training process."""

    error: Exception
    trace: str


class _Maker(Dataset[Batch]):
    """Makes a batch of a share; this is what workers hold."""

    def __init__(self, table: Table | None, views: Views, seed: int) -> None:
        self._table, self._views, self._seed = table, views, seed

    def __getitem__(self, share: _Share) -> Any:
        try:
            batch = self._make(share)
            return batch if get_worker_info() is None else pack(batch)
        except Exception as error:  # whatever it is, it is raised in the training process
            trace = traceback.format_exc()
            try:
                pickle.loads(pickle.dumps(error))  # noqa: S301 - made one line above
            except Exception:
                error = RunError(f"{type(error).__name__} while a batch was made: {error}")
            return _Failure(error, trace)

    def _make(self, share: _Share) -> Batch:
        contents = share.contents
        if contents is None:
            if self._table is None:
                raise RuntimeError("a plan without contents needs a table with random access")
            contents = self._table.rows(share.rows)
        examples = [
            self._views(row, np.random.default_rng([self._seed, share.epoch, number]))
            for number, row in zip(share.rows, contents, strict=True)
        ]
        batch = self._views.collate(examples, share.rows)
        return batch if share.group is None else dataclasses.replace(batch, group=share.group)


class BatchLoader:
    """Iterates the batches of this process, in the order of the plan, whatever the number of workers; without end.

    Row ``r`` of epoch ``e`` gets its views from ``numpy.random.default_rng([seed, e, r])``. Of every planned batch
    process ``rank`` of ``world_size`` gets a contiguous part, as even as possible, the earlier ones one row more.

    Args:
        table: The rows; must be picklable where worker processes are spawned.
        views: How a row becomes model inputs.
        plan: Which rows share a batch.
        workers: Worker processes that prepare batches ahead; 0 prepares each when it is asked for, in this process.
        start: Number of the first batch, from 0: where a run goes on.
        rank: This process, from 0.
        world_size: Number of processes.
        prefetch: Batches that each worker prepares ahead, >= 1.
        start_method: How workers are started: "fork", "spawn" or "forkserver"; None is Python's own choice.

    Raises:
        ValueError: A number is out of its range, or a batch may have fewer rows than there are processes.

    Example:
        >>> from likewise.data import Column, Text, open_table
        >>> class Plain:
        ...     def __call__(self, row, random):
        ...         return row
        ...
        ...     def collate(self, examples, row_index):
        ...         return Batch({"text": [row["text"] for row in examples]}, torch.tensor(row_index))
        >>> table = open_table([{"text": t} for t in "abc"], columns=[Column("text", Text)])
        >>> batch = next(iter(BatchLoader(table, Plain(), BatchPlan(3, 3, seed=0))))
        >>> sorted(batch["text"])
        ['a', 'b', 'c']
    """

    def __init__(
        self,
        table: Table | StreamedTable,
        views: Views,
        plan: Plan,
        *,
        workers: int = 0,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        prefetch: int = 4,
        start_method: str | None = None,
    ) -> None:
        for name, value, least in (("workers", workers, 0), ("start", start, 0), ("prefetch", prefetch, 1)):
            if value < least:
                raise ValueError(f"{name} must be >= {least}, got {value}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must lie in [0, world_size = {world_size}), got {rank}")
        if plan.min_rows < world_size:
            raise ValueError(
                f"every process needs a row of every batch: min_rows of the plan must be >= world_size = {world_size}, "
                f"got {plan.min_rows}"
            )
        self._maker = _Maker(None if table.streaming else table, views, plan.seed)
        self._shares = _Shares(plan, start, rank, world_size)
        self._workers = workers
        self._prefetch = prefetch
        self._start_method = start_method

    def __iter__(self) -> Iterator[Batch]:
        for made in self._guarded(self._start()):
            if isinstance(made, _Failure):
                made.error.add_note(f"While a batch was made:\n{made.trace}")
                raise made.error
            yield made.unpack() if isinstance(made, Parcel) else made

    def _start(self) -> Iterator[Any]:
        several = self._workers > 0
        with warnings.catch_warnings(), _tokenizers_alone(several):
            warnings.simplefilter("ignore")  # more workers than processors is the caller's choice
            loader: DataLoader[Any] = DataLoader(
                self._maker,
                sampler=self._shares,
                batch_size=None,
                num_workers=self._workers,
                collate_fn=_as_it_is,
                worker_init_fn=_begin_worker,
                prefetch_factor=self._prefetch if several else None,
                multiprocessing_context=self._start_method if several else None,
                generator=torch.Generator(),  # its own, so that the global one stays what the training state says
            )
            return iter(loader)

    @staticmethod
    def _guarded(batches: Iterator[Any]) -> Iterator[Any]:
        """Say what it means that a worker is gone."""
        while True:
            try:
                made = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise RunError(
                    "a worker that prepares batches ended unexpectedly, perhaps for lack of memory; try fewer of them "
                    "(--workers 0 needs none)."
                ) from error
            yield made


@contextlib.contextmanager
def _tokenizers_alone(several: bool) -> Iterator[None]:
    """Let workers start with tokenizers that use one thread each, and leave this process as it was."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    if several:
        os.environ[name] = "false"
    try:
        yield
    finally:
        if several and before is None:
            del os.environ[name]
        elif several and before is not None:
            os.environ[name] = before


def _begin_worker(worker: int) -> None:
    """Leave the processors to training, and Ctrl-C to the training process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _as_it_is(made: Any) -> Any:
    return made
