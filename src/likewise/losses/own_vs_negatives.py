"""Positives that are told from negatives each by itself, under a cosine that a gate of each row bends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise import distributed, pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise import Side

__all__ = ["GateNorm", "own_vs_negatives"]

GateNorm = Literal["cosine", "none"]
"""How gated vectors are compared: by their cosine, or by the product of vectors normalised before the gate."""

FLOOR = 1e-12
"""Least squared norm of a gated key, as a share of the largest it can have; a closed gate has logits of 0."""

NOTHING = -1e6
"""Stands for the logarithm of no negatives: such a row has a loss of exactly 0."""


def own_vs_negatives(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"],
    gate: Float[Tensor, "B D"],
    labels: Int[Tensor, "B"],
    partners: Int[Tensor, "B"],
    *,
    temperature: float | Float[Tensor, ""],
    gate_norm: GateNorm = "cosine",
    key_grad: bool = True,
) -> RowLosses:
    r"""Pull each query to the keys of its partner class, each of them against the negatives alone.

    ``l_ij = cos(g_i * q_i, g_i * k_j) / temperature``, one gate for each query, on both sides; j runs over the keys of
    all processes. Positives of row i are the keys of class ``partners[i]``, negatives those of neither this class nor
    the row's own. With ``n_i = logsumexp`` of its negatives::

        loss = sum_i sum_{j positive} log( 1 + exp(n_i - l_ij) ) / (number of positive pairs of all rows)

    Other positives are in no denominator, and keys of the own class are nothing, unless it is its own partner. The mean
    of the returned rows is that loss: rows are scaled so that a pair, and not a row, counts one.

    The cosine needs no vector for each pair: with ``G = g * g`` the product is ``<q_i G_i, k_j>`` and the squared norm
    of the gated key ``<G_i, k_j * k_j>``, two products a tile.

    Args:
        query: What is looked up; not normalised.
        key: What is looked among, a key for each row; not normalised.
        gate: What each row lets through, >= 0.
        labels: Class of each row.
        partners: Class that the positives of each row are of.
        temperature: Divisor of the cosines, > 0. A tensor receives a gradient.
        gate_norm: "cosine", or "none" for ``<q_i G_i, k_j> / temperature`` with q and k of unit norm before the gate.
        key_grad: Whether keys receive a gradient.

    Returns:
        Loss of each row; one without a positive is counted out. All are where no class has a partner in the batch, and
        where all rows of all processes are of one class, so that nothing is a negative.

    Raises:
        ValueError: Shapes do not agree, temperature <= 0, or labels are no integers.

    Cost: O((B + N) D) memory; two passes over the tiles, two products each.
    Source: Wu et al. 2024, arXiv 2410.18200; the softplus is an identity, ``log(e^l + e^n) - l = softplus(n - l)``.

    Example:
        >>> one = torch.eye(2)
        >>> own, open_gate = torch.arange(2), torch.ones(2, 2)
        >>> own_vs_negatives(one, one, open_gate, own, own, temperature=1.0).mean()  # log(1 + 1 / e)
        tensor(0.3133)
    """
    _check(query, key, gate, labels, partners, temperature)
    counts = distributed.row_counts(len(query))
    keys = distributed.gather_rows(key, with_grad=key_grad, counts=counts)
    key_labels = distributed.gather_rows(labels, with_grad=False, counts=counts)
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    query, keys, gate = query.to(wide), keys.to(wide), gate.to(wide)
    scale = 1 / temperature
    queries: tuple[Tensor, ...]
    others: tuple[Tensor, ...]
    if gate_norm == "cosine":
        # The cosine does not change with the size of a gate or a key; near 1 their squares keep their digits.
        gate = gate / gate.detach().abs().amax(1, keepdim=True).clamp_min(torch.finfo(wide).tiny)
        keys = keys / keys.detach().abs().amax(1, keepdim=True).clamp_min(torch.finfo(wide).tiny)
        squared = gate.square()
        left = F.normalize(query * gate, dim=1, eps=FLOOR) * gate
        queries, others, of_factors = (left, squared), (keys, keys.square()), _cosine
    else:
        queries = (F.normalize(query, dim=1) * gate.square(),)
        others, of_factors = (F.normalize(keys, dim=1),), _product

    def negative(row: Side, column: Side) -> Tensor:
        return (row[0] != column[0]) & (row[1] != column[0])

    total = pairwise.logsumexp(
        queries, others, scale=scale, score_mod=lambda score, row, column: of_factors(score), mask_mod=negative,
        rows=(labels, partners), columns=(key_labels,),
    )  # fmt: skip
    total = torch.where(total == -math.inf, NOTHING, total)
    values = pairwise.sum(
        queries, others, value=F.softplus, scale=scale,
        score_mod=lambda score, row, column: row[1] - of_factors(score),
        mask_mod=lambda row, column: row[0] == column[0], rows=(partners, total), columns=(key_labels,),
    )  # fmt: skip
    positives = (partners[:, None] == key_labels.unique()).to(wide) @ key_labels.unique(return_counts=True)[1].to(wide)
    counted = (positives > 0) & (len(key_labels.unique()) > 1)
    num_pairs = distributed.sum_over_processes(positives.sum())
    num_rows = distributed.sum_over_processes(counted.sum())
    return RowLosses(torch.where(counted, values * num_rows / num_pairs.clamp_min(1), 0.0), counted)


def _cosine(score: tuple[Tensor, ...] | Tensor) -> Tensor:
    product, squared_norm = score
    return product * squared_norm.clamp_min(FLOOR).rsqrt()


def _product(score: tuple[Tensor, ...] | Tensor) -> Tensor:
    return score if isinstance(score, Tensor) else score[0]


def _check(
    query: Tensor, key: Tensor, gate: Tensor, labels: Tensor, partners: Tensor, temperature: float | Tensor
) -> None:
    if query.ndim != 2 or not query.shape == key.shape == gate.shape:
        raise ValueError(
            f"own_vs_negatives: query is {list(query.shape)}, key {list(key.shape)} and gate {list(gate.shape)}; all "
            "are [B, D]. Give the gate the width of the projector."
        )
    for name, one in (("labels", labels), ("partners", partners)):
        if one.shape != query.shape[:1] or one.is_floating_point() or one.dtype == torch.bool:
            raise ValueError(
                f"own_vs_negatives: {name} is {list(one.shape)} of {one.dtype}; one integer for each of the "
                f"{len(query)} rows is accepted."
            )
    if float(temperature) <= 0:
        raise ValueError(f"own_vs_negatives: temperature is {float(temperature)}; it must be above 0.")
