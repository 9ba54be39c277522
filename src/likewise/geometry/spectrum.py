"""How many directions a set of vectors uses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise.geometry.rows import CHUNK, checked

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Spectrum", "channel_correlation", "effective_rank", "singular_values", "spectrum"]

DEAD = 1e-5
"""Share of the mean square below which the variance of a direction counts as none. Numbers in bfloat16 are rounded by
up to 2^-9 of their size, which leaves 1.3e-6 of the mean square in a direction that the encoder does not use; the
weakest directions that sentence encoders use have 1e-4 and more."""


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
        for start in range(0, len(rows), CHUNK):
            matrix = (rows[start : start + CHUNK].double() - mean) / scale
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
    return _effective(values)


def _effective(values: Float[Tensor, "K"]) -> float:
    shares = values[values > 0] / values.sum()
    return math.exp(float(-(shares * shares.log()).sum()))


@torch.no_grad()
def channel_correlation(x: Float[Tensor, "N D"]) -> float:
    """How much two channels of the vectors say the same: the mean of ``|rho|`` over all pairs of channels.

    ``rho`` is Pearson's correlation over the rows. Channels that do not vary are left out.

    Args:
        x: Vectors, as they are (not normalised here).

    Returns:
        A number in [0, 1]; 0: white. ``N`` rows of independent channels have about ``sqrt(2 / (pi N))``, so compare at
        the same number of rows. Unlike :func:`effective_rank` it depends on the axes of the space.

    Raises:
        ValueError: Not a matrix, fewer than two rows, a row that is not finite, or fewer than two channels that vary.

    Cost: O(D^2) memory, O(N D^2) time.

    Example:
        >>> channel_correlation(torch.tensor([[1.0, 1.0], [2.0, 4.0], [3.0, 7.0]]))
        1.0
    """
    rows = checked(x, "channel_correlation", at_least=2)
    mean = rows.mean(dim=0, dtype=torch.float64)
    products = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device)
    for start in range(0, len(rows), CHUNK):
        centred = rows[start : start + CHUNK].double() - mean
        products.addmm_(centred.T, centred)
    varies = products.diagonal() > (1e-6 * rows.abs().amax(dim=0).double()) ** 2 * len(rows)  # else it is rounding
    if varies.sum() < 2:
        raise ValueError(
            f"channel_correlation: {int(varies.sum())} of the {rows.shape[1]} channels vary; two make a pair. Give "
            "vectors of different things."
        )
    products = products[varies][:, varies]
    spread = products.diagonal().sqrt()
    correlations = (products / spread / spread[:, None]).abs()
    pairs = len(spread) * (len(spread) - 1)
    return float((correlations.sum() - correlations.diagonal().sum()) / pairs)


@dataclass(frozen=True)
class Spectrum:
    """The directions in which vectors vary, the strongest first.

    Args:
        values: Singular values as shares of the largest, in [0, 1], ``min(N, D)`` of them; all 0 without variation.
        explained: Share of the variance along the first, the first two, ... of them, rising to 1; 0 without variation.
        effective_rank: As :func:`effective_rank` of the centred rows; 0 without variation.
        dead_dimensions: How many of the ``min(N - 1, D)`` directions that centred rows can use have no variance: less
            than 1e-5 of the mean square.
    """

    values: list[float]
    explained: list[float]
    effective_rank: float
    dead_dimensions: int

    def dimensions_for(self, share: float) -> int:
        """Return how many of the strongest directions hold at least this share of the variance; 0 without variation."""
        enough = [number for number, explained in enumerate(self.explained, 1) if explained >= share - 1e-12]
        return enough[0] if enough else 0


@torch.no_grad()
def spectrum(x: Float[Tensor, "N D"]) -> Spectrum:
    """How the variance of vectors is spread over directions: complete and dimensional collapse show here.

    The singular values ``s_k`` of the centred rows; ``values[k] = s_k / s_1`` and
    ``explained[k] = sum_{j <= k} s_j^2 / sum_j s_j^2``. A direction is dead where
    ``s_k^2 < 1e-5 * sum_i ||x_i||^2 / min(N - 1, D)``, which is what rounding of the vectors can leave there.

    Args:
        x: Vectors, as they are (not normalised here).

    Returns:
        The :class:`Spectrum`. It does not change with order, scale or rotation. With fewer rows than about twice the
        dimensions its end tells of the sample rather than of the encoder.

    Raises:
        ValueError: Not a matrix, fewer than two rows, or a row that is not finite.

    Cost: As :func:`singular_values`.
    Source: the spectrum as a sign of dimensional collapse: Jing et al. 2022, "Understanding Dimensional Collapse in
        Contrastive Self-supervised Learning", arXiv 2110.09348. The floor of dead directions is ours.

    Example:
        >>> found = spectrum(torch.tensor([[2.0, 0.0, 5.0], [-2.0, 0.0, 5.0], [0.0, 1.0, 5.0], [0.0, -1.0, 5.0]]))
        >>> [round(value, 6) for value in found.values], found.dead_dimensions, found.dimensions_for(0.9)
        ([1.0, 0.5, 0.0], 1, 2)
    """
    rows = checked(x, "spectrum", at_least=2)
    values = singular_values(rows, center=True)
    usable = min(len(rows) - 1, rows.shape[1])
    variances = values.square()
    total = float(variances.sum())
    if total == 0:
        nothing = [0.0] * len(values)
        return Spectrum(values=nothing, explained=nothing, effective_rank=0.0, dead_dimensions=usable)
    squares = float(torch.linalg.vector_norm(rows, dtype=torch.float64)) ** 2
    alive = int((variances >= DEAD * squares / usable).sum())
    return Spectrum(
        values=(values / values[0]).tolist(),
        explained=(variances.cumsum(0) / total).clamp_max(1.0).tolist(),
        effective_rank=_effective(values),
        dead_dimensions=max(0, usable - alive),
    )
