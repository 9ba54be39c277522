"""Who is near whom: points that are everybody's neighbour, and points that are there twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from likewise import pairwise
from likewise.geometry.rows import other_row, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["COPY", "Hubness", "copies", "duplicates", "hubness", "nearest", "occurrences"]

COPY = 1e-4
"""How far below 1 the cosine of two copies of one input may be: an encoder in bfloat16 gives a text 2e-5 apart from
itself in another batch."""


class Hubness(NamedTuple):
    """How unevenly points are neighbours of others.

    Args:
        skewness: Of the number of rows that a point is a neighbour of; 0: even, above about 3 a few hubs dominate.
        anti_hubs: Share of the points that are nobody's neighbour, in [0, 1].
        largest: Largest share of the other rows that have one and the same point among their neighbours, in [0, 1].
    """

    skewness: float
    anti_hubs: float
    largest: float


def hubness(x: Float[Tensor, "N D"], *, k: int = 10) -> Hubness:
    """Whether a few points are near neighbours of everything.

    ``N_k(i)`` is the number of rows that have row i among their k nearest by cosine (themselves left out), and the
    skewness is ``mean_i (N_k(i) - k)^3 / (mean_i (N_k(i) - k)^2)^1.5``.

    Args:
        x: Vectors; rows are put on the unit sphere first.
        k: Neighbours of a row, in [1, N - 1].

    Returns:
        The :class:`Hubness`. It rises with the number of dimensions that are really used and with the number of rows:
        compare at equal rows. A search shows hubs again and again, and anti-hubs never.

    Raises:
        ValueError: Fewer than two rows, k out of range, a row is not finite or is zero.

    Cost: That of :func:`likewise.pairwise.topk`: one product of N x N x D, O(N (D + k)) memory.
    Source: Radovanovic, Nanopoulos and Ivanovic 2010, "Hubs in Space", JMLR 11 (skewness of N_k, and anti-hubs).

    Example:
        >>> rows = torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0]])
        >>> hubness(rows, k=1)  # two couples: each is the neighbour of one
        Hubness(skewness=0.0, anti_hubs=0.0, largest=0.3333333333333333)
    """
    rows = unit_rows(x, "hubness", at_least=2)
    if not 1 <= k < len(rows):
        raise ValueError(f"hubness: k is {k} for {len(rows)} rows; 1 to rows - 1 are accepted. Give a smaller k.")
    return occurrences(nearest(rows, k)[1])


def duplicates(x: Float[Tensor, "N D"]) -> float:
    """Share of the rows that have a copy of themselves among the others.

    A copy is a row whose cosine with this one is at least ``1 - 1e-4``.

    Args:
        x: Vectors; rows are put on the unit sphere first.

    Returns:
        A number in ``[0, 1]``. Copies of a row are false negatives where they share a batch. A collapsed space has 1.

    Raises:
        ValueError: Fewer than two rows, a row is not finite or is zero.

    Cost: One product of N x N x D, O(N D) memory.

    Example:
        >>> duplicates(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        0.5
    """
    return copies(nearest(unit_rows(x, "duplicates", at_least=2), 1)[0])


def nearest(rows: Float[Tensor, "N D"], k: int) -> tuple[Float[Tensor, "N k"], Int[Tensor, "N k"]]:
    """Return cosines and numbers of the k nearest other rows of each row; ``rows`` have unit norm."""
    return pairwise.topk(rows, rows, k, mask_mod=other_row)


def occurrences(index: Int[Tensor, "N k"]) -> Hubness:
    """Return how unevenly rows occur among the neighbours ``index``."""
    num_rows, k = index.shape
    occurs = torch.bincount(index.flatten(), minlength=num_rows).double()
    apart = occurs - k
    variance = float(apart.square().mean())
    return Hubness(
        skewness=float(apart.pow(3).mean()) / variance**1.5 if variance else 0.0,
        anti_hubs=float((occurs == 0).double().mean()),
        largest=float(occurs.max()) / (num_rows - 1),
    )


def copies(cosines: Float[Tensor, "N k"]) -> float:
    """Return the share of rows whose nearest other row, the first of its neighbours, is a copy."""
    return float((cosines[:, 0] >= 1 - COPY).double().mean())
