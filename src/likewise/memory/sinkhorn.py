"""Entropic optimal transport: the plan that moves one set of weights to another at low cost, in logarithms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["sinkhorn"]


@torch.no_grad()
def sinkhorn(
    cost: Float[Tensor, "N M"], *, epsilon: float, iterations: int = 1000, tolerance: float = 1e-4
) -> Float[Tensor, "N M"]:
    """Return the transport plan between N rows and M columns, each side of equal weights.

    ``plan = argmin sum_ij plan_ij cost_ij - epsilon H(plan)`` with row sums 1/N and column sums 1/M. Rows and columns
    are scaled in turn, as logarithms, so that no epsilon makes a number too large or all numbers zero. Columns come
    last: their sums are exact, those of rows up to the tolerance.

    Args:
        cost: Any finite numbers; only differences within rows and columns matter.
        epsilon: Weight of the entropy, > 0, in units of the cost; smaller: fewer pairs share a row.
        iterations: Most rounds of both scalings, >= 1.
        tolerance: Rounds end when the logarithms of the rows' factors, in units of the cost, change by less than this
            altogether; 0: all rounds.

    Returns:
        The plan, which sums to 1; a constant.

    Raises:
        ValueError: The cost is no finite, nonempty matrix, or epsilon is not > 0.

    Cost: O(N M) memory; O(N M) time a round.
    Source: Cuturi 2013, arXiv 1306.0895; Peyre, Cuturi 2019, arXiv 1803.00567, section 4.4.

    Example:
        >>> sinkhorn(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), epsilon=0.01)
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """
    if cost.ndim != 2 or not cost.numel() or not bool(cost.isfinite().all()):
        raise ValueError(f"sinkhorn: cost is {list(cost.shape)}; it is a matrix of finite numbers, not an empty one.")
    if not 0 < epsilon < math.inf:
        raise ValueError(
            f"sinkhorn: epsilon is {epsilon}; it is > 0, in units of the cost (usual: 0.05 of its largest)."
        )
    logits = -cost / epsilon
    rows, columns = -math.log(cost.shape[0]), -math.log(cost.shape[1])
    u, v = logits.new_zeros(cost.shape[0], 1), logits.new_zeros(1, cost.shape[1])
    for _ in range(iterations):
        before = u
        u = rows - (logits + v).logsumexp(1, keepdim=True)
        v = columns - (logits + u).logsumexp(0, keepdim=True)
        if epsilon * float((u - before).abs().sum()) < tolerance:
            break
    return (logits + u + v).exp()
