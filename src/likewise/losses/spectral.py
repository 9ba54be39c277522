"""The spectral contrastive loss: pairs by their squared products, which two small matrices hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import distributed
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["spectral"]


def spectral(first: Float[Tensor, "B D"], second: Float[Tensor, "B D"]) -> RowLosses:
    """Pull the two views of a row together by their product, and other rows to products of zero.

    ``rows[i] = -2 <z_i, z'_i> + (1 / (N - 1)) sum_{j != i} <z_i, z'_j>^2`` over the rows j of all processes; the mean
    over rows is the sample form of ``-2 E[z.z+] + E[(z.z-)^2]``. The products of all pairs are never made: with
    ``G = sum_j z'_j z'_j^T`` the sum over all j is ``z_i^T G z_i``, and the own pair is taken off it.

    Args:
        first: One view of each row; not normalised, since the length of a vector has a meaning here.
        second: The other view.

    Returns:
        The loss of each row of this process; all of them count.

    Raises:
        ValueError: The shapes differ, or there is one row in all.

    Cost: O(B D^2) time, O(B D + D^2) memory; ``D^2`` numbers are exchanged.
    Source: HaoChen et al. 2021, arXiv 2106.04156, eq. 6.

    Example:
        >>> spectral(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]])).values  # -2 + 1, -2 + 0
        tensor([-1., -2.])
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"spectral: the views are {list(first.shape)} and {list(second.shape)}; two of one shape [B, D] are needed."
        )
    count = sum(distributed.row_counts(len(first)))
    if count < 2:
        raise ValueError("spectral: there is one row, and it is told from other rows; use larger batches.")
    first, second = (x.float() if x.dtype in (torch.float16, torch.bfloat16) else x for x in (first, second))
    gram = distributed.sum_over_processes(second.T @ second, with_grad=True)
    own = torch.linalg.vecdot(first, second)
    others = torch.linalg.vecdot(first @ gram, first) - own.square()
    return RowLosses.of(others / (count - 1) - 2 * own)
