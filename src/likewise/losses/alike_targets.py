"""Pairs told apart in both directions, where what is alike within a side says which pair is the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.losses.info_nce import info_nce
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["alike_targets"]


def alike_targets(
    first: Float[Tensor, "B D"],
    second: Float[Tensor, "B D"],
    *,
    temperature: float | Float[Tensor, ""] = 1.0,
    official_targets: bool = False,
) -> RowLosses:
    r"""Return ``1/2 (CE of row i of S / t at T_i + CE of column i of S / t at U_i)`` with ``S = first second^T``.

    By default ``T_i = U_i = i``: the symmetric softmax over pairs, for vectors of any length. The official code takes
    its targets from ``G = softmax of the rows of t / 2 (first first^T + second second^T)``: ``T_i`` is the highest
    column of row i, ``U_i`` the highest row of column i. For unit vectors that is i again; otherwise a long vector can
    become the target of others.

    Args:
        first: One side of the pairs, rows of this process.
        second: The other side.
        temperature: Divisor of the products (and, as in the official code, a factor on those of the targets), > 0.
        official_targets: Whether targets are those of the official code. They are constants.

    Returns:
        The loss of each row in nats; every row counts.

    Cost: O(B D) memory; the products of :func:`likewise.losses.info_nce`, and three more with ``official_targets``.
    Source: Hallee et al., arXiv 2401.15713 (``mnr_plus``); after OpenAI's CLIP code with its soft targets made hard.

    Example:
        >>> eye = torch.eye(2)
        >>> alike_targets(2 * eye, 2 * eye).values
        tensor([0.0181, 0.0181])
    """
    if not official_targets:
        return info_nce(first, second, temperature=temperature, symmetric=True)
    counts = distributed.row_counts(len(first))
    start = sum(counts[: distributed.rank()])
    firsts, seconds = (distributed.gather_rows(side, counts=counts) for side in (first, second))
    with torch.no_grad():
        half = 0.5 * float(temperature)
        own = torch.cat([first, second], dim=1)  # products of these are the sum of the products of both sides
        every = torch.cat([firsts, seconds], dim=1)
        rows_of = pairwise.topk(own, every, 1, scale=half)[1][:, 0]
        totals = pairwise.logsumexp(every, every, scale=half)
        columns_of = pairwise.topk(
            own, every, 1, scale=half, columns=(totals,), score_mod=lambda score, row, column: score - column[0]
        )[1][:, 0]
    scale = 1.0 / temperature
    forward = pairwise.softmax_terms(first, seconds, scale=scale, picked=rows_of, first_row=start)
    back = pairwise.softmax_terms(second, firsts, scale=scale, picked=columns_of, first_row=start)
    losses = [cast("Tensor", one.over_keys) - cast("Tensor", one.picked) for one in (forward, back)]
    values = 0.5 * (losses[0] + losses[1])
    return RowLosses.of(values)
