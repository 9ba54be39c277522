"""Views of which one sees, by chance, another picture of its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from likewise.views.base import Batch, Views

__all__ = ["ReplacedViews"]


@dataclass(frozen=True)
class ReplacedViews:
    """What other views make of a row, with one model input made of another column, with a probability.

    Args:
        views: Makes the batch.
        name: The model input.
        column: Column that it is made of.
        by: Column that takes its place.
        chance: Probability of that, in [0, 1].
    """

    views: Views
    name: str
    column: str
    by: str
    chance: float

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Make the inputs of one row."""
        made = self.views(row, random)
        if random.random() < self.chance:
            made[self.name] = self.views({**row, self.column: row[self.by]}, random)[self.name]
        return made

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Put ``B`` rows together."""
        return self.views.collate(examples, row_index)
