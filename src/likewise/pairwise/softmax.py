"""Log-sum-exp along the two axes of pairs, tile by tile, and the way back from its gradient to that of the scores.

Exponentials have base two, which processors compute faster: tiles hold scores times ``LOG2_E``. Results have base e.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise.pairs import Pairs

__all__ = ["LOG2_E", "Picked", "RunningMean", "RunningSum", "Sum", "Weights"]

LOG2_E = math.log2(math.e)


class Sum:
    """Log-sum-exp along one axis, tile by tile, of exponentials that need no maximum."""

    def __init__(self, axis: int, pairs: Pairs) -> None:
        self.axis = axis
        self.total = pairs.new_empty(pairs.num_rows if axis == 1 else pairs.num_columns)

    def add(self, tile: Tensor, part: slice, scratch: Tensor, *, first: bool) -> None:
        """Take in a tile; ``first`` is the first one of its part of the rows (columns)."""
        if first:
            torch.sum(tile, self.axis, out=self.total[part])
        else:
            self.total[part].add_(tile.sum(self.axis))

    def result(self) -> Tensor:
        """Return the log-sum-exp, base e."""
        return self.total.log()

    def state(self) -> tuple[Tensor, Tensor | None]:
        """Return the sum of exponentials, and what they are relative to."""
        return self.total, None


class RunningSum(Sum):
    """The same of base-two scores of any size: sums are relative to the largest score so far."""

    def __init__(self, axis: int, pairs: Pairs) -> None:
        super().__init__(axis, pairs)
        self.total.zero_()
        self.highest = torch.full_like(self.total, -math.inf)

    def add(self, tile: Tensor, part: slice, scratch: Tensor, *, first: bool) -> None:
        """Take in a tile; ``first`` is the first one of its part of the rows (columns)."""
        before = self.highest[part]
        after = torch.maximum(before, tile.amax(self.axis))
        origin = after.masked_fill(after == -math.inf, 0.0)
        total = torch.sub(tile, origin.unsqueeze(self.axis), out=scratch).exp2_().sum(self.axis)
        if not first:
            total.addcmul_(self.total[part], (before - origin).exp2_())
        self.total[part] = total
        self.highest[part] = after

    def result(self) -> Tensor:
        """Return the log-sum-exp, base e."""
        origin = self.highest.masked_fill(self.highest == -math.inf, 0.0)
        return (self.total.log2() + origin).mul_(math.log(2.0))

    def state(self) -> tuple[Tensor, Tensor | None]:
        """Return the sum of exponentials, and what they are relative to."""
        return self.total, self.highest


class RunningMean(RunningSum):
    """The same, and the mean of a value with the weights ``exp(score)``."""

    def __init__(self, axis: int, pairs: Pairs) -> None:
        super().__init__(axis, pairs)
        self.weighted = torch.zeros_like(self.total)

    def add_value(self, tile: Tensor, value: Tensor, part: slice, scratch: Tensor, *, first: bool) -> None:
        """Take in a tile and the values of its pairs."""
        before = self.highest[part].clone()
        self.add(tile, part, scratch, first=first)
        weighted = scratch.mul_(value).sum(self.axis)
        if not first:
            after = self.highest[part]
            weighted.addcmul_(self.weighted[part], (before - after.masked_fill(after == -math.inf, 0.0)).exp2_())
        self.weighted[part] = weighted

    def mean(self) -> Tensor:
        """Return the mean; 0 where nothing counts."""
        return self.weighted / self.total.masked_fill(self.total == 0.0, 1.0)


class Picked:
    """A column for each row: reads its score, and puts the gradient of that score where it belongs."""

    def __init__(self, picked: Int[Tensor, "N"], num_columns: int) -> None:
        self._picked, self._num_columns = picked, num_columns

    def _find(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Return each row's place in the tile, and whether it is in the tile at all."""
        place = self._picked[rows, None] - columns.start
        width = columns.stop - columns.start
        return place.clamp(0, width - 1), (place >= 0) & (place < width)

    def read(self, tile: Tensor, rows: slice, columns: slice, out: Float[Tensor, "N"]) -> None:
        """Copy the scores that lie in a tile."""
        if columns.stop - columns.start == self._num_columns:
            torch.gather(tile, 1, self._picked[rows, None], out=out[rows, None])
            return
        place, inside = self._find(rows, columns)
        out[rows, None] = torch.where(inside, tile.gather(1, place), out[rows, None])

    def add(self, tile: Tensor, grad: Float[Tensor, "N"], rows: slice, columns: slice) -> None:
        """Add the gradients of the scores that lie in a tile."""
        if columns.stop - columns.start == self._num_columns:
            tile.scatter_add_(1, self._picked[rows, None], grad[rows, None])
            return
        place, inside = self._find(rows, columns)
        tile.scatter_add_(1, place, torch.where(inside, grad[rows, None], 0.0))


class Weights:
    """How the gradient of a log-sum-exp becomes a gradient of scores: times its softmax.

    The softmax is made of the sum of exponentials itself; its logarithm has lost digits that a score next to 1 needs.

    Args:
        axis: 1 for a result of rows, 0 for one of columns.
        total: Sum of exponentials; 0 where nothing counts, which has no gradient.
        highest: The score that exponentials are relative to; None where they are not.
        grad: Gradient of the result.
    """

    def __init__(self, axis: int, total: Tensor, highest: Tensor | None, grad: Tensor) -> None:
        self.axis = axis
        empty = total == 0.0
        self._factor = (grad / total.masked_fill(empty, 1.0)).masked_fill_(empty, 0.0)
        self._origin = None if highest is None else highest.masked_fill(empty, 0.0)

    def factor(self, part: slice) -> Tensor:
        """Return what the exponentials of a tile are multiplied with."""
        return self._factor[part].unsqueeze(self.axis)

    def exponentials(self, tile: Tensor, part: slice, out: Tensor) -> Tensor:
        """Write the exponentials of a tile of base-two scores."""
        if self._origin is None:
            return torch.exp2(tile, out=out)
        return torch.sub(tile, self._origin[part].unsqueeze(self.axis), out=out).exp2_()
