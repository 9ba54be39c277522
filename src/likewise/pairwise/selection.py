"""The k-th highest score of every row, exactly, for any k: a selection by digits, streamed over tiles.

A floating number is read as a whole number of the same order. Its digits are found from the first to the last: one pass
over the tiles counts, for each row, the scores of every value of the next digit among those that agree with the digits
found so far. What is held is these counts, however large k is.
"""

from __future__ import annotations

import math
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

__all__ = ["kth"]

_DIGIT = 11
"""Bits of a digit: 2,048 counts a row, and three passes over float32."""
_WHOLE = {torch.float32: torch.int32, torch.float64: torch.int64}


@torch.no_grad()
def kth(query: Vectors, key: Vectors, k: int, **options: Unpack[PairOptions]) -> Float[Tensor, "N"]:
    """Return the k-th highest score of each row of query, exactly; equal scores are counted each.

    Where :func:`topk` holds the k best of every row, this holds the same few counts whatever k is: for a quantile of
    all keys.

    Args:
        query: ``[N, D]``, or a tuple of factors.
        key: ``[M, D]``, or as many factors.
        k: Which, >= 1; 1 is the highest.
        **options: :class:`PairOptions`.

    Returns:
        ``[N]``, the score itself as the tiles have it; -inf for a row with fewer than k pairs that count. No gradient.

    Raises:
        TypeError: As in :func:`logsumexp`.
        ValueError: As in :func:`logsumexp`; or k < 1.

    Cost: Three products of N x M x D in float32, six in float64; O((N + M) D) memory, and 2,048 counts for each row of
        a tile.

    Example:
        >>> kth(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]]), 2)
        tensor([0.5000, 0.5000])
    """
    if k < 1:
        raise ValueError(f"kth: k is {k}; it is >= 1. Ask for the first, the highest, at least.")
    pairs = Pairs.of("kth", query, key, **options)
    found = torch.full((pairs.num_rows,), -math.inf, dtype=pairs.dtype, device=pairs.device)
    if k > pairs.num_columns or not pairs.num_rows:
        return found
    tiles = Tiles(
        pairs, pairs.queries, pairs.keys, torch.as_tensor(pairs.scale, dtype=pairs.dtype, device=pairs.device)
    )
    tiles.check()
    whole = _WHOLE[pairs.dtype]
    prefix = torch.zeros(pairs.num_rows, dtype=whole, device=pairs.device)
    left = torch.full((pairs.num_rows,), k, device=pairs.device)
    bits = torch.iinfo(whole).bits
    with without_autocast(pairs.device):
        for upper in range(bits, 0, -_DIGIT):
            _next_digit(pairs, tiles, prefix, left, upper, max(0, upper - _DIGIT))
    return _number(prefix, pairs.dtype)


def _next_digit(
    pairs: Pairs, tiles: Tiles, prefix: Int[Tensor, "N"], left: Int[Tensor, "N"], upper: int, lower: int
) -> None:
    """Find the bits from ``lower`` to ``upper`` of the number looked for, and put them behind those of ``prefix``.

    ``left`` is the place of that number among those that agree so far, counted from the highest.
    """
    size = 1 << (upper - lower)
    first = upper == torch.iinfo(prefix.dtype).bits
    counts = torch.empty(0)
    for rows, columns, scores in tiles:
        score = pairs.modify(scores, pairs.row_side(rows), pairs.column_side(columns))
        check_score_mod(pairs, score, rows)
        left_out = pairs.left_out(rows, columns)
        number = _whole_number(score if left_out is None else score.masked_fill(left_out, -math.inf))
        digit = ((number >> lower) & (size - 1)).long()
        if first:
            digit ^= size >> 1  # the sign: negative numbers come first
        place = digit + torch.arange(0, len(digit) * size, size, device=digit.device)[:, None]
        agrees = place if first else place[(number >> upper) == prefix[rows, None]]
        if columns.start == 0:
            counts = torch.zeros(len(digit) * size, dtype=torch.int64, device=digit.device)
        counts += torch.bincount(agrees.flatten(), minlength=len(counts))
        if columns.stop == pairs.num_columns:
            above = counts.view(-1, size).flip(1).cumsum(1)  # of the highest digit, the two highest, ...
            steps = (above < left[rows, None]).sum(1)
            before = torch.where(steps > 0, above.gather(1, (steps - 1).clamp_min(0)[:, None])[:, 0], 0)
            left[rows] -= before
            chosen = size - 1 - steps
            if first:
                chosen ^= size >> 1
                chosen -= size * (chosen >= size >> 1)  # as shifts of negative numbers have it
            prefix[rows] = (prefix[rows] << (upper - lower)) + chosen.to(prefix.dtype)


def _whole_number(score: Tensor) -> Tensor:
    """Read floating numbers as whole ones of the same order."""
    whole = _WHOLE[score.dtype]
    bits = score.contiguous().view(whole)
    return bits ^ ((bits >> (torch.iinfo(whole).bits - 1)) & torch.iinfo(whole).max)


def _number(whole: Tensor, dtype: torch.dtype) -> Tensor:
    """Undo :func:`_whole_number`, which is its own inverse."""
    info = torch.iinfo(whole.dtype)
    return (whole ^ ((whole >> (info.bits - 1)) & info.max)).view(dtype)
