"""How many pairs have a score of each size: exact counts, streamed over tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor

from likewise.pairwise.checks import check_score_mod
from likewise.pairwise.operands import without_autocast
from likewise.pairwise.pairs import PairOptions, Pairs
from likewise.pairwise.tilewise import Tiles

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise.sides import Vectors

__all__ = ["histogram"]


@torch.no_grad()
def histogram(
    query: Vectors, key: Vectors, edges: Float[Tensor, "K+1"], **options: Unpack[PairOptions]
) -> Int[Tensor, "K"]:
    """Return how many pairs that count have a score in each bin, without storing the pairs.

    Bin ``k`` holds the scores in ``[edges[k], edges[k + 1])``, the last one those at its upper edge too, as numpy's
    histogram has it. Scores outside all bins are in none. Scores and masks are those of :func:`logsumexp`.

    Args:
        query: ``[N, D]``, or a tuple of factors.
        key: ``[M, D]``, or as many factors.
        edges: ``[K + 1]``, finite and rising; at least two.
        **options: :class:`PairOptions`.

    Returns:
        Counts ``[K]``, int64. Whole numbers are added, so tiles change nothing; only a score within rounding of an edge
        may fall to either side of it when products are cut differently. No gradient.

    Raises:
        TypeError: As in :func:`logsumexp`.
        ValueError: As in :func:`logsumexp`; or the edges do not rise.

    Cost: One product of N x M x D, a binary search for each pair, and O((N + M) D) memory beside a tile.

    Example:
        >>> histogram(torch.eye(2), torch.eye(2), torch.tensor([-0.5, 0.5, 1.0]))
        tensor([2, 2])
    """
    edges = torch.as_tensor(edges).detach().clone()
    if edges.ndim != 1 or len(edges) < 2 or not bool(torch.isfinite(edges).all()) or not bool((edges.diff() > 0).all()):
        raise ValueError(
            f"histogram: edges are {list(edges.shape)}; at least two finite numbers that rise are accepted. Give the "
            "lower edge of every bin, and the upper one of the last."
        )
    pairs = Pairs.of("histogram", query, key, **options)
    edges = edges.to(device=pairs.device, dtype=pairs.dtype)
    edges[-1] = torch.nextafter(edges[-1], edges.new_tensor(torch.inf))  # the last bin holds its upper edge
    outside = len(edges)
    counts = torch.zeros(outside + 1, dtype=torch.int64, device=pairs.device)
    scale = torch.as_tensor(pairs.scale, dtype=pairs.dtype, device=pairs.device)
    tiles = Tiles(pairs, pairs.queries, pairs.keys, scale)
    tiles.check()
    with without_autocast(pairs.device):
        for rows, columns, scores in tiles:
            score = pairs.modify(scores, pairs.row_side(rows), pairs.column_side(columns))
            check_score_mod(pairs, score, rows)
            place = torch.bucketize(score, edges, right=True, out_int32=True)
            left_out = pairs.left_out(rows, columns)
            if left_out is not None:
                place.masked_fill_(left_out, outside)
            counts += torch.bincount(place.flatten(), minlength=outside + 1)
    return counts[1:-1]
