"""Views of rows that have a label: its number, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from likewise.memory import LabelTable
from likewise.views.base import Batch
from likewise.views.text import TextViews

__all__ = ["LabelledViews"]


@dataclass(frozen=True)
class LabelledViews:
    """Texts as :class:`TextViews` makes them, with ``label``, int64 ``[B]``, and perhaps ``label_vector``, ``[B, L]``.

    Args:
        texts: Makes the texts.
        column: The column with the number of a row's label, from 0.
        table: Vectors of the labels; None: a batch brings the numbers alone.
    """

    texts: TextViews
    column: str
    table: LabelTable | None = None

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Pick the texts and the label of one row."""
        return {**self.texts(row, random), "label": int(row[self.column])}

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Tokenise the texts of ``B`` rows, and look their labels up."""
        batch = self.texts.collate(examples, row_index)
        labels = np.array([example["label"] for example in examples], dtype=np.int64)
        batch.inputs["label"] = torch.from_numpy(labels)
        if self.table is not None:
            batch.inputs["label_vector"] = self.table.vectors(labels)
        return batch
