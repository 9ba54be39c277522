"""What negatives do to a row: how many of them push at a temperature, and which of them should not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from likewise import pairwise
from likewise.geometry.rows import grouped, other_row, unit_pair, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.pairwise import PairOptions, Side

__all__ = [
    "FalseNegatives",
    "effective_negatives",
    "false_negatives",
    "penalty_entropy",
    "same_label_push",
    "same_label_share",
]

_EQUAL = 1e-6
"""What float32 leaves between two computations of one cosine."""


@torch.no_grad()
def penalty_entropy(
    query: Float[Tensor, "N D"], key: Float[Tensor, "M D"] | None = None, *, temperature: float
) -> Float[Tensor, "N"]:
    """How widely the penalty of a softmax loss is spread over a row's negatives.

    ``H_i = -sum_j r_ij log r_ij`` with the relative penalty ``r_ij = exp(s_ij / t) / sum_{k != i} exp(s_ik / t)``, a
    Boltzmann distribution over the negatives: ``|dL/ds_ij|`` as a share of ``|dL/ds_ii|`` for InfoNCE. Computed as
    ``logsumexp_j(s_ij / t) - E_r[s_ij / t]``.

    Args:
        query: Vectors; rows are put on the unit sphere first.
        key: Key ``i`` is the positive of row ``i`` and is left out; all others are its negatives, so there are at least
            as many keys as rows. None: the rows among themselves.
        temperature: Divisor of the cosines ``t``, > 0, no unit.

    Returns:
        ``[N]`` in nats, in ``[0, log(M - 1)]``; float32, or float64 for float64 vectors. It falls with the
        temperature: 0 where one negative takes all.

    Raises:
        ValueError: temperature <= 0, fewer than two keys, fewer keys than rows, lengths that differ, a row is not
            finite or is zero.

    Cost: Two products of N x M x D, O((N + M) D) memory.
    Source: Wang and Liu 2021, arXiv 2012.09740 (relative penalty r_ij).

    Example:
        >>> penalty_entropy(torch.eye(3), temperature=0.1)  # two negatives alike: log 2
        tensor([0.6931, 0.6931, 0.6931])
    """
    if not temperature > 0:
        raise ValueError(f"penalty_entropy: temperature is {temperature}; a number above 0 is accepted. Give one.")
    rows = unit_rows(query, "penalty_entropy")
    keys = rows if key is None else unit_rows(key, "penalty_entropy")
    if len(keys) < max(2, len(rows)):
        raise ValueError(
            f"penalty_entropy: {len(keys)} keys for {len(rows)} rows; a row needs its own key and at least one more. "
            "Give at least as many keys as rows, and two."
        )
    options: PairOptions = {"scale": 1 / temperature, "mask_mod": other_row}
    total = pairwise.logsumexp(rows, keys, **options)
    mean = pairwise.expectation(rows, keys, value=lambda score: score, **options)
    return (total - mean).clamp_min(0.0)


def effective_negatives(
    query: Float[Tensor, "N D"], key: Float[Tensor, "M D"] | None = None, *, temperature: float
) -> float:
    """How many negatives push a row at this temperature, as a smooth number.

    ``exp(mean_i H_i)`` with ``H_i`` the :func:`penalty_entropy` of row ``i``.

    Args:
        query: As in :func:`penalty_entropy`.
        key: As in :func:`penalty_entropy`.
        temperature: As in :func:`penalty_entropy`.

    Returns:
        A number in ``[1, M - 1]``. Near 1 the loss sees one negative a row and is at the mercy of false ones; near
        M - 1 it weighs all alike and no longer looks for hard ones.

    Raises:
        ValueError: As :func:`penalty_entropy`.

    Cost: As :func:`penalty_entropy`.

    Example:
        >>> round(effective_negatives(torch.eye(4), temperature=0.1), 4)
        3.0
    """
    entropy = penalty_entropy(query, key, temperature=temperature)
    return math.exp(float(entropy.double().mean()))


@torch.no_grad()
def same_label_push(x: Float[Tensor, "N D"], labels: Tensor | Sequence[Any], *, temperature: float) -> float:
    """How much of the push of a softmax loss goes to rows of the row's own class.

    ``mean_i sum_j r_ij [l_i = l_j]`` with the relative penalty ``r_ij`` of :func:`penalty_entropy` over all other rows.

    Args:
        x: Vectors; rows are put on the unit sphere first.
        labels: The class of each row, integers or names.
        temperature: Divisor of the cosines, > 0, no unit.

    Returns:
        A share in [0, 1]. At a high temperature it is that of the pairs of one class; in a space where classes lie
        together it rises as the temperature falls, because the nearest rows are the row's own kind.

    Raises:
        ValueError: temperature <= 0, fewer than two rows, the numbers of rows and labels differ, a row is not finite or
            is zero.

    Cost: Two products of N x N x D, O(N D) memory.
    Source: Wang and Liu 2021, arXiv 2012.09740, section 4 (why a low temperature tears classes apart).

    Example:
        >>> angles = torch.deg2rad(torch.tensor([0.0, 60.0, 180.0, 240.0]))
        >>> rows = torch.stack([angles.cos(), angles.sin()], 1)
        >>> [round(same_label_push(rows, [0, 0, 1, 1], temperature=t), 2) for t in (0.1, 1.0, 100.0)]
        [1.0, 0.63, 0.34]
    """
    if not temperature > 0:
        raise ValueError(f"same_label_push: temperature is {temperature}; a number above 0 is accepted. Give one.")
    rows = unit_rows(x, "same_label_push", at_least=2)
    numbers, _ = grouped(labels, len(rows), "same_label_push")
    numbers = numbers.to(rows.device)
    scale = 1 / temperature
    own = pairwise.logsumexp(rows, rows, scale=scale, mask_mod=_other_of_its_class, rows=(numbers,), columns=(numbers,))
    total = pairwise.logsumexp(rows, rows, scale=scale, mask_mod=other_row)
    return float((own.double() - total).exp().mean())


def _other_of_its_class(row: Side, column: Side) -> Tensor:
    return (row[0] == column[0]) & other_row(row, column)


class FalseNegatives(NamedTuple):
    """How many negatives look like positives.

    Args:
        rows: Share of the rows that have at least one such negative, in [0, 1].
        pairs: Share of all negatives that are such, in [0, 1].
        labels: Share of all negatives that carry the row's label, in [0, 1]; None without labels.
    """

    rows: float
    pairs: float
    labels: float | None


@torch.no_grad()
def false_negatives(
    query: Float[Tensor, "N D"],
    key: Float[Tensor, "N D"],
    *,
    share_of_positive: float = 0.95,
    labels: Tensor | Sequence[Any] | None = None,
) -> FalseNegatives:
    """How many negatives score nearly as high as the row's own positive, and so may be positives themselves.

    Negative j of row i is suspect where ``s_ij >= share_of_positive * s_ii``, ``s`` the cosine.

    Args:
        query: Vectors; rows are put on the unit sphere first.
        key: Row i is the positive of row i of query; all others are its negatives.
        share_of_positive: Share of the own positive's cosine, > 0 (NV-Retriever: 0.95). With 1, ``pairs`` is the share
            of negatives that are found before the positive: 0 is perfect, 0.5 is chance.
        labels: The class of each row, where known; negatives of the row's class are false for certain.

    Returns:
        The :class:`FalseNegatives`. ``rows`` rises with the number of rows, ``pairs`` does not.

    Raises:
        ValueError: The shapes differ, fewer than two rows, share_of_positive <= 0, a row is not finite or is zero.

    Cost: One product of N x N x D, O(N D) memory.
    Source: Moreira et al. 2024, NV-Retriever, arXiv 2407.15831 (TopK-PercPos, there to leave negatives
        out).

    Example:
        >>> key = torch.tensor([[1.0, 0.0], [0.98, 0.2], [0.0, 1.0]])
        >>> false_negatives(torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]]), key, labels=[0, 0, 1])
        FalseNegatives(rows=0.6666666666666666, pairs=0.3333333333333333, labels=0.3333333333333333)
    """
    if not share_of_positive > 0:
        raise ValueError(
            f"false_negatives: share_of_positive is {share_of_positive}; a number above 0 is accepted. 0.95 is usual."
        )
    rows, keys = unit_pair(query, key, "false_negatives", at_least=2)
    least = share_of_positive * torch.linalg.vecdot(rows, keys) - _EQUAL

    def above(score: Tensor, row: Side, _: Side) -> Tensor:
        return score - row[0]

    suspect = pairwise.sum(
        rows,
        keys,
        value=lambda score: (score >= 0).to(score.dtype),
        score_mod=above,
        mask_mod=other_row,
        rows=(least,),
    ).double()
    return FalseNegatives(
        rows=float((suspect > 0).double().mean()),
        pairs=float(suspect.sum()) / (len(rows) * (len(rows) - 1)),
        labels=None if labels is None else same_label_share(labels, len(rows)),
    )


def same_label_share(labels: Tensor | Sequence[Any], count: int) -> float:
    """Return the share of ordered pairs of two of ``count`` rows that have one label."""
    numbers, names = grouped(labels, count, "false_negatives")
    counts = torch.bincount(numbers, minlength=len(names))
    return int((counts * (counts - 1)).sum()) / (count * (count - 1))
