"""Log-sum-exp of plain scores ``scale_i * <query_i, key_j>``, forward and backward written by hand.

The forward pass makes every tile once and reduces it along both axes. The backward pass makes the tile again, turns it
into the gradient of its scores, and gives that to both sides by one product each: four products of the size N x M x D
in all. Tiles are kept instead of being made again as long as they fit into a fixed number of bytes, so a small problem
costs three. Exponentials have base two (the scale takes the factor), which processors compute faster.

Scores whose bound is small enough, which cosines at usual temperatures are, need no maximum: their exponentials neither
overflow nor vanish, and one exponential serves both axes. All others are reduced with running maxima.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise.pairwise.checks import check_largest_score, forbid_second_derivative
from likewise.pairwise.operands import make_operands, without_autocast
from likewise.pairwise.softmax import LOG2_E, Picked, RunningSum, Sum, Weights

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise.pairs import Pairs
    from likewise.pairwise.sides import Over

__all__ = ["plain_softmax_terms"]

KEEP_BYTES = 256 * 2**20
"""Memory that the tiles kept for the backward pass may take; it is not used where it would hold less than an eighth of
the pairs."""

_BOUND = {torch.float32: 64.0, torch.float64: 512.0}
"""Scores within this bound (base two) are summed without a maximum: a sum of 2**20 exponentials, and a gradient of
1e-12 divided by it, are still ordinary numbers."""


def plain_softmax_terms(
    pairs: Pairs, over: Over, picked: Int[Tensor, "N"] | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the log-sum-exp of every row, that of every column, and picked scores; None for what is not asked for.

    Args:
        pairs: One factor, no ``score_mod``.
        over: "keys" for rows, "queries" for columns, "both".
        picked: A column for each row, whose score is wanted too.
    """
    inputs = (pairs.queries[0], pairs.keys[0], pairs.scale)
    needs_grad = torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    rows, columns, scores = _PlainTerms.apply(*inputs, pairs, over, picked, KEEP_BYTES if needs_grad else 0)
    return rows, columns, scores


class _Tiles:
    """The tiles of one pass: base-two scores, or their exponentials where the bound allows it."""

    def __init__(self, pairs: Pairs, query: Tensor, key: Tensor, scale: Tensor | float) -> None:
        self.pairs = pairs
        self.operands = make_operands(
            query, key, scale, LOG2_E, dtype=pairs.dtype, rounded=pairs.rounded, tile=pairs.tile
        )
        self.bounded = False
        self.kept: Tensor | None = None
        self.kept_rows = 0
        self._buffers: dict[int, Tensor] = {}
        self._ready: Tensor | None = None

    def start(self, keep_bytes: int) -> None:
        """Refuse what is not finite, choose how to sum, and set memory aside for the tiles of the first rows."""
        pairs = self.pairs
        if pairs.num_rows <= pairs.tile[0] and pairs.num_columns <= pairs.tile[1]:
            self._set_aside(keep_bytes)
            self.operands.load(slice(0, pairs.num_rows))
            self._ready = self.scores(slice(0, pairs.num_rows), slice(0, pairs.num_columns))
            lowest, highest = torch.aminmax(self._ready)
            largest = max(-float(lowest), float(highest))
        else:
            largest = self.operands.largest_score()
        check_largest_score(pairs, largest)
        self.bounded = largest <= _BOUND[pairs.dtype]
        if self._ready is None:
            self._set_aside(keep_bytes)

    def _set_aside(self, num_bytes: int) -> None:
        num_rows, height = self.pairs.num_rows, self.pairs.tile[0]
        fitting = num_bytes // (self.pairs.num_columns * self.pairs.dtype.itemsize)
        self.kept_rows = num_rows if fitting >= num_rows else fitting // height * height
        if 8 * self.kept_rows < num_rows:
            self.kept_rows = 0
        if self.kept_rows:
            self.kept = self.pairs.new_empty(self.kept_rows * self.pairs.num_columns)

    def buffer(self, number: int, rows: slice, columns: slice) -> Float[Tensor, "n m"]:
        """Return one of the two buffers in the shape of a tile."""
        if number not in self._buffers:
            largest = min(self.pairs.tile[0], self.pairs.num_rows) * min(self.pairs.tile[1], self.pairs.num_columns)
            self._buffers[number] = self.operands.query.new_empty(largest, dtype=self.pairs.dtype)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        return self._buffers[number][: height * width].view(height, width)

    def _place(self, rows: slice, columns: slice) -> Tensor | None:
        """Return where a tile is kept, or None."""
        if self.kept is None or rows.stop > self.kept_rows:
            return None
        height, width = rows.stop - rows.start, columns.stop - columns.start
        first = rows.start * self.pairs.num_columns + height * columns.start
        return self.kept[first : first + height * width].view(height, width)

    def scores(self, rows: slice, columns: slice) -> Float[Tensor, "n m"]:
        """Compute the base-two scores of a tile of the loaded rows, where it is kept if it is."""
        if self._ready is not None:
            tile, self._ready = self._ready, None
            return tile
        place = self._place(rows, columns)
        tile = self.buffer(0, rows, columns) if place is None else place
        self.operands.scores(columns, tile)
        return tile

    def finish(self, tile: Float[Tensor, "n m"], rows: slice, columns: slice) -> Float[Tensor, "n m"]:
        """Turn scores in place into what is summed."""
        left_out = self.pairs.left_out(rows, columns)
        if left_out is not None:
            tile.masked_fill_(left_out, -math.inf)
        if self.bounded:
            tile.exp2_()
        return tile

    def again(self, rows: slice, columns: slice) -> Float[Tensor, "n m"]:
        """Return a finished tile in the backward pass: as it was kept, or made again."""
        place = self._place(rows, columns)
        return self.finish(self.scores(rows, columns), rows, columns) if place is None else place


def _score_grad(tiles: _Tiles, weights: list[Weights], rows: slice, columns: slice) -> Float[Tensor, "n m"]:
    """Return the gradient of the scores of a tile, in the second buffer."""
    out = tiles.buffer(1, rows, columns)
    if not weights:
        return out.zero_()
    tile = tiles.again(rows, columns)
    parts = [rows if each.axis == 1 else columns for each in weights]
    if not tiles.bounded:
        weights[0].exponentials(tile, parts[0], out).mul_(weights[0].factor(parts[0]))
        if len(weights) == 2:
            other = weights[1].exponentials(tile, parts[1], tiles.buffer(0, rows, columns))
            out.addcmul_(other, weights[1].factor(parts[1]))
        return out
    if len(weights) == 2:
        torch.add(weights[0].factor(parts[0]), weights[1].factor(parts[1]), out=out)
        return out.mul_(tile)
    return torch.mul(tile, weights[0].factor(parts[0]), out=out)


class _PlainTerms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        scale: Tensor | float,
        pairs: Pairs,
        over: Over,
        picked: Tensor | None,
        keep_bytes: int,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        ctx.set_materialize_grads(False)
        tiles = _Tiles(pairs, query, key, scale)
        tiles.start(keep_bytes)
        kind = Sum if tiles.bounded else RunningSum
        row_sum = kind(1, pairs) if over != "queries" else None
        column_sum = kind(0, pairs) if over != "keys" else None
        pick = None if picked is None else Picked(picked, pairs.num_columns)
        scores = None if picked is None else pairs.new_empty(pairs.num_rows)
        for rows in pairs.row_blocks():
            tiles.operands.load(rows)
            for columns in pairs.column_blocks():
                tile = tiles.scores(rows, columns)
                if pick is not None and scores is not None:
                    pick.read(tile, rows, columns, scores)
                tile = tiles.finish(tile, rows, columns)
                scratch = tile if tiles.bounded else tiles.buffer(1, rows, columns)
                if row_sum is not None:
                    row_sum.add(tile, rows, scratch, first=columns.start == 0)
                if column_sum is not None:
                    column_sum.add(tile, columns, scratch, first=rows.start == 0)
        results = [None if each is None else each.result() for each in (row_sum, column_sum)]
        states = [x for each in (row_sum, column_sum) for x in (each.state() if each else (None, None))]
        ctx.save_for_backward(query, key, *states, picked, tiles.kept, scale if isinstance(scale, Tensor) else None)
        ctx.pairs, ctx.bounded, ctx.kept_rows = pairs, tiles.bounded, tiles.kept_rows
        return results[0], results[1], None if scores is None else scores.mul_(math.log(2.0))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        with torch.no_grad(), without_autocast(ctx.pairs.device):
            result = _backward(ctx, grads)
        query, key, *_, scale = ctx.saved_tensors
        inputs = [x for x in (query, key, scale) if x is not None]
        return (*forbid_second_derivative(ctx.pairs.name, result, inputs), None, None, None, None)


def _backward(ctx: Any, grads: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    pairs: Pairs = ctx.pairs
    query, key, *states, picked, kept, scale = ctx.saved_tensors
    scale = pairs.scale if scale is None else scale
    needs_query, needs_key, needs_scale = ctx.needs_input_grad[:3]
    tiles = _Tiles(pairs, query, key, scale)
    tiles.bounded, tiles.kept, tiles.kept_rows = ctx.bounded, kept, ctx.kept_rows
    operands = tiles.operands
    if not needs_scale and operands.row_scale is None:  # then gradients of scores may as well contain the scale
        grads = tuple(None if grad is None else grad * scale for grad in grads)
    weights = [
        Weights(axis, total, highest, grad)
        for axis, total, highest, grad in ((1, *states[:2], grads[0]), (0, *states[2:], grads[1]))
        if grad is not None
    ]
    pick = None if grads[2] is None else Picked(picked, pairs.num_columns)
    query_grad = torch.empty_like(query, dtype=pairs.dtype) if needs_query or needs_scale else None
    key_grad = torch.empty_like(key, dtype=pairs.dtype) if needs_key else None
    for rows in pairs.row_blocks():
        operands.load(rows)
        for columns in pairs.column_blocks():
            weight = _score_grad(tiles, weights, rows, columns)
            if pick is not None and grads[2] is not None:
                pick.add(weight, grads[2], rows, columns)
            weight = operands.as_operand(weight)
            if query_grad is not None:
                operands.pull_query(weight, columns, query_grad[rows], first=columns.start == 0)
            if key_grad is not None:
                operands.pull_key(weight, key_grad[columns], first=rows.start == 0)
    scale_grad = None
    if needs_scale and query_grad is not None:
        per_row = torch.linalg.vecdot(operands.query.to(pairs.dtype), query_grad)
        scale_grad = per_row.sum() if operands.row_scale is None else per_row
        if operands.row_scale is None and key_grad is not None:
            key_grad.mul_(scale)
    if query_grad is not None and (needs_scale or operands.row_scale is not None):
        query_grad.mul_(scale if operands.row_scale is None else operands.row_scale)
    return [
        query_grad.to(query.dtype) if needs_query and query_grad is not None else None,
        None if key_grad is None else key_grad.to(key.dtype),
        scale_grad,
    ]
