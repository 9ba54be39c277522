"""Telling a row's own key from the hardest of its negatives only: as a softmax, and without one.

A softmax looks at hard negatives because of its temperature: the lower, the more the push goes to the nearest. Leaving
out all but the hardest does the same whatever the temperature, and even without a softmax. The three functions share
one idea of what is kept: all negatives whose similarity is no lower than a threshold of the row, which is that of its
K-th hardest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import pairwise
from likewise.losses.checks import check_own_key, check_temperature
from likewise.losses.own_key import own_key_losses, products
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise import PairOptions, Precision, Side, Tile

__all__ = ["hard_contrast", "hardest_threshold", "simple_contrast"]

_TIES = {torch.float32: 1e-6, torch.float64: 1e-14}
"""Similarities that are nearer than that are equal: what is left between two computations of one of them."""


def hardest_threshold(
    query: Float[Tensor, "B D"],
    negatives: Float[Tensor, "M D"],
    number: int,
    *,
    own: Int[Tensor, "B"] | None = None,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> Float[Tensor, "B"]:
    """Find the similarity from which on the ``number`` hardest negatives of each row lie.

    Args:
        query: Rows of this process; unit norm.
        negatives: What they are told from; unit norm.
        number: How many negatives a row keeps, ``K`` in ``[1, M]``, or ``[1, M - 1]`` with ``own``.
        own: The row of ``negatives`` that belongs to each query and is none of its negatives; None: all are.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The similarity of the K-th hardest, less what rounding makes of equal ones. Negatives that are equal to it are
        kept all, so that a row may keep more than K. Constant.

    Raises:
        ValueError: ``number`` is out of its range, or ``own`` names no row of ``negatives``.

    Cost: :func:`likewise.pairwise.kth`: O((B + M) D) memory for any K.
    Source: Wang, Liu 2021, arXiv 2012.09740, section 4.3 (s_alpha).

    Example:
        >>> query, negatives = torch.eye(4)[:1], torch.tensor([[0.6, 0, 0, 0.8], [-1, 0, 0, 0], [0.8, 0.6, 0, 0]])
        >>> round(hardest_threshold(query, negatives, 2).item(), 4)
        0.6
    """
    most = len(negatives) - (own is not None)
    if not 1 <= number <= most:
        raise ValueError(
            f"hardest_threshold: {number} negatives are to be kept of {most}; from 1 to all of them is accepted."
        )
    options = _options("hardest_threshold", own, query, negatives, precision, tile)
    found = pairwise.kth(query, negatives, number, **options)
    return found - _TIES[found.dtype]


def hard_contrast(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"],
    negatives: Float[Tensor, "M D"],
    *,
    temperature: float,
    own: Int[Tensor, "B"] | None = None,
    threshold: Float[Tensor, "B"] | None = None,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> RowLosses:
    r"""Cross-entropy of each query's own key against the negatives that are kept.

    ``rows[i] = -log( exp(s_ii / t) / (exp(s_ii / t) + sum_{j: s_ij >= threshold_i} exp(s_ij / t)) )`` with ``s_ii`` the
    similarity to the own key, which always counts, and ``s_ij`` those to the negatives.

    Args:
        query: Rows of this process; unit norm.
        key: The own key of each row; unit norm.
        negatives: What rows are told from, the same on every process; unit norm.
        temperature: Divisor of the similarities, > 0, no unit.
        own: The row of ``negatives`` that belongs to each query and is none of its negatives; None: all are.
        threshold: Of :func:`hardest_threshold`; None keeps all negatives, which is the ordinary loss.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row in nats; a row that keeps no negative is counted out.

    Raises:
        ValueError: Shapes do not go together, ``own`` names no row of ``negatives``, or temperature <= 0.

    Cost: O((B + M) D) memory; the products of :func:`likewise.pairwise.logsumexp`.
    Source: Wang, Liu 2021, arXiv 2012.09740, eq. 1 and the hard contrastive loss of section 4.3.

    Example:
        >>> query, negatives = torch.eye(3)[:1], torch.eye(3)
        >>> rows = hard_contrast(query, query, negatives, temperature=1.0, own=torch.tensor([0]))
        >>> rows.values  # log(e + 2) - 1
        tensor([0.5514])
    """
    check_own_key("hard_contrast", query, key)
    check_temperature("hard_contrast", temperature, usual="0.05 to 1")
    scale = 1.0 / temperature
    options = _options("hard_contrast", own, query, negatives, precision, tile)
    options["scale"] = scale
    if threshold is not None:
        options["rows"] = (*options["rows"], scale * threshold.detach())
        options["score_mod"] = _kept
    return own_key_losses(query, key, pairwise.logsumexp(query, negatives, **options), scale=scale)


def simple_contrast(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"],
    negatives: Float[Tensor, "M D"],
    *,
    weight: float | None = None,
    own: Int[Tensor, "B"] | None = None,
    threshold: Float[Tensor, "B"] | None = None,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> RowLosses:
    r"""The contrast without a softmax: ``rows[i] = -s_ii + weight * sum_{j: s_ij >= threshold_i} s_ij``.

    It is what the softmax becomes at an infinite temperature: all negatives that are kept push alike.

    Args:
        query: As in :func:`hard_contrast`.
        key: As in :func:`hard_contrast`.
        negatives: As in :func:`hard_contrast`.
        weight: Of the sum, >= 0; None: 1 / (negatives that the row keeps), so that their mean stands there.
        own: As in :func:`hard_contrast`.
        threshold: Of :func:`hardest_threshold`; None keeps all negatives.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row, with a mean in [-2, 2]; a row that keeps no negative is counted out.

    Raises:
        ValueError: As :func:`hard_contrast`; or weight < 0.

    Cost: O((B + M) D): where all are kept, only their sum is needed. With a threshold two sums over pairs
        (:func:`likewise.pairwise.sum`), one of them without gradient.
    Source: Wang, Liu 2021, arXiv 2012.09740, eq. 8 and its hard form; the paper gives no weight, and its limit of an
        infinite temperature that of the mean.

    Example:
        >>> query, negatives = torch.eye(2)[:1], torch.tensor([[0.6, 0.8], [0.0, 1.0]])
        >>> simple_contrast(query, query, negatives).values  # -1 + (0.6 + 0) / 2
        tensor([-0.7000])
    """
    check_own_key("simple_contrast", query, key)
    if weight is not None and not 0 <= weight < math.inf:
        raise ValueError(f"simple_contrast: weight is {weight}; 0 or more is accepted, or None for the mean.")
    options = _options("simple_contrast", own, query, negatives, precision, tile)
    if threshold is None:
        dtype = torch.promote_types(torch.promote_types(query.dtype, negatives.dtype), torch.float32)
        with pairwise.without_autocast(query.device):
            total = query.to(dtype) @ negatives.sum(dim=0, dtype=torch.float64).to(dtype)
            if own is not None:
                total = total - products(query, negatives[own], dtype)
        number = torch.full_like(total, len(negatives) - (own is not None)).detach()
    else:
        # The sum of what lies above a threshold is a sum of hinges, and the threshold as often as there are such.
        threshold = threshold.detach()
        options["rows"] = (*options["rows"], threshold)
        options["score_mod"] = _over
        above = pairwise.sum(query, negatives, value=torch.relu, **options)
        with torch.no_grad():
            number = pairwise.sum(query, negatives, value=_is_kept, **options)
        total = above + number * threshold.to(above.dtype)
    with pairwise.without_autocast(query.device):
        pushed = total * weight if weight is not None else total / number.clamp_min(1)
        positive = products(query, key, total.dtype)
        counted = number > 0
    return RowLosses(torch.where(counted, pushed - positive, 0.0 * positive), counted)


def _kept(score: Tensor, row: Side, column: Side) -> Tensor:
    return torch.where(score >= row[-1], score, -math.inf)


def _over(score: Tensor, row: Side, column: Side) -> Tensor:
    return score - row[-1]


def _is_kept(score: Tensor) -> Tensor:
    return (score > 0).to(score.dtype)


def _not_own(row: Side, column: Side) -> Tensor:
    return row[0] != column.index


def _options(
    name: str, own: Tensor | None, query: Tensor, negatives: Tensor, precision: Precision, tile: Tile | None
) -> PairOptions:
    """Return the options of the engine, under which each query's own row is left out."""
    if own is None:
        return {"rows": (), "precision": precision, "tile": tile}
    if own.shape != query.shape[:1] or own.dtype != torch.int64:
        raise ValueError(
            f"{name}: own is {own.dtype} {list(own.shape)} for {len(query)} rows; it is int64 [B], a row of negatives "
            "for each query."
        )
    if len(own) and not 0 <= int(own.min()) <= int(own.max()) < len(negatives):
        raise ValueError(
            f"{name}: own names rows from {int(own.min())} to {int(own.max())}; negatives have {len(negatives)}, from "
            "0 on. Give numbers of rows in the table that they belong to."
        )
    return {"mask_mod": _not_own, "rows": (own,), "precision": precision, "tile": tile}
