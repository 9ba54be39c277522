"""How many directions a set of vectors uses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise.geometry.rows import checked

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["effective_rank", "singular_values"]

_CHUNK = 8192
"""Rows turned into float64 at a time."""


@torch.no_grad()
def singular_values(x: Float[Tensor, "N D"], *, center: bool = False) -> Float[Tensor, "K"]:
    """Return the singular values of the matrix of vectors, largest first; ``K = min(N, D)``.

    They are the roots of the eigenvalues of the smaller of the two products ``X^T X`` and ``X X^T``, in float64.

    Args:
        x: Vectors, as they are (not normalised here).
        center: Subtract the mean row first; the values are then the standard deviations along the principal axes times
            ``sqrt(N)``, and a direction common to all rows does not count.

    Returns:
        float64 on the CPU. Values below 1e-7 of the largest are rounding and are given as 0; so are all of them where
        centred rows are smaller than 1e-6 of the rows.

    Raises:
        ValueError: Not a matrix, no row, or a row that is not finite.

    Cost: O(min(N, D)^2) memory beside the vectors, O(N D min(N, D)) time.

    Example:
        >>> singular_values(torch.diag(torch.tensor([1.0, 3.0])))
        tensor([3., 1.], dtype=torch.float64)
    """
    rows = checked(x, "singular_values")
    scale = rows.abs().max().double()
    if not scale:
        return torch.zeros(min(rows.shape), dtype=torch.float64)
    mean = rows.mean(dim=0, dtype=torch.float64) if center else torch.zeros_like(rows[0], dtype=torch.float64)
    if len(rows) < rows.shape[1]:
        matrix = (rows.double() - mean) / scale
        gram = matrix @ matrix.T
    else:
        gram = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device)
        for start in range(0, len(rows), _CHUNK):
            matrix = (rows[start : start + _CHUNK].double() - mean) / scale
            gram.addmm_(matrix.T, matrix)
    values = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0.0).sqrt().cpu()
    largest, magnitude = float(values[0]), float(torch.linalg.vector_norm(rows, dtype=torch.float64) / scale)
    # Deviations from the mean row below float32's resolution of the rows themselves are rounding too.
    floor = torch.inf if center and largest < 1e-6 * magnitude else 1e-7 * largest
    return torch.where(values < floor, 0.0, values) * scale.cpu()


def effective_rank(x: Float[Tensor, "N D"], *, center: bool = False) -> float:
    """How many directions the vectors use, as a smooth number.

    ``exp( - sum_k p_k log p_k )`` with ``p_k = s_k / sum_j s_j`` the normalised singular values.

    Args:
        x: Vectors, as they are (not normalised here).
        center: Subtract the mean row first. A direction common to all rows then does not count.

    Returns:
        A number in ``[1, min(N, D)]``: 1 where all rows are multiples of one vector (collapse), ``D`` where all
        directions are used alike. It says something about the encoder only with well more rows than dimensions: ``N``
        rows have at most rank ``N``. Without ``center`` a strong common direction lowers it.

    Raises:
        ValueError: Not a matrix, no row, a row that is not finite, or no variation at all (all zero).

    Cost: As :func:`singular_values`.
    Source: Roy and Vetterli 2007, "The effective rank", EUSIPCO, definition 1; as a sign of collapse: Garrido et al.
        2023, RankMe, arXiv 2210.02885, eq. 1 (there with 1e-7 added to each ``p_k``).

    Example:
        >>> round(effective_rank(torch.eye(4)), 6), round(effective_rank(torch.ones(4, 3)), 6)
        (4.0, 1.0)
    """
    values = singular_values(checked(x, "effective_rank"), center=center)
    total = float(values.sum())
    if total == 0:
        raise ValueError(
            f"effective_rank: all {len(x)} vectors are {'equal' if center else 'zero'}; vectors with some variation "
            "are accepted. The encoder gives the same for every input."
        )
    shares = values[values > 0] / total
    return math.exp(float(-(shares * shares.log()).sum()))
