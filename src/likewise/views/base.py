"""The seam between rows and models: what a view is, and what a batch is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["Batch", "Views"]


@dataclass
class Batch:
    """The model inputs of the ``B`` rows that this process holds of one batch.

    Args:
        inputs: Model inputs by name ("query", "positive"); what a value looks like is between views and encoder.
        row_index: Number of each row in its table, int64 ``[B]``.
        group: The group of all rows, over all processes, where batches are made of one group each; else None.

    Example:
        >>> import torch
        >>> batch = Batch({"query": ["a", "b"]}, torch.tensor([4, 2]))
        >>> len(batch), batch["query"], "positive" in batch
        (2, ['a', 'b'], False)
    """

    inputs: dict[str, Any]
    row_index: Tensor
    group: str | None = None

    def __getitem__(self, name: str) -> Any:
        return self.inputs[name]

    def __contains__(self, name: object) -> bool:
        return name in self.inputs

    def __len__(self) -> int:
        return int(self.row_index.shape[0])

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with every input that can move on another device."""
        moved = {name: value.to(device) if hasattr(value, "to") else value for name, value in self.inputs.items()}
        return Batch(moved, self.row_index.to(device), self.group)


class Views(Protocol):
    """How the positives of a row are made; runs in the loader's workers, so it must be picklable.

    A view draws every random number from the generator that it is handed: that generator is a function of (seed,
    epoch, row), so the same views come out whatever the number of workers, and again after resuming.
    """

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Make the model inputs of one row, by name."""
        ...

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Put the inputs of ``B`` rows together; ``row_index`` is the number of each row in its table."""
        ...
