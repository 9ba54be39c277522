"""Packing rows into batches in which no two rows share a key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

__all__ = ["Packer"]

Item = TypeVar("Item")

HELD_BACK = 8
"""Batches that may still take in what remains at the end."""


class Packer(Generic[Item]):
    """Divides items, in the order in which they come, into batches without a shared key.

    An item that shares a key with the batch being filled waits for a later one; those that wait go first, one of each
    contested key a batch, in the order in which they began to wait. So time is close to linear in the items however
    often a key recurs. Batches come out while items are still coming in.

    When no items are left, batches may stay shorter. Those of fewer than ``min_rows`` are dissolved: each of their
    items joins the latest of the last ``HELD_BACK`` batches with which it shares no key, which then has more than
    ``batch_size``; where there is none the item is listed in ``left_out``.

    Args:
        batch_size: Items of a full batch.
        min_rows: Fewest items of a batch.
        keys_of: The keys of an item.
    """

    def __init__(self, batch_size: int, min_rows: int, keys_of: Callable[[Item], Sequence[int]]) -> None:
        self.left_out: list[Item] = []
        self._batch_size = batch_size
        self._min_rows = min_rows
        self._keys_of = keys_of
        self._waiting: dict[int, deque[tuple[Item, Sequence[int]]]] = {}
        self._turns: deque[int] = deque()

    def batches(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """Yield the batches, each as soon as it cannot change any more."""
        coming = iter(items)
        held: deque[tuple[list[Item], set[int]]] = deque()
        dissolved: list[Item] = []
        while True:
            batch, used = self._fill(coming)
            if not batch:
                break
            if len(batch) < self._min_rows:
                dissolved += batch
                continue
            held.append((batch, used))
            if len(held) > HELD_BACK:
                yield held.popleft()[0]
        for item in dissolved:
            keys = self._keys_of(item)
            place = next((one for one in reversed(held) if one[1].isdisjoint(keys)), None)
            if place is None:
                self.left_out.append(item)
            else:
                place[0].append(item)
                place[1].update(keys)
        for batch, _ in held:
            yield batch

    def _fill(self, coming: Iterator[Item]) -> tuple[list[Item], set[int]]:
        batch: list[Item] = []
        used: set[int] = set()
        for _ in range(len(self._turns)):
            key = self._turns.popleft()
            if key not in used:
                self._place(*self._waiting[key].popleft(), batch, used)
            if self._waiting[key]:
                self._turns.append(key)
            else:
                del self._waiting[key]
            if len(batch) == self._batch_size:
                return batch, used
        for item in coming:
            self._place(item, self._keys_of(item), batch, used)
            if len(batch) == self._batch_size:
                break
        return batch, used

    def _place(self, item: Item, keys: Sequence[int], batch: list[Item], used: set[int]) -> None:
        """Put an item into the batch, or let it wait for the first of its keys that is taken."""
        taken = next((key for key in keys if key in used), None) if keys else None
        if taken is None:
            batch.append(item)
            used.update(keys)
        elif taken in self._waiting:
            self._waiting[taken].append((item, keys))
        else:
            self._waiting[taken] = deque([(item, keys)])
            self._turns.append(taken)
