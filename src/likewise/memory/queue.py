"""Keys of earlier batches, kept as further candidates: first in, first out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise import distributed
from likewise.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

__all__ = ["KeyQueue"]

logger = logging.getLogger(__name__)


class KeyQueue(nn.Module):
    """The newest ``Q`` keys of all processes, the same on every process; equal to the last ``Q`` of all rows pushed.

    A queue that is not full yet is short: :attr:`keys` has as many rows as were pushed, never rows of zeros; or it is
    full from the start, of random vectors (:meth:`fill_at_random`). Keys are
    constants, and stay as they were pushed (normalised or not). Give them to a loss as its ``queue`` and push after
    the backward pass, in ``after_step``: a push overwrites the oldest keys where they are, and autograd refuses to
    go back through keys that are gone.

    Args:
        capacity: Most keys that are held, ``Q`` >= 0, counted over all processes (ESimCSE: 160; MoCo: 65 536). With 0
            nothing is held.
        dim: Length of a key, ``D``.
        columns: Further values that each key has (a label, a number of its row), by name with their dtype.

    Raises:
        InputError: ``capacity`` is negative.

    State: ``stored [Q, D]``, a buffer ``column_NAME [Q]`` for each column, ``pointer`` (the place of the next key) and
        ``filled`` (how many places hold a key).
    Cost: O(Q D) memory; a push exchanges the keys of a batch between processes and writes them, whatever ``Q``.
    Source: He et al. 2020 (MoCo), arXiv 1911.05722, section 3.2; Wu et al. 2022 (ESimCSE), arXiv 2109.04380, section
        3.2.

    Example:
        >>> queue = KeyQueue(3, 1)
        >>> queue.push(torch.tensor([[1.0], [2.0]]))
        >>> queue.keys.flatten().tolist()
        [1.0, 2.0]
        >>> queue.push(torch.tensor([[3.0], [4.0]]))  # takes the place of the oldest
        >>> queue.keys.flatten().tolist(), len(queue)
        ([4.0, 2.0, 3.0], 3)
    """

    stored: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, capacity: int, dim: int, columns: Mapping[str, torch.dtype] | None = None) -> None:
        super().__init__()
        if capacity < 0:
            raise InputError(f"the size of the queue is {capacity}; it is 0 (no queue) or more keys.")
        self.capacity = capacity
        self.columns = tuple(columns or ())
        self.register_buffer("stored", torch.zeros(capacity, dim))
        for name, dtype in (columns or {}).items():
            self.register_buffer(f"column_{name}", torch.zeros(capacity, dtype=dtype))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self._warned = False

    def __len__(self) -> int:
        return int(self.filled)

    @property
    def keys(self) -> Float[Tensor, "F D"]:
        """The keys that are held, ``F <= Q`` of them, in the order of their places; a view, valid until a push."""
        return self.stored[: len(self)]

    def column(self, name: str) -> Shaped[Tensor, "F"]:
        """Return the values of a column for :attr:`keys`; a view, valid until a push."""
        values: Tensor = getattr(self, f"column_{name}")
        return values[: len(self)]

    @torch.no_grad()
    def fill_at_random(self) -> None:
        """Fill the queue with unit vectors that are drawn evenly from the sphere, and its columns with -1.

        Then a loss has as many candidates in the first step as in the last; they are pushed out first.

        Source: He et al. 2020 (MoCo), arXiv 1911.05722, official code.
        """
        self.stored.copy_(F.normalize(torch.randn(self.stored.shape), dim=1))
        for name in self.columns:
            getattr(self, f"column_{name}").fill_(-1)
        self.pointer.zero_()
        self.filled.fill_(self.capacity)

    @torch.no_grad()
    def push(self, keys: Float[Tensor, "B D"], **columns: Shaped[Tensor, "B"]) -> None:
        """Append the keys of all processes, in rank order, and drop the oldest that find no room.

        Every process has to call this, with any number of rows, none too.

        Args:
            keys: Keys of this process, oldest first.
            **columns: Value of each key in every column of the queue.

        Raises:
            ValueError: The keys have another length than those of the queue, or columns are missing, unknown or of
                another number of rows.
        """
        self._check(keys, columns)
        if not self.capacity:
            return
        counts = distributed.row_counts(len(keys))

        def everywhere(values: Tensor, into: Tensor) -> Tensor:
            return distributed.gather_rows(values.to(into.device, into.dtype), with_grad=False, counts=counts)

        found = {name: everywhere(values, getattr(self, f"column_{name}")) for name, values in columns.items()}
        self.write(everywhere(keys, self.stored), **found)

    @torch.no_grad()
    def write(self, keys: Float[Tensor, "N D"], **columns: Shaped[Tensor, "N"]) -> None:
        """Append keys that every process has already, the same on each, and drop the oldest that find no room.

        Args:
            keys: Keys of all processes, oldest first.
            **columns: Value of each key in every column of the queue.

        Raises:
            ValueError: As in :meth:`push`.
        """
        self._check(keys, columns)
        number = len(keys)
        newest = min(number, self.capacity)
        if not newest:
            return
        self._warn_once(number)
        first = int(self.pointer) + number - newest
        places = torch.arange(first, first + newest, device=self.stored.device) % self.capacity
        for into, values in ((self.stored, keys), *((getattr(self, f"column_{k}"), v) for k, v in columns.items())):
            into[places] = values[number - newest :].to(into.device, into.dtype)
        self.pointer.copy_((self.pointer + number) % self.capacity)
        self.filled.copy_((self.filled + number).clamp(max=self.capacity))

    def extra_repr(self) -> str:
        """Return the sizes, for printing."""
        return f"capacity={self.capacity}, dim={self.stored.shape[1]}, filled={len(self)}"

    def _check(self, keys: Tensor, columns: Mapping[str, Tensor]) -> None:
        if keys.ndim != 2 or keys.shape[1] != self.stored.shape[1]:
            raise ValueError(
                f"KeyQueue: keys is {list(keys.shape)}; it is [rows, {self.stored.shape[1]}]. Push what the queue was "
                "made for, one key a row."
            )
        if columns.keys() != set(self.columns):
            raise ValueError(
                f"KeyQueue: a push brings the columns {sorted(columns)}, but the queue has {sorted(self.columns)}; "
                "every key needs a value in each. Give them by name."
            )
        for name, values in columns.items():
            if values.shape != keys.shape[:1]:
                raise ValueError(
                    f"KeyQueue: the column {name} is {list(values.shape)} for {len(keys)} keys; it is one value a key."
                )

    def _warn_once(self, number: int) -> None:
        if number > self.capacity and not self._warned:
            self._warned = True
            logger.warning(
                "the queue holds %d keys, fewer than the %d of a batch: only the newest of each batch are kept",
                self.capacity,
                number,
            )
