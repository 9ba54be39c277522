"""Reductions of scores that a function of the caller makes: the function is differentiated tile by tile by autograd.

Of every tile the forward pass keeps nothing. The backward pass makes the scores again, applies the functions to them
with autograd on, lets autograd carry the gradient from the reduction back to the scores and to the tile's part of every
tensor, and gives the gradient of the scores to query and key by products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from likewise.pairwise.checks import check_largest_score, check_values, forbid_second_derivative
from likewise.pairwise.operands import Operands, make_operands, without_autocast
from likewise.pairwise.sides import Side

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.pairwise.pairs import Pairs

__all__ = ["Reduction", "Tiles", "reduce_tiles"]


class Reduction(Protocol):
    """What is done with the scores of all pairs; one object serves one call."""

    num_results: int
    """How many of what ``results`` returns are for the caller; the rest is only needed for the gradient."""

    def add(self, score: Float[Tensor, "n m"], left_out: Tensor | None, rows: slice, columns: slice) -> None:
        """Take in the scores of a tile; pairs that are left out do not count."""

    def results(self) -> list[tuple[Tensor | None, int]]:
        """Return each result with the axis it is a reduction of (1: a value a row, 0: a value a column)."""

    def outputs(self, score: Float[Tensor, "n m"]) -> list[Tensor]:
        """Return the functions of a tile's scores that the reduction is a function of."""

    def grads(
        self,
        outputs: list[Tensor],
        left_out: Tensor | None,
        rows: slice,
        columns: slice,
        results: Sequence[Tensor | None],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Return the gradient of each of a tile's ``outputs``, zero for pairs that are left out."""


def reduce_tiles(pairs: Pairs, reduction: Reduction) -> tuple[Tensor | None, ...]:
    """Reduce the scores of all pairs, differentiably.

    Gradients flow to query, key, scale, to the tensors of rows and columns, and to the listed parameters.
    """
    scale = torch.as_tensor(pairs.scale, dtype=pairs.dtype, device=pairs.device)
    tensors = (*pairs.queries, *pairs.keys, scale, *pairs.rows, *pairs.columns, *pairs.parameters)
    if torch.is_grad_enabled():
        _check_for_lost_gradients(pairs, reduction)
    results: tuple[Tensor | None, ...] = _ReduceTiles.apply(pairs, reduction, *tensors)
    return results[: reduction.num_results]


def _check_for_lost_gradients(pairs: Pairs, reduction: Reduction) -> None:
    """Raise if a function uses a tensor that requires a gradient and is not listed: it would not receive any."""
    if pairs.parameters or not pairs.num_rows or not pairs.num_columns:
        return
    first = slice(0, 1)
    with torch.enable_grad():
        zeros = [torch.zeros(1, 1, dtype=pairs.dtype, device=pairs.device) for _ in pairs.queries]
        row, column = (_detached(side) for side in (pairs.row_side(first), pairs.column_side(first)))
        outputs = reduction.outputs(pairs.modify(zeros, row, column))
    if any(x.requires_grad for x in outputs):
        raise ValueError(
            f"{pairs.name}: a function of scores uses a tensor that requires a gradient but would not receive it; "
            "such tensors are given in rows, columns or parameters. List it there, or detach it."
        )


def _detached(side: Side) -> Side:
    return Side(side.index, tuple(x.detach() for x in side.tensors))


class Tiles:
    """Scores of one tile after the other, a buffer for each factor."""

    def __init__(self, pairs: Pairs, queries: Sequence[Tensor], keys: Sequence[Tensor], scale: Tensor) -> None:
        self.pairs = pairs
        self.factors: list[Operands] = []
        self._buffers = []
        size = min(pairs.tile[0], pairs.num_rows) * min(pairs.tile[1], pairs.num_columns)
        for query, key in zip(queries, keys, strict=True):
            options: dict[str, Any] = {"dtype": pairs.dtype, "rounded": pairs.rounded, "tile": pairs.tile}
            self.factors.append(make_operands(query, key, 1.0 if self.factors else scale, 1.0, **options))
            self._buffers.append(torch.empty(size, dtype=pairs.dtype, device=pairs.device))

    def check(self) -> None:
        """Refuse operands that are not finite."""
        if self.pairs.num_rows and self.pairs.num_columns:
            check_largest_score(self.pairs, sum(factor.largest_score() for factor in self.factors))

    def __iter__(self) -> Iterator[tuple[slice, slice, list[Tensor]]]:
        for rows in self.pairs.row_blocks():
            for factor in self.factors:
                factor.load(rows)
            for columns in self.pairs.column_blocks():
                height, width = rows.stop - rows.start, columns.stop - columns.start
                scores = [buffer[: height * width].view(height, width) for buffer in self._buffers]
                for factor, score in zip(self.factors, scores, strict=True):
                    factor.scores(columns, score)
                yield rows, columns, scores


class _ReduceTiles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pairs: Pairs, reduction: Reduction, *tensors: Tensor) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        num_factors = len(pairs.queries)
        tiles = Tiles(pairs, tensors[:num_factors], tensors[num_factors : 2 * num_factors], tensors[2 * num_factors])
        tiles.check()
        with without_autocast(pairs.device):
            for rows, columns, scores in tiles:
                score = pairs.modify(scores, pairs.row_side(rows), pairs.column_side(columns))
                reduction.add(score, pairs.left_out(rows, columns), rows, columns)
        results = reduction.results()
        for values, axis in results:
            if values is not None:
                check_values(pairs, values, axis)
        values_only = [values for values, _ in results]
        ctx.save_for_backward(*tensors, *values_only)
        ctx.mark_non_differentiable(*(x for x in values_only[reduction.num_results :] if x is not None))
        ctx.pairs, ctx.reduction, ctx.num_tensors = pairs, reduction, len(tensors)
        return tuple(values_only)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        saved = ctx.saved_tensors
        tensors, results = saved[: ctx.num_tensors], saved[ctx.num_tensors :]
        with torch.no_grad(), without_autocast(ctx.pairs.device):
            found = _Backward(ctx.pairs, ctx.reduction, tensors, ctx.needs_input_grad[2:]).run(results, grads)
        floating = [x for x in tensors if x.requires_grad]
        return (None, None, *forbid_second_derivative(ctx.pairs.name, found, floating))


class _Backward:
    """One backward pass; collects a gradient for each tensor that needs one."""

    def __init__(self, pairs: Pairs, reduction: Reduction, tensors: Sequence[Tensor], needs: Sequence[bool]) -> None:
        self.pairs, self.reduction = pairs, reduction
        self.tensors = tensors
        self.needs = needs
        self.collected = [
            torch.zeros_like(x, dtype=torch.promote_types(x.dtype, pairs.dtype)) if need else None
            for x, need in zip(tensors, needs, strict=True)
        ]
        num_factors = len(pairs.queries)
        self.queries = slice(0, num_factors)
        self.keys = slice(num_factors, 2 * num_factors)
        self.scale = 2 * num_factors
        self.rows = slice(self.scale + 1, self.scale + 1 + len(pairs.rows))
        self.columns = slice(self.rows.stop, self.rows.stop + len(pairs.columns))
        self.parameters = slice(self.columns.stop, self.columns.stop + len(pairs.parameters))

    def run(self, results: Sequence[Tensor | None], grads: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the gradient of every tensor, or None for one that needs none."""
        scale = self.tensors[self.scale]
        tiles = Tiles(self.pairs, self.tensors[self.queries], self.tensors[self.keys], scale)
        # The gradient of a scale is a product of query with its own, so that is collected where either is needed.
        if self.needs[self.scale] and self.collected[0] is None:
            self.collected[0] = torch.zeros_like(self.tensors[0], dtype=self.pairs.dtype)
        for rows, columns, scores in tiles:
            score_grads = self._through_functions(rows, columns, scores, results, grads)
            self._through_products(tiles.factors, rows, columns, score_grads)
        self._apply_scale(scale, tiles.factors[0])
        return [
            None if x is None or not need else x.to(tensor.dtype)
            for x, need, tensor in zip(self.collected, self.needs, self.tensors, strict=True)
        ]

    def _through_functions(
        self,
        rows: slice,
        columns: slice,
        scores: list[Tensor],
        results: Sequence[Tensor | None],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor | None]:
        """Return the gradient of each factor's scores, and collect those of the tensors the functions use."""
        left_out = self.pairs.left_out(rows, columns)
        row, column = (
            self._side(self.pairs.row_side(rows), self.rows),
            self._side(self.pairs.column_side(columns), self.columns),
        )
        with torch.enable_grad():
            leaves = [score.detach().requires_grad_() for score in scores]
            outputs = self.reduction.outputs(self.pairs.modify(leaves, row, column))
        output_grads = self.reduction.grads(
            [x.detach() for x in outputs], left_out, rows, columns, results, grads[: self.reduction.num_results]
        )
        used = [(x, grad) for x, grad in zip(outputs, output_grads, strict=True) if x.requires_grad]
        if not used:
            return [None] * len(leaves)
        targets = [*leaves, *row.tensors, *column.tensors, *self.pairs.parameters]
        places = [None] * len(leaves) + list(range(self.rows.start, self.parameters.stop))
        wanted = [(x, place) for x, place in zip(targets, places, strict=True) if x.requires_grad]
        found = torch.autograd.grad(
            [x for x, _ in used], [x for x, _ in wanted], [grad for _, grad in used], allow_unused=True
        )
        for (_, place), grad in zip(wanted, found, strict=True):
            if place is not None and grad is not None:
                self._collect(place, grad, rows, columns)
        return list(found[: len(leaves)])

    def _side(self, side: Side, places: slice) -> Side:
        needs = self.needs[places]
        return Side(side.index, tuple(x.detach().requires_grad_(n) for x, n in zip(side.tensors, needs, strict=True)))

    def _collect(self, place: int, grad: Tensor, rows: slice, columns: slice) -> None:
        total = self.collected[place]
        if total is None:
            return
        if place < self.rows.stop:
            total[rows] += grad.squeeze(1)
        elif place < self.columns.stop:
            total[columns] += grad.squeeze(0)
        else:
            total += grad

    def _through_products(
        self, factors: Sequence[Operands], rows: slice, columns: slice, score_grads: Sequence[Tensor | None]
    ) -> None:
        for number, (factor, grad) in enumerate(zip(factors, score_grads, strict=True)):
            if grad is None:
                continue
            grad = factor.as_operand(grad)
            query_grad, key_grad = self.collected[self.queries][number], self.collected[self.keys][number]
            if query_grad is not None:
                factor.pull_query(grad, columns, query_grad[rows], first=False)
            if key_grad is not None:
                factor.pull_key(grad, key_grad[columns], first=False)

    def _apply_scale(self, scale: Tensor, factor: Operands) -> None:
        """Multiply what was collected without the scale of the first factor, and make the gradient of that scale."""
        query_grad, key_grad = self.collected[0], self.collected[self.keys.start]
        if self.needs[self.scale] and query_grad is not None:
            per_row = torch.linalg.vecdot(factor.query.to(query_grad.dtype), query_grad)
            self.collected[self.scale] = per_row if scale.ndim else per_row.sum()
        if query_grad is not None:
            query_grad.mul_(scale[:, None] if scale.ndim else scale)
        if key_grad is not None and scale.ndim == 0:
            key_grad.mul_(scale)
