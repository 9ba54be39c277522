"""Binary cross-entropy of every probability of a softmax over pairs, in three passes over the tiles.

A row's loss has a term ``log(1 - p)`` for each column, which in single precision is the logarithm of nothing as soon as
one ``p`` comes near 1. At most one column of a row has a ``p`` above a half, the highest, so that one is told apart: a
first pass finds it together with the log-sum-exp of all others, of which its ``1 - p`` is made without a subtraction.
The second pass sums the terms, the third, on the way back, makes the gradient; nothing in either can overflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack, cast

import torch
from torch import Tensor

from likewise.pairwise.operands import without_autocast
from likewise.pairwise.pairs import PairOptions, Pairs
from likewise.pairwise.reductions import check_picked
from likewise.pairwise.softmax import Picked
from likewise.pairwise.tilewise import Tiles, reduce_tiles

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise.sides import MaskMod, Side, Vectors

__all__ = ["softmax_bce"]


def softmax_bce(
    query: Vectors, key: Vectors, *, picked: Int[Tensor, "N"], **options: Unpack[PairOptions]
) -> Float[Tensor, "N"]:
    """Return ``-log p_i,picked[i] - sum_j log(1 - p_ij)``, ``j`` over all other columns, without storing the pairs.

    ``p_i = softmax_j(score_ij)`` over the pairs that count, with the scores of :func:`likewise.pairwise.logsumexp`.

    Args:
        query: ``[N, D]``, or a tuple of factors ``[N, D_f]``; any dtype that is floating.
        key: ``[M, D]``, or as many factors ``[M, D_f]``.
        picked: A column for each row, int64 ``[N]`` in [0, M): the one whose probability is to be 1. The pair counts
            whatever the mask says.
        **options: :class:`PairOptions`.

    Returns:
        ``[N]``, >= 0, a sum and not a mean over columns.

    Raises:
        TypeError: As in :func:`likewise.pairwise.logsumexp`.
        ValueError: As in :func:`likewise.pairwise.softmax_terms`.
        RuntimeError: A second derivative is asked for.

    Cost: O((N + M) D) memory; five products of N x M x D, two forward and three backward.

    Example:
        >>> softmax_bce(torch.eye(2), torch.eye(2), picked=torch.arange(2))  # 2 log(1 + 1 / e)
        tensor([0.6265, 0.6265])
    """
    mask_mod = options.get("mask_mod")
    if mask_mod is not None:
        options["mask_mod"] = _Or(mask_mod, options.get("first_column", 0))
        options["rows"] = (*options.get("rows", ()), picked)
    pairs = Pairs.of("softmax_bce", query, key, **options)
    check_picked(picked, pairs)
    tops = _Tops.of(pairs)
    found = reduce_tiles(pairs, BinaryCrossEntropies(pairs, picked, tops))
    return cast("Tensor", found[0])


@dataclass(frozen=True)
class _Or:
    """A ``mask_mod`` under which the column in the last tensor of a row counts too."""

    counts: MaskMod
    first_column: int

    def __call__(self, row: Side, column: Side) -> Tensor:
        return self.counts(row, column) | (column.index - self.first_column == row[-1])


@dataclass(frozen=True)
class _Tops:
    """What is highest in each row, and what all the rest amounts to.

    Args:
        column: Column of the highest score, the first of equal ones, int64 ``[N]``.
        highest: That score ``[N]``.
        rest: Log-sum-exp of all other scores ``[N]``; -inf where there are none.
    """

    column: Tensor
    highest: Tensor
    rest: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, pairs: Pairs) -> _Tops:
        """Go over all tiles once."""
        column = torch.full((pairs.num_rows,), -1, dtype=torch.int64, device=pairs.device)
        highest, rest = (pairs.new_empty(pairs.num_rows).fill_(-math.inf) for _ in range(2))
        scale = torch.as_tensor(pairs.scale, dtype=pairs.dtype, device=pairs.device)
        tiles = Tiles(pairs, pairs.queries, pairs.keys, scale)
        tiles.check()
        with without_autocast(pairs.device):
            for rows, columns, scores in tiles:
                logit = pairs.modify(scores, pairs.row_side(rows), pairs.column_side(columns))
                logit = _counting(logit, pairs.left_out(rows, columns))
                top, place = logit.max(1)
                others = torch.logsumexp(logit.scatter(1, place[:, None], -math.inf), 1)
                before = highest[rows]
                rest[rows] = torch.logaddexp(torch.logaddexp(rest[rows], others), torch.minimum(before, top))
                column[rows] = torch.where(top > before, place + columns.start, column[rows])
                highest[rows] = torch.maximum(before, top)
        return cls(column, highest, rest)


class BinaryCrossEntropies:
    """The loss of each row, and the sum of ``p / (1 - p)`` over what is neither its highest column nor its picked one.

    Source: Gradient with ``a = p / (1 - p)``, ``C = -1 + sum of a over columns not picked``: ``-1 - p C`` for the
        picked column, ``a - p C`` for another. What the highest column adds to ``C`` is ``exp(highest - rest)``, which
        may overflow; times ``p`` it is a share of the rest, which does not.
    """

    num_results = 1

    def __init__(self, pairs: Pairs, picked: Int[Tensor, "N"], tops: _Tops) -> None:
        self._picked, self._tops = picked, tops
        self._reader = Picked(picked, pairs.num_columns)
        self._scores = pairs.new_empty(pairs.num_rows)
        self._terms, self._odds = (pairs.new_empty(pairs.num_rows).zero_() for _ in range(2))
        self._total = torch.logaddexp(tops.highest, tops.rest)

    def add(self, score: Float[Tensor, "n m"], left_out: Tensor | None, rows: slice, columns: slice) -> None:
        """Take in the scores of a tile."""
        self._reader.read(score, rows, columns, self._scores)
        special = self._is(self._picked, rows, columns) | self._is(self._tops.column, rows, columns)
        share = (_counting(score, left_out) - self._total[rows, None]).exp_().masked_fill_(special, 0.0)
        self._terms[rows] -= torch.log1p(-share).sum(1)
        self._odds[rows] += share.div_(1.0 - share).sum(1)

    def results(self) -> list[tuple[Tensor | None, int]]:
        """Return the losses, and the sums of odds for the gradient."""
        lead = self._tops.highest - self._tops.rest  # of the highest score over all others together
        zero = torch.zeros_like(lead)
        missed = self._tops.highest - self._scores + torch.logaddexp(-lead, zero)
        wrong = torch.where(self._tops.column == self._picked, 0.0, torch.logaddexp(lead, zero))
        return [(missed + wrong + self._terms, 1), (self._odds, 1)]

    def outputs(self, score: Float[Tensor, "n m"]) -> list[Tensor]:
        """Return the scores."""
        return [score]

    def grads(
        self,
        outputs: list[Tensor],
        left_out: Tensor | None,
        rows: slice,
        columns: slice,
        results: Sequence[Tensor | None],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Return the gradient of the scores."""
        if grads[0] is None:
            return [torch.zeros_like(outputs[0])]
        logit = _counting(outputs[0], left_out)
        highest, rest, total = (x[rows, None] for x in (self._tops.highest, self._tops.rest, self._total))
        odds = cast("Tensor", results[1])[rows, None]
        right = (self._tops.column == self._picked)[rows, None]
        top = torch.sigmoid(highest - rest)  # probability of the highest column
        share = torch.exp(logit - total)
        of_rest = torch.exp(logit - rest.masked_fill(rest == -math.inf, 0.0)) * top
        pull = share * (1.0 - odds) - of_rest.masked_fill(right, 0.0)
        found = pull + share / (1.0 - share)
        is_top = self._is(self._tops.column, rows, columns)
        found = torch.where(is_top, top * (2.0 - odds), found)
        of_picked = torch.where(right, -torch.sigmoid(rest - highest) - share * odds, pull - 1.0)
        found = torch.where(self._is(self._picked, rows, columns), of_picked, found)
        return [found.mul_(grads[0][rows, None])]

    @staticmethod
    def _is(place: Int[Tensor, "N"], rows: slice, columns: slice) -> Tensor:
        """Tell which pairs of a tile lie in each row's column."""
        return torch.arange(columns.start, columns.stop, device=place.device) == place[rows, None]


def _counting(score: Tensor, left_out: Tensor | None) -> Tensor:
    return score if left_out is None else score.masked_fill(left_out, -math.inf)
