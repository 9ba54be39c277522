"""An extension of DSE: the student's cosines over a row's own list of candidates follow the teacher's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.pairwise import Side

__all__ = ["listwise_distillation"]

STUDENT_TEMPERATURE = 0.05
"""Divisor of the student's cosines."""


def listwise_distillation(
    query: Float[Tensor, "B D"],
    candidates: Float[Tensor, "B P D"],
    teacher_scores: Float[Tensor, "B P"],
    *,
    teacher_temperature: float = 1.0,
    temperature: float = STUDENT_TEMPERATURE,
) -> RowLosses:
    """Cross-entropy between the teacher's softmax over each row's own candidates and the student's.

    ``rows[i] = logsumexp_p(s_ip) - sum_p w_ip s_ip`` with ``s_ip = <query_i, candidate_ip> / temperature`` and ``w_i =
    softmax(teacher_scores_i / teacher_temperature)``. Candidates of other rows do not count, so nothing is gathered.

    Args:
        query: Unit norm.
        candidates: ``P`` for each row; unit norm.
        teacher_scores: Of (query, candidate); constants.
        teacher_temperature: Divisor of the teacher's scores, > 0.
        temperature: Divisor of the cosines, > 0.

    Returns:
        The loss of each row in nats; all count.

    Raises:
        ValueError: The shapes do not fit, or a temperature is not > 0.

    Source: not of the DSE paper; the loss of Cao et al. 2007 (ListNet), through the kernel of this library.

    Example:
        >>> row = torch.eye(2)[:1]
        >>> listwise_distillation(row, torch.eye(2)[None], torch.zeros(1, 2), temperature=1.0).values  # log(e + 1) - .5
        tensor([0.8133])
    """
    if candidates.shape[:2] != teacher_scores.shape or candidates.shape[::2] != query.shape:
        raise ValueError(
            f"listwise_distillation: query is {list(query.shape)}, candidates {list(candidates.shape)} and "
            f"teacher_scores {list(teacher_scores.shape)}; they are [B, D], [B, P, D] and [B, P]."
        )
    if min(teacher_temperature, temperature) <= 0:
        raise ValueError(
            f"listwise_distillation: the temperatures are {teacher_temperature} and {temperature}; both are > 0."
        )
    weights = torch.softmax(teacher_scores.detach().to(query.dtype) / teacher_temperature, dim=1)
    owner = torch.arange(len(query), device=query.device)
    total = pairwise.logsumexp(
        query,
        candidates.flatten(0, 1),
        scale=1 / temperature,
        mask_mod=_own,
        rows=(owner,),
        columns=(owner.repeat_interleave(candidates.shape[1]),),
    )
    wanted = (query * (weights[..., None] * candidates).sum(dim=1)).sum(dim=1) / temperature
    values = total - wanted
    return RowLosses.of(values)


def _own(row: Side, column: Side) -> Tensor:
    """Count a pair where the candidate is one of the row's own."""
    return row[0] == column[0]
