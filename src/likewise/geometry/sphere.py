"""How vectors lie on the unit sphere: positives together, everything else apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import pairwise
from likewise.geometry.rows import other_row, sampled, unit_pair, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["alignment", "coordinate_spread", "even_uniformity", "mean_cosine", "positive_cosine", "uniformity"]


@torch.no_grad()
def alignment(x: Float[Tensor, "N D"], y: Float[Tensor, "N D"], *, alpha: float = 2.0) -> float:
    """How far the two sides of a positive pair lie from each other.

    ``mean_i ||x_i - y_i||^alpha`` with ``x_i``, ``y_i`` the rows on the unit sphere.

    Args:
        x: One side of each positive pair; rows are put on the unit sphere first.
        y: The other side.
        alpha: Exponent, > 0 (paper: 2, where the value is ``2 - 2 * mean cosine``).

    Returns:
        A number in ``[0, 2^alpha]``; 0: all positives coincide. Small values alone are no merit: a collapsed space has
        0. Read it beside :func:`uniformity`.

    Raises:
        ValueError: The shapes differ, alpha <= 0, a row is not finite or is zero.

    Cost: O(N D).
    Source: Wang and Isola 2020, arXiv 2005.10242, eq. 4.

    Example:
        >>> alignment(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]), alpha=4)
        2.0
    """
    if not alpha > 0:
        raise ValueError(f"alignment: alpha is {alpha}; a number above 0 is accepted. The paper's value is 2.")
    first, second = unit_pair(x, y, "alignment")
    return float((first - second).double().square().sum(dim=1).pow(alpha / 2).mean())


@torch.no_grad()
def positive_cosine(x: Float[Tensor, "N D"], y: Float[Tensor, "N D"]) -> float:
    """Mean cosine between the two sides of a positive pair, in ``[-1, 1]``; ``1 - alignment / 2`` at alpha 2.

    Args:
        x: One side of each positive pair.
        y: The other side.

    Raises:
        ValueError: The shapes differ, a row is not finite or is zero.

    Example:
        >>> positive_cosine(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        0.5
    """
    first, second = unit_pair(x, y, "positive_cosine")
    return float((first.double() * second.double()).sum(dim=1).mean())


@torch.no_grad()
def uniformity(x: Float[Tensor, "N D"], *, t: float = 2.0, max_rows: int | None = None, seed: int = 0) -> float:
    """How evenly vectors cover the unit sphere.

    ``log( mean_{i != j} exp(-t ||x_i - x_j||^2) )`` with ``x_i`` the rows on the unit sphere.

    Args:
        x: Vectors; rows are put on the unit sphere first.
        t: Sharpness of the kernel, > 0 (paper: 2).
        max_rows: Draw this many rows where there are more, >= 2. None: exact, over all pairs of distinct rows.
        seed: Seed of that draw.

    Returns:
        A number in ``[-4t, 0]``; lower is more even, 0: all vectors coincide. :func:`even_uniformity` says what vectors
        spread evenly would have. Two copies of a row count as two rows at distance 0.

    Raises:
        ValueError: Fewer than two rows, t <= 0, a row is not finite or is zero.

    Cost: O(N D) memory, O(N^2 D) time: scores exist one tile at a time.
    Source: Wang and Isola 2020, arXiv 2005.10242, eq. 5; there over pairs drawn independently, here over distinct rows,
        as their code does.

    Example:
        >>> round(uniformity(torch.eye(3)), 4)  # all squared distances are 2
        -4.0
    """
    if not t > 0:
        raise ValueError(f"uniformity: t is {t}; a number above 0 is accepted. The paper's value is 2.")
    if max_rows is not None and max_rows < 2:
        raise ValueError(f"uniformity: max_rows is {max_rows}; at least 2 rows make a pair. Give 2 or more, or None.")
    rows = sampled(unit_rows(x, "uniformity", at_least=2), max_rows, seed)
    # On the sphere -t ||x - y||^2 = 2 t <x, y> - 2 t; the constant is taken out of the sum.
    sums = pairwise.logsumexp(rows, rows, scale=2 * t, mask_mod=other_row)
    pairs = len(rows) * (len(rows) - 1)
    return float(torch.logsumexp(sums.double(), 0)) - math.log(pairs) - 2 * t


def even_uniformity(dim: int, *, t: float = 2.0) -> float:
    """Return the uniformity of infinitely many vectors spread evenly over the sphere: the best there is.

    ``log E exp(-t ||u - v||^2) = log 0F1(; D / 2; t^2) - 2 t`` for independent uniform ``u``, ``v``. A small set may
    fall a little below it, since only distinct rows are compared.

    Args:
        dim: Length of the vectors ``D``, >= 1.
        t: Sharpness of the kernel, > 0, at most 300.

    Source: the moment generating function of a coordinate of a uniform vector; Wang and Isola 2020, section 4.1.2.

    Example:
        >>> round(even_uniformity(384), 3)
        -3.979
    """
    from scipy.special import hyp0f1  # nowhere else needed here, and slow to import

    return math.log(float(hyp0f1(dim / 2, t * t))) - 2 * t


@torch.no_grad()
def mean_cosine(x: Float[Tensor, "N D"]) -> float:
    """Mean cosine between two distinct rows: how far the space is a cone (anisotropy).

    ``(||sum_i x_i||^2 - N) / (N (N - 1))`` with ``x_i`` the rows on the unit sphere, which is the mean over all pairs.

    Args:
        x: Vectors; rows are put on the unit sphere first.

    Returns:
        A number in ``[-1 / (N - 1), 1]``; near 0: no common direction, 1: all rows point the same way.

    Raises:
        ValueError: Fewer than two rows, a row is not finite or is zero.

    Cost: O(N D); exact without looking at pairs.
    Source: Ethayarajh 2019, arXiv 1909.00512, section 3.3, over all pairs instead of 1000 drawn ones.

    Example:
        >>> round(mean_cosine(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])), 4)  # one pair of three
        0.3333
    """
    rows = unit_rows(x, "mean_cosine", at_least=2)
    total = float(rows.sum(dim=0, dtype=torch.float64).square().sum())
    squares = float(torch.linalg.vector_norm(rows, dtype=torch.float64)) ** 2  # N, but for rounding
    return (total - squares) / (len(rows) * (len(rows) - 1))


@torch.no_grad()
def coordinate_spread(x: Float[Tensor, "N D"]) -> float:
    """How far the coordinates spread, beside those of random unit vectors: a quick look for collapse.

    ``sqrt(D) * mean_d std_i x_id`` with ``x_i`` the rows on the unit sphere and the biased standard deviation.

    Args:
        x: Vectors; rows are put on the unit sphere first.

    Returns:
        A number in [0, 1]; 0: all rows are one point, 1: every one has a standard deviation of
        ``1 / sqrt(D)``, as those of random unit vectors.

    Raises:
        ValueError: Fewer than two rows, a row is not finite or is zero.

    Cost: O(N D).
    Source: Chen and He 2021 (SimSiam), arXiv 2011.10566, figure 2.

    Example:
        >>> round(coordinate_spread(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 4)
        1.0
    """
    rows = unit_rows(x, "coordinate_spread", at_least=2).double()
    return float(rows.std(dim=0, correction=0).mean()) * math.sqrt(rows.shape[1])
