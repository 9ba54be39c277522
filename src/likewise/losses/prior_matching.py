"""How far a classifier's mean prediction is from the shares that classes are taken to have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import distributed

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["prior_matching"]


def prior_matching(
    logits: Float[Tensor, "B C"], counts: Float[Tensor, "C"], *, temperature: float, power: float = 1.0
) -> Float[Tensor, ""]:
    """Return ``KL(r || uniform)`` of ``r = q / counts^power``, brought to a sum of 1, and ``q`` the mean prediction.

    ``q = mean_i softmax(logits_i / temperature)`` over the rows of all processes. It is 0 exactly where ``q`` is
    proportional to ``counts^power``, and at most ``log C``.

    Args:
        logits: Of the rows of this process.
        counts: How many rows each class is taken to have, > 0; a constant.
        temperature: Divisor of the logits, > 0.
        power: Above 1, frequent classes are asked for more than their share (BaCon: 1.1).

    Returns:
        A scalar in nats, the same on every process; gradients averaged over processes are those of one with all rows.

    Raises:
        ValueError: Shapes do not agree, a count is not > 0, or temperature <= 0.

    Source: Bai et al. 2023 (BaCon), arXiv 2310.01376, official code; the paper has ``KL(q || counts^power)``, which is
        0 at the same place and has another gradient.

    Example:
        >>> prior_matching(torch.tensor([[9.0, 0.0]]), torch.ones(2), temperature=0.1)  # log 2
        tensor(0.6931)
    """
    if logits.ndim != 2 or counts.shape != logits.shape[1:]:
        raise ValueError(
            f"prior_matching: logits are {list(logits.shape)} and counts {list(counts.shape)}; [B, C] and [C] are "
            "needed. Give a count for each class."
        )
    if not temperature > 0 or not bool((counts > 0).all()):
        raise ValueError(
            f"prior_matching: temperature is {temperature} and the smallest count {float(counts.min())}; above 0."
        )
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    total = distributed.sum_over_processes((logits / temperature).softmax(dim=1).sum(dim=0), with_grad=True)
    log_share = total.clamp_min(torch.finfo(total.dtype).tiny).log() - power * counts.to(total.dtype).log()
    log_share = log_share.log_softmax(dim=0)
    return (log_share.exp() * log_share).sum() + math.log(len(counts))
