"""Cross-entropy of rows with their own columns, for so few pairs that all of them are held at once.

Tiles do not pay where a problem is small: most of its time is spent between kernels. Here there are as few as can be:
the softmax is made once, in the forward pass, and the backward pass turns it in place into the gradient of the scores.
That is three products of the size N x N x D, and one copy of the pairs a direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise.pairwise.checks import forbid_second_derivative
from likewise.pairwise.operands import without_autocast

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["whole_cross_entropy"]


def whole_cross_entropy(
    query: Float[Tensor, "N D"], key: Float[Tensor, "N D"], *, scale: float | Tensor, symmetric: bool = False
) -> Float[Tensor, "N"]:
    """Return ``logsumexp_j(s_ij) - s_ii`` of every row, ``s_ij = scale_i * <query_i, key_j>``, holding all pairs.

    Args:
        query: float32 or float64.
        key: Of the same dtype; row ``i`` is what row ``i`` of query is to be told.
        scale: A number, a scalar tensor, or one per row ``[N]``.
        symmetric: Average with ``logsumexp_j(s_ji) - s_ii``.

    Returns:
        ``[N]``; not finite where an operand is not, which the caller has to look at.

    Raises:
        RuntimeError: A second derivative is asked for.

    Cost: three products of N x N x D and one copy of the pairs, two if ``symmetric``.

    Example:
        >>> whole_cross_entropy(torch.eye(2), torch.eye(2), scale=1.0)  # log(e + 1) - 1
        tensor([0.3133, 0.3133])
    """
    values: Tensor = _WholeCrossEntropy.apply(query, key, scale, symmetric)
    return values


class _WholeCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, scale: Tensor | float, symmetric: bool) -> Tensor:
        with without_autocast(query.device):
            scores = torch.mm(query, key.T).mul_(_per_row(scale))
        over_keys = scores.log_softmax(1)
        over_queries = scores.log_softmax(0) if symmetric else None
        values = over_keys.diagonal().neg()
        if over_queries is not None:
            values.sub_(over_queries.diagonal()).mul_(0.5)
        ctx.save_for_backward(query, key, over_keys, over_queries, scale if isinstance(scale, Tensor) else None)
        ctx.scale = scale
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        with torch.no_grad(), without_autocast(grads[0].device):
            result = _backward(ctx, grads[0])
        query, key, *_, scale = ctx.saved_tensors
        inputs = [x for x in (query, key, scale) if x is not None]
        return (*forbid_second_derivative("logsumexp", result, inputs), None)


def _backward(ctx: Any, grad: Float[Tensor, "N"]) -> list[Tensor | None]:
    query, key, over_keys, over_queries, scale = ctx.saved_tensors
    needs_query, needs_key, needs_scale, _ = ctx.needs_input_grad
    scale = ctx.scale if scale is None else scale
    if not needs_scale:  # then gradients of scores may as well contain the scale
        grad = grad * scale
    weight = over_keys.exp()
    if over_queries is None:
        weight.mul_(grad[:, None])
    else:
        half = 0.5 * grad
        weight.mul_(half[:, None]).addcmul_(over_queries.exp(), half)
    weight.diagonal().sub_(grad)
    query_grad = torch.mm(weight, key) if needs_query or needs_scale else None
    scale_grad = None
    if needs_scale and query_grad is not None:
        scale_grad = torch.linalg.vecdot(query, query_grad)
        scale_grad = scale_grad if scale.ndim else scale_grad.sum()
        query_grad.mul_(_per_row(scale))
        weight.mul_(_per_row(scale))
    return [query_grad if needs_query else None, torch.mm(weight.T, query) if needs_key else None, scale_grad]


def _per_row(scale: Tensor | float) -> Tensor | float:
    return scale[:, None] if isinstance(scale, Tensor) and scale.ndim else scale
