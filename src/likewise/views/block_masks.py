"""Hiding blocks of a picture from one tower, while another one sees all of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from likewise.errors import InputError
from likewise.views.base import Batch, Views

if TYPE_CHECKING:
    from jaxtyping import Bool

__all__ = ["BlockMaskedViews", "block_mask"]

TRIES = 10
"""Blocks that are tried in turn before a mask stays as it is."""
ASPECT = 0.3
"""Least height of a block in widths; the reverse is the most (BEiT)."""


def block_mask(height: int, width: int, share: float, random: np.random.Generator) -> Bool[np.ndarray, "H W"]:
    """Return which cells of a grid are hidden: blocks of random place, size and form, about a share of all cells.

    Blocks are large, a ninth of a square grid where the share allows that, and may overlap. Fewer cells are hidden
    where no further block fits.

    Args:
        height: Cells from top to bottom, >= 1.
        width: Cells from left to right, >= 1.
        share: Share of the cells that is hidden, in [0, 1).
        random: Draws the blocks.

    Source: Bao et al. 2022 (BEiT), arXiv 2106.08254, algorithm 1.

    Example:
        >>> int(block_mask(8, 8, 0.25, np.random.default_rng(0)).sum()) <= 16
        True
    """
    mask = np.zeros((height, width), dtype=bool)
    left = math.floor(share * height * width)
    failed = 0
    while left > 0 and failed < TRIES:
        area = random.uniform(min((min(height, width) // 3) ** 2, left), left)
        aspect = math.exp(random.uniform(math.log(ASPECT), -math.log(ASPECT)))
        tall, wide = (
            min(max(round(math.sqrt(side)), 1), most)
            for side, most in ((area * aspect, height), (area / aspect, width))
        )
        top, first = int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1))
        block = mask[top : top + tall, first : first + wide]
        new = tall * wide - int(block.sum())
        if not 0 < new <= left:
            failed += 1
            continue
        block[:] = True
        left, failed = left - new, 0
    return mask


@dataclass(frozen=True)
class BlockMaskedViews:
    """What other views make of a picture, and each of it with blocks hidden, under its name with ``_masked`` behind.

    The share that is hidden is drawn anew for each view, evenly between ``ratio - spread`` and ``ratio + spread``.

    Args:
        views: Makes the inputs, uint8 ``[B, C, S, S]``.
        names: Which of them are masked.
        fill: What hidden pixels become, a value from 0 to 255 for each channel: the mean colour that the tower takes
            off, so that it reads zeros there.
        patch: Side of a cell in pixels, from 1 to S; what is left at the right and below is never hidden.
        ratio: Mean share of the cells that is hidden, in [0, 1).
        spread: How far the share of a view may be from that, from 0 to ``ratio``.

    Raises:
        InputError: ``ratio`` or ``spread`` is out of its range.

    Source: Bao et al. 2022 (BEiT), arXiv 2106.08254, with shares drawn as in Zhou et al. 2022 (iBOT), arXiv 2111.07832.
    """

    views: Views
    names: Sequence[str]
    fill: Sequence[int]
    patch: int
    ratio: float
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.ratio < 1:
            raise InputError(f"the share that is hidden is {self.ratio}; it is 0 or more and below 1 (paper: 0.15).")
        if not 0 <= self.spread <= min(self.ratio, 1 - self.ratio):
            raise InputError(
                f"the share that is hidden varies by {self.spread} around {self.ratio}; it has to stay between 0 and "
                "1. Give a smaller spread."
            )

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Make the inputs of one row, and hide blocks of a copy of each."""
        example = self.views(row, random)
        for name in self.names:
            example[f"{name}_masked"] = self._hidden(example[name], random)
        return example

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Put ``B`` rows together."""
        batch = self.views.collate(examples, row_index)
        for name in (f"{name}_masked" for name in self.names):
            batch.inputs[name] = torch.stack([example[name] for example in examples])
        return batch

    def _hidden(self, picture: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        rows, columns = (side // self.patch for side in picture.shape[1:])
        share = self.ratio + self.spread * random.uniform(-1, 1)
        cells = torch.from_numpy(block_mask(rows, columns, share, random))
        hidden = torch.zeros(picture.shape[1:], dtype=torch.bool)
        whole = cells.repeat_interleave(self.patch, 0).repeat_interleave(self.patch, 1)
        hidden[: whole.shape[0], : whole.shape[1]] = whole
        return torch.where(hidden, torch.tensor(self.fill, dtype=picture.dtype)[:, None, None], picture)
