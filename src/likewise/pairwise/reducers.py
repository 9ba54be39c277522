"""What is done with the scores of all pairs where functions of the caller take part: see ``tilewise.Reduction``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise.pairwise.softmax import LOG2_E, Picked, RunningMean, RunningSum, Weights

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise.pairs import Pairs
    from likewise.pairwise.sides import Over

__all__ = ["Expectations", "LogSumExps", "ScoreFunction", "Sums"]

WHOLE = slice(None)

ScoreFunction = Callable[[Tensor], Tensor]
"""An elementwise, differentiable function of scores."""


def _axes(over: Over) -> tuple[int, ...]:
    """Return the axes of the pairs that are reduced: 1 to a value a row, 0 to a value a column."""
    return {"keys": (1,), "queries": (0,), "both": (1, 0)}[over]


def _base_two(logit: Tensor, left_out: Tensor | None) -> Tensor:
    """Return new base-two scores, -inf where a pair is left out."""
    logit = logit * LOG2_E
    return logit if left_out is None else logit.masked_fill_(left_out, -math.inf)


def _states(sums: Mapping[int, RunningSum]) -> list[tuple[Tensor | None, int]]:
    """Return what the gradient needs of the sums along both axes."""
    return [(x, axis) for axis in (1, 0) for x in (sums[axis].state() if axis in sums else (None, None))]


def _weights(
    states: Sequence[Tensor | None], grads: Sequence[Tensor | None], rows: slice, columns: slice
) -> Iterator[tuple[int, Weights]]:
    """Yield number (0 for rows, 1 for columns) and weights of each result of a tile that has a gradient."""
    for number, (axis, part) in enumerate(((1, rows), (0, columns))):
        total, highest, grad = states[2 * number], states[2 * number + 1], grads[number]
        if total is not None and highest is not None and grad is not None:
            yield number, Weights(axis, total[part], highest[part], grad[part])


class LogSumExps:
    """Log-sum-exp along each axis asked for, and the score of a picked column a row."""

    num_results = 3

    def __init__(self, pairs: Pairs, over: Over, picked: Int[Tensor, "N"] | None) -> None:
        self._pairs = pairs
        self._picked = None if picked is None else Picked(picked, pairs.num_columns)
        self._sums = {axis: RunningSum(axis, pairs) for axis in _axes(over)}
        self._scores = None if picked is None else pairs.new_empty(pairs.num_rows)

    def add(self, score: Float[Tensor, "n m"], left_out: Tensor | None, rows: slice, columns: slice) -> None:
        """Take in the scores of a tile."""
        if self._picked is not None and self._scores is not None:
            self._picked.read(score, rows, columns, self._scores)
        logit = _base_two(score, left_out)
        scratch = torch.empty_like(logit)
        for axis, each in self._sums.items():
            first = (columns if axis == 1 else rows).start == 0
            each.add(logit, rows if axis == 1 else columns, scratch, first=first)

    def results(self) -> list[tuple[Tensor | None, int]]:
        """Return the log-sum-exps of rows and of columns, and the picked scores; then what the sums are made of."""
        rows, columns = (self._sums[axis].result() if axis in self._sums else None for axis in (1, 0))
        return [(rows, 1), (columns, 0), (self._scores, 1), *_states(self._sums)]

    def outputs(self, score: Float[Tensor, "n m"]) -> list[Tensor]:
        """Return the scores."""
        return [score]

    def grads(
        self,
        outputs: list[Tensor],
        left_out: Tensor | None,
        rows: slice,
        columns: slice,
        results: Sequence[Tensor | None],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Return the gradient of the scores: softmax times the gradient of its log-sum-exp, along each axis."""
        total = torch.zeros_like(outputs[0])
        logit = _base_two(outputs[0], left_out)
        scratch = torch.empty_like(logit)
        for _, weights in _weights(results[3:], grads, rows, columns):
            total.addcmul_(weights.exponentials(logit, WHOLE, scratch), weights.factor(WHOLE))
        if self._picked is not None and grads[2] is not None:
            self._picked.add(total, grads[2], rows, columns)
        return [total]


class Sums:
    """Sum of a function of the scores along each axis asked for."""

    num_results = 2

    def __init__(self, pairs: Pairs, over: Over, value: ScoreFunction) -> None:
        self._value = value
        self._totals = {
            axis: pairs.new_empty(pairs.num_rows if axis == 1 else pairs.num_columns).zero_() for axis in _axes(over)
        }

    def add(self, score: Float[Tensor, "n m"], left_out: Tensor | None, rows: slice, columns: slice) -> None:
        """Take in the scores of a tile."""
        value = self._value(score)
        if left_out is not None:
            value = value.masked_fill(left_out, 0.0)
        for axis, total in self._totals.items():
            total[rows if axis == 1 else columns] += value.sum(axis)

    def results(self) -> list[tuple[Tensor | None, int]]:
        """Return the sums of rows and of columns."""
        return [(self._totals.get(axis), axis) for axis in (1, 0)]

    def outputs(self, score: Float[Tensor, "n m"]) -> list[Tensor]:
        """Return the function of the scores."""
        return [self._value(score)]

    def grads(
        self,
        outputs: list[Tensor],
        left_out: Tensor | None,
        rows: slice,
        columns: slice,
        results: Sequence[Tensor | None],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Return the gradient of the function: that of its row's sum and that of its column's."""
        total = torch.zeros_like(outputs[0])
        if grads[0] is not None:
            total += grads[0][rows, None]
        if grads[1] is not None:
            total += grads[1][columns]
        return [total if left_out is None else total.masked_fill_(left_out, 0.0)]


class Expectations:
    """Softmax-weighted mean of a function of the scores along each axis asked for."""

    num_results = 2

    def __init__(self, pairs: Pairs, over: Over, value: ScoreFunction, log_weight: ScoreFunction | None) -> None:
        self._value = value
        self._log_weight = log_weight
        self._means = {axis: RunningMean(axis, pairs) for axis in _axes(over)}

    def outputs(self, score: Float[Tensor, "n m"]) -> list[Tensor]:
        """Return the logarithms of the weights, and the values."""
        return [score if self._log_weight is None else self._log_weight(score), self._value(score)]

    def add(self, score: Float[Tensor, "n m"], left_out: Tensor | None, rows: slice, columns: slice) -> None:
        """Take in the scores of a tile."""
        log_weight, value = self.outputs(score)
        logit = _base_two(log_weight, left_out)
        if left_out is not None:
            value = value.masked_fill(left_out, 0.0)
        scratch = torch.empty_like(logit)
        for axis, each in self._means.items():
            first = (columns if axis == 1 else rows).start == 0
            each.add_value(logit, value, rows if axis == 1 else columns, scratch, first=first)

    def results(self) -> list[tuple[Tensor | None, int]]:
        """Return the means of rows and of columns; then what the sums of weights are made of."""
        rows, columns = (self._means[axis].mean() if axis in self._means else None for axis in (1, 0))
        return [(rows, 1), (columns, 0), *_states(self._means)]

    def grads(
        self,
        outputs: list[Tensor],
        left_out: Tensor | None,
        rows: slice,
        columns: slice,
        results: Sequence[Tensor | None],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Return the gradients of the logarithms of the weights, p (v - mean), and of the values, p."""
        log_weight, value = outputs
        logit = _base_two(log_weight, left_out)
        value = value if left_out is None else value.masked_fill(left_out, 0.0)
        weight_grad, value_grad, scratch = (torch.zeros_like(logit) for _ in range(3))
        for number, weights in _weights(results[2:], grads, rows, columns):
            mean, part = results[number], (rows, columns)[number]
            if mean is None:
                continue
            share = weights.exponentials(logit, WHOLE, scratch).mul_(weights.factor(WHOLE))
            value_grad += share
            weight_grad += share.mul_(value - mean[part].unsqueeze(weights.axis))
        return [weight_grad, value_grad]
