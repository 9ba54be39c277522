"""Vectors that belong together: how alike the rows of one text, or of one class, are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise.geometry.rows import CHUNK, grouped, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["isotropy", "tolerance"]


@torch.no_grad()
def isotropy(x: Float[Tensor, "N D"], groups: Tensor | Sequence[Any] | None = None) -> float:
    """How far the vectors of one text point in different directions.

    ``1 - sum_g sum_{i != j in g} <x_i, x_j> / sum_g n_g (n_g - 1)`` with ``x_i`` the rows on the unit sphere and
    ``n_g`` the rows of group ``g``. Every pair counts alike, so a long text counts more than a short one. The inner sum
    is ``||sum_i x_i||^2 - n_g``: no pair is looked at.

    Args:
        x: Vectors, of tokens or of texts; rows are put on the unit sphere first.
        groups: The text of each row; only pairs of one group count, and a group of one row has none. None: one group,
            where the value is ``1 - mean_cosine``.

    Returns:
        A number in ``[0, 2]``; 1: all directions, 0: all rows of a text are the same. Contrastive search wants
        about 0.5 or more.

    Raises:
        ValueError: No group has two rows, the numbers of rows and groups differ, a row is not finite or is zero.

    Cost: O(N D), and O(G D) memory for G groups.
    Source: Su and Collier 2023, arXiv 2210.14140 (there rounded to two decimals).

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> round(isotropy(rows), 6), round(isotropy(rows, ["a", "a", "b"]), 6)
        (0.533333, 0.2)
    """
    rows = unit_rows(x, "isotropy", at_least=2)
    numbers, names = grouped([0] * len(rows) if groups is None else groups, len(rows), "isotropy")
    total, pairs = _within(rows, numbers, len(names))
    if not pairs:
        raise ValueError(
            f"isotropy: each of the {len(names)} groups has one row; a group with at least two is needed. Give the "
            "text that each row belongs to."
        )
    return 1 - total / pairs


@torch.no_grad()
def tolerance(x: Float[Tensor, "N D"], labels: Tensor | Sequence[Any], *, conditional: bool = True) -> float:
    """How near each other the rows of one class are left.

    ``mean of <x_i, x_j> over pairs i != j with equal labels``, ``x_i`` the rows on the unit sphere. The literal
    form is ``sum_{i != j} <x_i, x_j> 1[l_i = l_j] / (N (N - 1))``.

    Args:
        x: Vectors; rows are put on the unit sphere first.
        labels: The class of each row, integers or names.
        conditional: Over pairs of one class, as the paper's table has it; False: over all pairs, as its formula is
            printed, which cannot be larger than the share of pairs of one class.

    Returns:
        A number in ``[-1, 1]``; larger: the classes lie closer together inside. A low temperature buys uniformity and
        costs tolerance, so read both; a collapsed space has 1.

    Raises:
        ValueError: A class has one row and so no pair (it is named), the numbers of rows and labels differ, a row is
            not finite or is zero.

    Cost: O(N D), and O(G D) memory for G classes; exact without looking at pairs.
    Source: Wang and Liu 2021, arXiv 2012.09740, table 1.

    Example:
        >>> angles = torch.deg2rad(torch.tensor([0.0, 60.0, 180.0, 240.0]))
        >>> round(tolerance(torch.stack([angles.cos(), angles.sin()], 1), [0, 0, 1, 1]), 6)
        0.5
    """
    rows = unit_rows(x, "tolerance", at_least=2)
    numbers, names = grouped(labels, len(rows), "tolerance")
    counts = torch.bincount(numbers, minlength=len(names))
    alone = (counts == 1).nonzero()
    if len(alone):
        raise ValueError(
            f"tolerance: class {names[int(alone[0])]!r} has one row ({len(alone)} of {len(names)} classes do); a class "
            "needs two rows to have a pair. Leave such classes out, or give more rows."
        )
    total, pairs = _within(rows, numbers, len(names))
    return total / (pairs if conditional else len(rows) * (len(rows) - 1))


def _within(rows: Tensor, numbers: Int[Tensor, "N"], num_groups: int) -> tuple[float, int]:
    """Return the sum of the cosines of ordered pairs of two rows of one group, and how many pairs there are."""
    numbers = numbers.to(rows.device)
    sums = torch.zeros(num_groups, rows.shape[1], dtype=torch.float64, device=rows.device)
    squares = 0.0  # N, but for rounding
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK].double()
        sums.index_add_(0, numbers[start : start + CHUNK], part)
        squares += float(part.square().sum())
    counts = torch.bincount(numbers, minlength=num_groups)
    return float(sums.square().sum()) - squares, int((counts * (counts - 1)).sum())
