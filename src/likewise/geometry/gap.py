"""Two roles or modalities in one space: whether they share it or lie apart."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from likewise import pairwise
from likewise.geometry.rows import other_row, sampled, unit_pair

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["FEWEST_FOR_SEPARABILITY", "centroid_gap", "cross_uniformity", "separability"]

FEWEST_FOR_SEPARABILITY = 10
"""Fewest pairs that can be split 80/20 with more than one pair held out."""


@torch.no_grad()
def centroid_gap(x: Float[Tensor, "N D"], y: Float[Tensor, "N D"]) -> float:
    """How far the middle of one side lies from the middle of the other.

    ``|| mean_i x_i - mean_i y_i ||`` with ``x_i``, ``y_i`` the rows on the unit sphere.

    Args:
        x: One side of each pair (queries, images); rows are put on the unit sphere first.
        y: The other side.

    Returns:
        A number in ``[0, 2]``; 0: no gap. Values are not comparable between numbers of dimensions or temperatures: read
        :func:`separability` beside it.

    Raises:
        ValueError: The shapes differ, a row is not finite or is zero.

    Cost: O(N D).
    Source: Liang et al. 2022, "Mind the Gap", arXiv 2203.02053; Fahim et al. 2024, arXiv 2405.18570.

    Example:
        >>> round(centroid_gap(torch.eye(2), -torch.eye(2)), 6)  # (1/2, 1/2) against (-1/2, -1/2)
        1.414214
    """
    first, second = unit_pair(x, y, "centroid_gap")
    apart = first.mean(dim=0, dtype=torch.float64) - second.mean(dim=0, dtype=torch.float64)
    return float(torch.linalg.vector_norm(apart))


@torch.no_grad()
def cross_uniformity(x: Float[Tensor, "N D"], y: Float[Tensor, "N D"], *, t: float = 2.0) -> float:
    """How evenly either side is spread around the other, positives left out.

    ``log( mean_{i != j} exp(-t ||x_i - y_j||^2) )`` with ``x_i``, ``y_j`` the rows on the unit sphere.

    Args:
        x: One side of each pair; rows are put on the unit sphere first.
        y: The other side.
        t: Sharpness of the kernel, > 0 (paper: 2).

    Returns:
        A number in ``[-4t, 0]``; lower is more even, 0: all vectors coincide. :func:`likewise.geometry.even_uniformity`
        is what vectors spread evenly would have.

    Raises:
        ValueError: The shapes differ, fewer than two rows, t <= 0, a row is not finite or is zero.

    Cost: O(N D) memory, one product of N x N x D.
    Source: Fahim et al. 2024, "It's Not a Modality Gap", arXiv 2405.18570 (the cross-modal uniformity loss).

    Example:
        >>> round(cross_uniformity(torch.eye(3), torch.eye(3)), 4)  # all squared distances but those of pairs are 2
        -4.0
    """
    if not t > 0:
        raise ValueError(f"cross_uniformity: t is {t}; a number above 0 is accepted. The paper's value is 2.")
    first, second = unit_pair(x, y, "cross_uniformity", at_least=2)
    sums = pairwise.logsumexp(first, second, scale=2 * t, mask_mod=other_row)
    return float(torch.logsumexp(sums.double(), 0)) - math.log(len(first) * (len(first) - 1)) - 2 * t


@torch.no_grad()
def separability(
    x: Float[Tensor, "N D"], y: Float[Tensor, "N D"], *, max_rows: int | None = 10_000, seed: int = 0
) -> float:
    """How well a line tells the two sides apart.

    Accuracy of a logistic regression (L2, C = 1) of the side on the vector, fitted on 80 % of the pairs and measured on
    the others; both sides of a pair are on the same side of the split.

    Args:
        x: One side of each pair; rows are put on the unit sphere first.
        y: The other side.
        max_rows: Draw this many pairs where there are more; None: all.
        seed: Seed of draw and split.

    Returns:
        A number in ``[0, 1]``; 0.5: the sides cannot be told apart, 1: they lie apart. Sides that say different kinds
        of things (a definition, a word) are told apart in any space that knows the difference.

    Raises:
        ValueError: The shapes differ, fewer than 10 pairs, a row is not finite or is zero.

    Cost: O(max_rows D) memory, and some dozens of passes over the rows.
    Source: Fahim et al. 2024, arXiv 2405.18570 (linear separability); Liang et al. 2022, arXiv 2203.02053.

    Example:
        >>> rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> separability(rows + 5, rows - 5)
        1.0
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    sides = [sampled(side, max_rows, seed) for side in unit_pair(x, y, "separability", at_least=10)]
    count = len(sides[0])
    order = np.random.default_rng(seed).permutation(count)
    train, test = np.split(order, [round(0.8 * count)])
    first, second = (side.double().cpu().numpy() for side in sides)

    def both(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate([first[chosen], second[chosen]]), np.repeat([0, 1], len(chosen))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an accuracy needs no last digit of the weights
        model = LogisticRegression(max_iter=200).fit(*both(train))
    return float(model.score(*both(test)))
