"""Queues of earlier keys, one for each group of rows: a language, a domain, a class."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from likewise.memory.queue import KeyQueue

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

__all__ = ["KeyBank"]


class KeyBank(nn.Module):
    """A :class:`KeyQueue` for every group, made when the group's first key is pushed.

    Where groups are easy to tell apart, keys of another group are no challenge, and a model that meets them learns to
    tell groups; a bank lets a row meet keys of its own group only.

    Args:
        capacity: Most keys that are held of each group, over all processes, >= 0.
        dim: Length of a key, ``D``.
        columns: Further values that each key has, as in :class:`KeyQueue`.

    Raises:
        InputError: ``capacity`` is negative.

    State: the queues, and the names of the groups (as bytes of JSON).
    Cost: O(G Q D) memory for ``G`` groups.

    Example:
        >>> bank = KeyBank(3, 1)
        >>> bank.push("de", torch.tensor([[1.0], [2.0]]))
        >>> bank.keys("de").flatten().tolist(), bank.keys("en").shape, bank.groups
        ([1.0, 2.0], torch.Size([0, 1]), ('de',))
    """

    def __init__(self, capacity: int, dim: int, columns: Mapping[str, torch.dtype] | None = None) -> None:
        super().__init__()
        self.capacity = capacity
        self.columns = dict(columns or {})
        self._nothing = KeyQueue(0, dim, columns)  # what a group without keys has; also where new queues are put
        KeyQueue(capacity, dim)  # says what is wrong with a capacity before anything is pushed
        self._queues = nn.ModuleDict()
        self._groups: list[str] = []

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that have keys, in the order in which they came."""
        return tuple(self._groups)

    def keys(self, group: str) -> Float[Tensor, "F D"]:
        """Return the keys of a group, none where it has none; a view, valid until a push."""
        return self._of(group).keys

    def column(self, name: str, group: str) -> Shaped[Tensor, "F"]:
        """Return the values of a column for the keys of a group."""
        return self._of(group).column(name)

    def push(self, group: str, keys: Float[Tensor, "B D"], **columns: Shaped[Tensor, "B"]) -> None:
        """Append keys of all processes to a group; see :meth:`KeyQueue.push`.

        Every process has to call this with the same group.
        """
        if group not in self._groups:
            self._add(group)
        self._of(group).push(keys, **columns)

    def get_extra_state(self) -> Tensor:
        """Return the names of the groups, as bytes."""
        return torch.tensor(list(json.dumps(self._groups).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Make the queues of the groups of a saved state; what they hold is loaded after this."""
        self._queues.clear()
        self._groups.clear()
        for group in json.loads(bytes(state.tolist())):
            self._add(group)

    def extra_repr(self) -> str:
        """Return the sizes, for printing."""
        return f"capacity={self.capacity}, groups={len(self._groups)}"

    def _of(self, group: str) -> KeyQueue:
        if group not in self._groups:
            return self._nothing
        found = self._queues[str(self._groups.index(group))]
        assert isinstance(found, KeyQueue)  # noqa: S101 - nothing else is put there
        return found

    def _add(self, group: str) -> None:
        stored = self._nothing.stored
        queue = KeyQueue(self.capacity, stored.shape[1], self.columns).to(stored.device)
        self._queues[str(len(self._groups))] = queue  # names of groups may hold points, which names of modules may not
        self._groups.append(group)
