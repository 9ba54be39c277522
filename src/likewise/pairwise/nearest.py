"""The highest scores of every row: exact nearest neighbours and hard negatives, streamed over tiles.

A tile is not sorted. The maxima of narrow blocks of columns tell which few blocks can hold one of a row's k best; only
their scores are compared one by one, and what is left is merged into the best so far.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor

from likewise.pairwise.checks import check_largest_score, check_score_mod
from likewise.pairwise.operands import Operands, make_operands, without_autocast
from likewise.pairwise.pairs import PairOptions, Pairs

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise.sides import Vectors

__all__ = ["topk"]

_TILE = {"cpu": (512, 4096)}
_TILE_ELSEWHERE = (4096, 32_768)
_BLOCK = 64
"""Columns of a block; a tile's width is rounded up to whole blocks."""


@torch.no_grad()
def topk(
    query: Vectors, key: Vectors, k: int, **options: Unpack[PairOptions]
) -> tuple[Float[Tensor, "N k"], Int[Tensor, "N k"]]:
    """Return the k highest scores of each row of query and the rows of key they belong to, exactly.

    Scores and masks are those of :func:`logsumexp`; ``first_column`` is not added to the indices that are returned.

    Args:
        query: ``[N, D]``, or a tuple of factors.
        key: ``[M, D]``, or as many factors.
        k: How many, >= 1; may be more than M.
        **options: :class:`PairOptions`.

    Returns:
        Scores ``[N, k]``, highest first, and columns, int64 ``[N, k]``; of equal scores the lower column comes first. A
        row with fewer than k pairs that count (or with scores of -inf) ends with -inf and -1. No gradient.

    Raises:
        TypeError: As in :func:`logsumexp`.
        ValueError: As in :func:`logsumexp`; or k < 1.

    Cost: One product of N x M x D, and O((N + M) D + N k) memory beside a tile.

    Example:
        >>> topk(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]]), 2)
        (tensor([[1.0000, 0.5000],
                 [2.0000, 0.5000]]), tensor([[0, 2], [1, 2]]))
    """
    if k < 1:
        raise ValueError(f"topk: k is {k}; it is >= 1. Ask for at least one neighbour.")
    if options.get("tile") is None:
        device = query.device.type if isinstance(query, Tensor) else query[0].device.type
        options["tile"] = _TILE.get(device, _TILE_ELSEWHERE)
    pairs = Pairs.of("topk", query, key, **options)
    values = torch.full((pairs.num_rows, k), -math.inf, dtype=pairs.dtype, device=pairs.device)
    indices = torch.full((pairs.num_rows, k), -1, device=pairs.device)
    if not pairs.num_rows or not pairs.num_columns:
        return values, indices
    with without_autocast(pairs.device):
        factors = _factors(pairs)
        check_largest_score(pairs, math.fsum(factor.largest_score() for factor in factors))
        size = min(pairs.tile[0], pairs.num_rows) * _whole_blocks(min(pairs.tile[1], pairs.num_columns))
        buffers = [pairs.new_empty(size) for _ in factors]
        for rows in pairs.row_blocks():
            for factor in factors:
                factor.load(rows)
            for columns in pairs.column_blocks():
                scores = _scores(pairs, factors, buffers, rows, columns)
                _merge(scores, columns.start, values[rows], indices[rows])
    return values, indices


def _factors(pairs: Pairs) -> list[Operands]:
    scales = [pairs.scale] + [1.0] * (len(pairs.queries) - 1)
    return [
        make_operands(query, key, scale, 1.0, dtype=pairs.dtype, rounded=pairs.rounded, tile=pairs.tile)
        for query, key, scale in zip(pairs.queries, pairs.keys, scales, strict=True)
    ]


def _whole_blocks(width: int) -> int:
    return -(-width // _BLOCK) * _BLOCK


def _scores(
    pairs: Pairs, factors: list[Operands], buffers: list[Tensor], rows: slice, columns: slice
) -> Float[Tensor, "n b w"]:
    """Return the scores of a tile in blocks of columns; what does not count, and what fills the last block, is -inf."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    filled = _whole_blocks(width)
    whole = [buffer[: height * filled].view(height, filled) for buffer in buffers]
    scores = [x[:, :width] for x in whole]
    for factor, score in zip(factors, scores, strict=True):
        factor.scores(columns, score)
    if pairs.score_mod is not None:
        score = pairs.modify(scores, pairs.row_side(rows), pairs.column_side(columns))
        check_score_mod(pairs, score, rows)
        scores[0].copy_(score)
    left_out = pairs.left_out(rows, columns)
    if left_out is not None:
        scores[0].masked_fill_(left_out, -math.inf)
    whole[0][:, width:] = -math.inf
    return whole[0].view(height, -1, _BLOCK)


def _merge(
    scores: Float[Tensor, "n b w"], first_column: int, values: Float[Tensor, "n k"], indices: Int[Tensor, "n k"]
) -> None:
    """Merge a tile into the best so far, in place; its columns come after all that were seen."""
    k = values.shape[1]
    peaks = scores.amax(2)
    least = _least_useful(scores, peaks, values[:, -1], k)[:, None]
    rows, block = (peaks >= least).nonzero(as_tuple=True)
    if not len(rows):
        return
    blocks = scores[rows, block]
    which, place = (blocks >= least[rows]).nonzero(as_tuple=True)
    found = blocks[which, place]
    column = block[which].mul_(_BLOCK).add_(place).add_(first_column)

    # One line a row that has something to merge: its best so far, then what was found, in the order of columns.
    changed, line, count = rows[which].unique_consecutive(return_inverse=True, return_counts=True)
    position = torch.arange(len(line), device=line.device) - (count.cumsum(0) - count)[line] + k
    width = k + int(count.max())
    candidates = values.new_full((len(changed), width), -math.inf)
    names = indices.new_full((len(changed), width), -1)
    candidates[:, :k], names[:, :k] = values[changed], indices[changed]
    candidates[line, position], names[line, position] = found, column
    ordered, order = candidates.sort(dim=1, descending=True, stable=True)
    values[changed] = ordered[:, :k]
    indices[changed] = names.gather(1, order[:, :k])


def _least_useful(scores: Tensor, peaks: Tensor, worst: Tensor, k: int) -> Float[Tensor, "n"]:
    """Return the least score that can be among a row's k best once this tile is merged.

    It must beat the worst of the best so far (a later column loses against an equal score) and be no less than the
    k-th of any k scores of the tile, for which the maxima of blocks are taken.
    """
    least = torch.nextafter(worst, worst.new_tensor(math.inf))
    if peaks.shape[1] >= k:
        return torch.maximum(least, peaks.topk(k, dim=1, sorted=False).values.amin(1))
    flat = scores.flatten(1)
    if flat.shape[1] >= k and bool((worst == -math.inf).any()):
        return torch.maximum(least, flat.topk(k, dim=1, sorted=False).values.amin(1))
    return least
