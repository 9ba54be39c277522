"""What the engine refuses: operands and scores that are not finite, and derivatives of its derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise.errors import NotFiniteError

if TYPE_CHECKING:
    from likewise.pairwise.pairs import Pairs

__all__ = ["check_largest_score", "check_score_mod", "check_values", "forbid_second_derivative"]


def check_largest_score(pairs: Pairs, largest: float) -> None:
    """Raise ``NotFiniteError`` (a ``ValueError``) that names the row if a bound of the scores is not finite.

    Args:
        pairs: The call.
        largest: Bound of the magnitude of every score; computed from all operands, so it shows all that is wrong.
    """
    if math.isfinite(largest):
        return
    for side, factors in (("query", pairs.queries), ("key", pairs.keys)):
        for x in factors:
            _raise_for_row(pairs.name, side, torch.isfinite(x).all(1), "an element that is not finite")
    scale = torch.as_tensor(pairs.scale).reshape(-1)
    _raise_for_row(pairs.name, "scale", torch.isfinite(scale), "a value that is not finite")
    raise NotFiniteError(
        f"{pairs.name}: the scores can be as large as the product of the longest rows, which overflows {pairs.dtype}; "
        "rows of unit norm are usual. Normalise query and key."
    )


def _raise_for_row(name: str, side: str, fine: Tensor, problem: str) -> None:
    bad = fine.logical_not().nonzero()
    if len(bad):
        raise NotFiniteError(
            f"{name}: {side} has {problem} in row {int(bad[0])} ({len(bad)} of {len(fine)} rows have one); "
            "all values must be finite. Look for a division by zero or a diverged model before this call."
        )


def check_score_mod(pairs: Pairs, score: Tensor, rows: slice) -> None:
    """Raise ``NotFiniteError`` (a ``ValueError``) that names the row if a ``score_mod`` gives NaN.

    Args:
        pairs: The call; where it has no ``score_mod`` nothing is looked at.
        score: What it made of a tile.
        rows: Which rows of query these are.
    """
    if pairs.score_mod is not None and bool(score.isnan().any()):
        row = int(score.isnan().any(1).nonzero()[0]) + rows.start
        raise NotFiniteError(
            f"{pairs.name}: the score_mod gives NaN in row {row} of query; scores are numbers, or -inf to leave a pair "
            "out. Look for a logarithm or division of zero in it."
        )


def check_values(pairs: Pairs, values: Tensor, axis: int) -> None:
    """Raise ``NotFiniteError`` (a ``ValueError``) that names the row if a reduced value is NaN or plus infinity.

    Minus infinity is what a row without a pair has.

    Args:
        pairs: The call.
        values: One value a row of query (axis 1) or of key (axis 0).
        axis: Axis of the pairs that was reduced.
    """
    fine = values < math.inf
    if not bool(fine.all()):
        row = int(fine.logical_not().nonzero()[0])
        raise NotFiniteError(
            f"{pairs.name}: the score_mod gives a score that is not finite for row {row} of "
            f"{'query' if axis == 1 else 'key'}; scores are finite, or -inf to leave a pair out. "
            "Look for a logarithm or division of zero in it."
        )


class _NoSecondDerivative(torch.autograd.Function):
    """Identity whose backward pass refuses."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, name: str, *inputs: Tensor) -> Tensor:
        ctx.name = name
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError(
            f"{ctx.name}: the gradient of a gradient (create_graph=True, gradient penalties) is asked for, which the "
            "streaming engine does not have; first derivatives only are accepted. Use likewise.pairwise.reference, "
            "which stores all pairs, for small problems."
        )


def forbid_second_derivative(
    name: str, grads: Sequence[Tensor | None], inputs: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Tie gradients to the inputs so that differentiating them raises, instead of giving zero.

    Args:
        name: Public function, for the message.
        grads: What a backward pass is about to return.
        inputs: What it was computed from.
    """
    if not torch.is_grad_enabled():
        return tuple(grads)
    return tuple(None if x is None else _NoSecondDerivative.apply(x, name, *inputs) for x in grads)
