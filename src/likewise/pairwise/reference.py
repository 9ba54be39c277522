"""The dense float64 twin of each reduction, written for reading: every pair is stored, autograd does the rest.

Arguments are those of the engine, and what stands here is what the engine promises. It is meant for tests, for second
derivatives of small problems, and for people.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Unpack

import torch
from torch import Tensor

from likewise.pairwise.sides import Side

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from likewise.pairwise.pairs import PairOptions
    from likewise.pairwise.sides import Vectors

__all__ = ["AllPairs", "all_pairs", "expectation", "histogram", "kth", "logsumexp", "softmax_bce", "sum", "topk"]


class AllPairs(NamedTuple):
    """Every pair of a problem.

    Args:
        score: Score of each pair ``[N, M]``, float64.
        counts: Whether it counts, bool ``[N, M]``.
    """

    score: Float[Tensor, "N M"]
    counts: Bool[Tensor, "N M"]


def all_pairs(query: Vectors, key: Vectors, **options: Unpack[PairOptions]) -> AllPairs:
    """Compute ``score_mod(scale_i * <query_i, key_j>, row_i, column_j)`` and the mask of all pairs."""
    queries = (query,) if isinstance(query, Tensor) else query
    keys = (key,) if isinstance(key, Tensor) else key
    products = [a.double() @ b.double().T for a, b in zip(queries, keys, strict=True)]

    scale = torch.as_tensor(options.get("scale", 1.0), dtype=torch.float64)
    products[0] = products[0] * (scale[:, None] if scale.ndim else scale)

    row_index = torch.arange(len(queries[0]))[:, None] + options.get("first_row", 0)
    column_index = torch.arange(len(keys[0]))[None, :] + options.get("first_column", 0)
    row = Side(row_index, tuple(x[:, None] for x in options.get("rows", ())))
    column = Side(column_index, tuple(x[None, :] for x in options.get("columns", ())))

    score_mod, mask_mod = options.get("score_mod"), options.get("mask_mod")
    score = products[0]
    if score_mod is not None:
        score = score_mod(products[0] if len(products) == 1 else tuple(products), row, column)
    counts = torch.ones_like(score, dtype=torch.bool)
    if mask_mod is not None:
        counts = counts & mask_mod(row, column)
    return AllPairs(score, counts)


def logsumexp(
    query: Vectors, key: Vectors, *, over: str = "keys", **options: Unpack[PairOptions]
) -> Tensor | tuple[Tensor, Tensor]:
    """``log sum_j exp(score_ij)`` over the pairs that count; -inf without a gradient where none does."""
    score, counts = all_pairs(query, key, **options)

    def reduce(axis: int) -> Tensor:
        empty = ~counts.any(axis, keepdim=True)
        total = torch.logsumexp(torch.where(counts, score, -torch.inf).masked_fill(empty, 0.0), axis)
        return total.masked_fill(empty.squeeze(axis), -torch.inf)

    return _along(reduce, over)


def sum(
    query: Vectors,
    key: Vectors,
    *,
    value: Callable[[Tensor], Tensor],
    over: str = "keys",
    **options: Unpack[PairOptions],
) -> Tensor | tuple[Tensor, Tensor]:
    """``sum_j value(score_ij)`` over the pairs that count."""
    score, counts = all_pairs(query, key, **options)
    return _along(lambda axis: torch.where(counts, value(score), 0.0).sum(axis), over)


def expectation(
    query: Vectors,
    key: Vectors,
    *,
    value: Callable[[Tensor], Tensor],
    log_weight: Callable[[Tensor], Tensor] | None = None,
    over: str = "keys",
    **options: Unpack[PairOptions],
) -> Tensor | tuple[Tensor, Tensor]:
    """``sum_j w_ij value(score_ij)``, ``w_i = softmax_j(log_weight(score_ij))`` over the pairs that count; else 0."""
    score, counts = all_pairs(query, key, **options)
    logit = score if log_weight is None else log_weight(score)

    def reduce(axis: int) -> Tensor:
        empty = ~counts.any(axis, keepdim=True)
        weight = torch.softmax(torch.where(counts, logit, -torch.inf).masked_fill(empty, 0.0), axis)
        return torch.where(counts, weight * value(score), 0.0).sum(axis)

    return _along(reduce, over)


def softmax_bce(query: Vectors, key: Vectors, *, picked: Int[Tensor, "N"], **options: Unpack[PairOptions]) -> Tensor:
    """``-log p_i,picked[i] - sum_j log(1 - p_ij)`` over all other columns; the picked pair counts always."""
    score, counts = all_pairs(query, key, **options)
    others = torch.ones_like(counts).scatter(1, picked[:, None], False)
    log_p = torch.log_softmax(torch.where(counts | ~others, score, -torch.inf), 1)
    terms = torch.where(others, torch.log1p(-torch.where(others, log_p, -torch.inf).exp()), 0.0)
    return -log_p.gather(1, picked[:, None])[:, 0] - terms.sum(1)


def topk(query: Vectors, key: Vectors, k: int, **options: Unpack[PairOptions]) -> tuple[Tensor, Int[Tensor, "N k"]]:
    """The k highest scores of each row and their columns; of equal ones the lower column; -inf and -1 where none is."""
    score, counts = all_pairs(query, key, **options)
    num_rows = len(score)
    values, indices = torch.full((num_rows, k), -torch.inf, dtype=torch.float64), torch.full((num_rows, k), -1)
    for i in range(num_rows):
        candidates = [j for j in range(score.shape[1]) if counts[i, j] and score[i, j] > -torch.inf]
        ranked = sorted((-float(score[i, j]), j) for j in candidates)
        for place, (_, j) in enumerate(ranked[:k]):
            values[i, place], indices[i, place] = score[i, j], j
    return values, indices


def kth(query: Vectors, key: Vectors, k: int, **options: Unpack[PairOptions]) -> Float[Tensor, "N"]:
    """The k-th of all scores that count of each row, from the highest down; -inf where there are fewer."""
    return topk(query, key, k, **options)[0][:, k - 1]


def histogram(
    query: Vectors, key: Vectors, edges: Float[Tensor, "K+1"], **options: Unpack[PairOptions]
) -> Int[Tensor, "K"]:
    """How many pairs that count have ``edges[k] <= score < edges[k + 1]``; the last bin has its upper edge too."""
    score, counts = all_pairs(query, key, **options)
    found, edges = score[counts], edges.double()
    bins = [(found >= low) & (found < high) for low, high in itertools.pairwise(edges)]
    bins[-1] = bins[-1] | (found == edges[-1])
    return torch.stack([inside.sum() for inside in bins])


def _along(reduce: Callable[[int], Tensor], over: str) -> Tensor | tuple[Tensor, Tensor]:
    if over == "both":
        return reduce(1), reduce(0)
    return reduce(1 if over == "keys" else 0)
