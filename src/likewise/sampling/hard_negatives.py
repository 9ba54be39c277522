"""Hard negatives: for each query the wrong keys that its encoder finds most similar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from likewise import pairwise

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["mine"]


@torch.no_grad()
def mine(
    query: Float[Tensor, "N D"],
    key: Float[Tensor, "M D"],
    positives: Int[Tensor, "N"] | Int[Tensor, "N P"] | Sequence[Sequence[int]],
    *,
    num_negatives: int,
    skip_top: int = 0,
    share_of_positive: float | None = 0.95,
    margin: float | None = None,
    max_score: float | None = None,
    key_groups: Int[Tensor, "M"] | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
) -> Int[Tensor, "N K"]:
    """Find the most similar keys of each query that are not right answers, and not likely to be.

    A key that is almost as similar as the positive is often a right answer that nobody marked (a false negative).
    With the least score ``s`` of the query's positives, a key counts only if its score is at most::

        min( s - (1 - share_of_positive) |s|,  s - margin,  max_score )        (each only where it is given)

    For ``s`` > 0 the first of them is ``share_of_positive * s``. Of the keys that count, the ``skip_top`` most similar
    ones are passed over, and the next ``num_negatives`` are returned.

    Args:
        query: Embeddings, unit norm as a rule.
        key: Embeddings of what is looked among, likewise.
        positives: The keys that are right for each query, in [0, M), at least one; several of them as lists, or as a
            tensor filled up with -1.
        num_negatives: How many to find for a query, K >= 1.
        skip_top: How many to pass over, >= 0; a second guard, against texts that are close for other reasons.
        share_of_positive: Most that a negative may have of the positive's score, in (0, 1] (paper: 0.95).
        margin: Least difference to the positive's score, >= 0, in units of the score.
        max_score: Highest score of a negative.
        key_groups: A number for each key, the same for keys that are the same text. Copies of a positive are no
            negatives, and of several copies only the first is ever found.
        precision: How the products are made; see ``pairwise.topk``.

    Returns:
        Keys, the most similar one first, int64 ``[N, K]``; -1 where a query has fewer. On the device of ``query``.

    Raises:
        ValueError: Shapes differ, a number is out of its range, or a query has no positive.

    Cost: one product of N x M x D; O((N + M) D + N (K + skip_top)) memory beside a tile.
    Source: de Souza P. Moreira et al. 2024, NV-Retriever, arXiv 2407.15831, section 3 (their TopK-PercPos is
        ``share_of_positive``, TopK-MarginPos is ``margin``, TopK-Abs is ``max_score``). For several positives of a
        query the paper says nothing; the least similar one is taken here.

    Example:
        >>> key = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 1.0], [0.0, 1.0]]), dim=1)
        >>> mine(key[:1], key, torch.tensor([0]), num_negatives=2)  # key 1 is too close to be wrong
        tensor([[2, 3]])
    """
    _check(num_negatives, skip_top, share_of_positive, margin)
    if query.ndim != 2 or key.ndim != 2 or query.shape[1] != key.shape[1]:
        raise ValueError(f"query must be [N, D] and key [M, D], got {list(query.shape)} and {list(key.shape)}")
    right = _padded(positives, len(query), len(key)).to(query.device)  # [N, P], -1 fills up
    groups = torch.arange(len(key), device=key.device) if key_groups is None else key_groups.to(key.device)
    if len(groups) != len(key):
        raise ValueError(f"key_groups must hold a number for each of the {len(key)} keys, got {len(groups)}")
    limit = _limits(query, key, right, share_of_positive, margin, max_score)  # [N]
    right_groups = torch.where(right < 0, groups[right[:, :1]], groups[right])  # [N, P]; fill up with the first

    def count(row: pairwise.Side, column: pairwise.Side) -> Tensor:
        wrong: Tensor = column[1]
        for place in range(right_groups.shape[1]):
            wrong = wrong & (row[0][..., place] != column[0])
        return wrong

    def guard(score: Tensor, row: pairwise.Side, column: pairwise.Side) -> Tensor:
        return torch.where(score <= row[1], score, -math.inf)

    _, found = pairwise.topk(
        query,
        key,
        skip_top + num_negatives,
        score_mod=guard,
        mask_mod=count,
        rows=(right_groups, limit),
        columns=(groups, _first_of_group(groups)),
        precision=precision,
    )
    return found[:, skip_top:]


def _check(num_negatives: int, skip_top: int, share_of_positive: float | None, margin: float | None) -> None:
    if num_negatives < 1:
        raise ValueError(f"num_negatives must be >= 1, got {num_negatives}")
    if skip_top < 0:
        raise ValueError(f"skip_top must be >= 0, got {skip_top}")
    if share_of_positive is not None and not 0 < share_of_positive <= 1:
        raise ValueError(f"share_of_positive must lie in (0, 1], got {share_of_positive}")
    if margin is not None and margin < 0:
        raise ValueError(f"margin must be >= 0, got {margin}")


def _padded(positives: Tensor | Sequence[Sequence[int]], num_queries: int, num_keys: int) -> Int[Tensor, "N P"]:
    """Bring positives to a rectangle filled up with -1, the first column of which is filled throughout."""
    if isinstance(positives, Tensor):
        padded = positives[:, None] if positives.ndim == 1 else positives
    else:
        width = max((len(one) for one in positives), default=1) or 1
        padded = torch.tensor([[*one, *[-1] * (width - len(one))] for one in positives]).reshape(-1, width)
    if len(padded) != num_queries:
        raise ValueError(f"positives must be given for each of the {num_queries} queries, got {len(padded)}")
    if padded.numel() and (int(padded.max()) >= num_keys or int(padded.min()) < -1):
        raise ValueError(f"positives must lie in [0, {num_keys}), or be -1 where a query has fewer")
    padded = padded.sort(dim=1, descending=True).values
    without = (padded[:, :1] < 0).any(1) if padded.shape[1] else torch.ones(num_queries, dtype=torch.bool)
    if bool(without.any()):
        raise ValueError(f"query {int(without.nonzero()[0])} has no positive; every query needs at least one")
    return padded


def _limits(
    query: Tensor,
    key: Tensor,
    right: Tensor,
    share_of_positive: float | None,
    margin: float | None,
    max_score: float | None,
) -> Float[Tensor, "N"]:
    """Return the highest score that a negative of each query may have."""
    least = query.new_full((len(query),), math.inf)
    for column in right.unbind(1):
        score = (query * key[column]).sum(1)
        least = torch.where(column < 0, least, torch.minimum(least, score))
    limit = torch.full_like(least, math.inf if max_score is None else max_score)
    if share_of_positive is not None:
        limit = torch.minimum(limit, least - (1 - share_of_positive) * least.abs())
    if margin is not None:
        limit = torch.minimum(limit, least - margin)
    return limit


def _first_of_group(groups: Int[Tensor, "M"]) -> Tensor:
    """Mark the first key of each group."""
    ordered, order = groups.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return torch.empty_like(first).scatter_(0, order, first)
