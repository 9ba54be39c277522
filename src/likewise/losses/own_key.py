"""What losses share that tell each row's own key from negatives which are no keys of other rows: queues and banks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["own_key_losses", "products"]


def own_key_losses(
    query: Float[Tensor, "B D"], key: Float[Tensor, "B D"], log_negatives: Float[Tensor, "B"], *, scale: float
) -> RowLosses:
    """Cross-entropy of each row's own key: ``log( exp(scale q_i.k_i) + exp(n_i) ) - scale q_i.k_i``.

    Args:
        query: Rows of this process.
        key: The own key of each row.
        log_negatives: Log-sum-exp of each row's logits with its negatives, ``n``; -inf where it has none.
        scale: Multiplier of the products, 1 / temperature.

    Returns:
        The loss of each row in nats; a row without negatives is counted out.
    """
    with pairwise.without_autocast(query.device):
        positive = scale * products(query, key, log_negatives.dtype)
        counted = log_negatives > -math.inf
        values = torch.logaddexp(positive, log_negatives) - positive
    return RowLosses(torch.where(counted, values, 0.0 * positive), counted)


def products(query: Float[Tensor, "B D"], key: Float[Tensor, "B D"], dtype: torch.dtype) -> Float[Tensor, "B"]:
    """Return the product of each row with its own key."""
    found: Tensor = torch.linalg.vecdot(query.to(dtype), key.to(dtype))
    return found
