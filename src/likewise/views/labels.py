"""Views of rows that have a label: its number, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from likewise.memory import LabelTable
from likewise.views.base import Batch, Views

__all__ = ["NO_LABEL", "FlaggedViews", "LabelledViews"]

NO_LABEL = -1
"""Number of the label of a row that has none."""


@dataclass(frozen=True)
class LabelledViews:
    """What other views make of a row, with ``label``, int64 ``[B]`` (-1: none), perhaps ``label_vector`` ``[B, L]``.

    Args:
        views: Makes the rest of the batch.
        column: The column of labels: their names, or, without ``classes``, their numbers from 0.
        table: Vectors of the labels; None: a batch brings the numbers alone.
        classes: Names of the labels in the order of their numbers.
    """

    views: Views
    column: str
    table: LabelTable | None = None
    classes: tuple[str, ...] = ()

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Make the inputs of one row, and pick its label."""
        label = row[self.column]
        number = NO_LABEL if label is None else self._numbers[label] if self.classes else int(label)
        return {**self.views(row, random), "label": number}

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Put ``B`` rows together, and look their labels up."""
        batch = self.views.collate(examples, row_index)
        labels = np.array([example["label"] for example in examples], dtype=np.int64)
        batch.inputs["label"] = torch.from_numpy(labels)
        if self.table is not None:
            batch.inputs["label_vector"] = self.table.vectors(labels)
        return batch

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.classes)}


@dataclass(frozen=True)
class FlaggedViews:
    """What other views make of a row, with whether it is of one kind, bool ``[B]``, under the column's name.

    Args:
        views: Makes the rest of the batch.
        column: The column that says it.
        kind: Its value for such rows.
        vector: Column of vectors that only they have; a batch holds it as float32 ``[B, length]``, 0 for the others.
        length: Length of these vectors.
    """

    views: Views
    column: str
    kind: str
    vector: str | None = None
    length: int = 0

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Make the inputs of one row, and say of which kind it is."""
        made = {**self.views(row, random), self.column: row[self.column] == self.kind}
        if self.vector is not None:
            made[self.vector] = row[self.vector] if made[self.column] else [0.0] * self.length
        return made

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Put ``B`` rows together."""
        batch = self.views.collate(examples, row_index)
        batch.inputs[self.column] = torch.tensor([example[self.column] for example in examples], dtype=torch.bool)
        if self.vector is not None:
            values = np.array([example[self.vector] for example in examples], dtype=np.float32)
            batch.inputs[self.vector] = torch.from_numpy(values.reshape(len(examples), self.length))
        return batch
