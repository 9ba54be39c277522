"""A contrastive loss in which rows are positives as far as their class shares agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["soft_positives"]


def soft_positives(
    first: Float[Tensor, "B D"],
    second: Float[Tensor, "B D"],
    shares: Float[Tensor, "B C"],
    *,
    temperature: float,
) -> RowLosses:
    """Cross-entropy of each view against all others, with targets by how likely two rows are of one class.

    Over the ``2 N`` views of all processes, ``w_ab = P_a . P_b`` of the shares of their rows, 1 for the other view of
    the same row, and ``l_ab = z_a . z_b / temperature``::

        rows[a] = log sum_{b != a} exp(l_ab) - sum_{b != a} w_ab l_ab / sum_{b != a} w_ab

    The weights have the rank of the number of classes, so that neither they nor the products with them are made for
    pairs: ``sum_b w_ab z_b = P_a (sum_b P_b^T z_b)``.

    Args:
        first: One view of each row; unit norm.
        second: The other view.
        shares: Share of each class in a row, >= 0, usually a softmax; constants.
        temperature: Divisor of the products, > 0 (BaCon: 0.07).

    Returns:
        The loss of each view, those of ``first`` before those of ``second``; all of them count.

    Raises:
        ValueError: Shapes do not agree, or temperature <= 0.

    Cost: O((B + N) D) memory for the log-sum-exp, O(B C D) time for the targets.
    Source: Bai et al. 2023 (BaCon), arXiv 2310.01376.

    Example:
        >>> one = torch.eye(2)
        >>> soft_positives(one, one, torch.eye(2), temperature=1.0).values[0]  # log(e + 2) - 1
        tensor(0.5514)
    """
    if first.ndim != 2 or first.shape != second.shape or shares.ndim != 2 or len(shares) != len(first):
        raise ValueError(
            f"soft_positives: views are {list(first.shape)} and {list(second.shape)}, shares {list(shares.shape)}; "
            "[B, D] twice and [B, C] are needed."
        )
    if not temperature > 0:
        raise ValueError(f"soft_positives: temperature is {temperature}; it must be above 0.")
    wide = torch.float64 if first.dtype == torch.float64 else torch.float32
    first, second, shares = first.to(wide), second.to(wide), shares.detach().to(wide)
    views = torch.cat([first, second])
    both = shares.repeat(2, 1)
    counts = distributed.row_counts(len(views))
    keys = distributed.gather_rows(views, counts=counts)
    log_sums = pairwise.logsumexp(
        views, keys, scale=1 / temperature, mask_mod=lambda row, column: row.index != column.index,
        first_row=sum(counts[: distributed.rank()]), precision="fp32",
    )  # fmt: skip
    of_classes = distributed.sum_over_processes(both.T @ views, with_grad=True)  # [C, D]
    total = distributed.sum_over_processes(both.sum(dim=0))  # [C]
    own = both.square().sum(dim=1)
    partner = (first * second).sum(dim=1).repeat(2)
    pulled = ((both @ of_classes) * views).sum(dim=1) - own * views.square().sum(dim=1) + (1 - own) * partner
    weight = both @ total - 2 * own + 1
    values = log_sums - pulled / weight / temperature
    return RowLosses.of(values)
