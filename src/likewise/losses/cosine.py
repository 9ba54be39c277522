"""Two terms on the sphere: rows are drawn to targets by their cosine, and pushed apart by the log of a mean kernel.

Source: Poulakakis-Daktylidis, Jamali-Rad 2024 (BECLR), arXiv 2402.02444, section 4.1; the second term as in Lu et al.
2022 (UniSiam), arXiv 2206.04575, and Wang, Isola 2020, arXiv 2005.10242.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.losses.checks import check_temperature
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise import Side

__all__ = ["cosine_alignment", "cosine_uniformity"]

_CONSTANT = -1
"""What stands for the identity of a constant, which is like no row's."""
_ROW = -2
"""What stands for the place of a row among the constants."""


def cosine_alignment(rows: Float[Tensor, "B D"], targets: Float[Tensor, "B T D"]) -> RowLosses:
    """Draw each row to its own targets: ``rows[i] = -mean_t rows_i . targets_it``.

    Args:
        rows: Unit norm.
        targets: One or more for each row, unit norm; constants.

    Returns:
        A number in [-1, 1] for each row, -1 where row and targets are equal; all rows count.

    Raises:
        ValueError: The shapes do not go together, or a row has no target.

    Source: BECLR, the positive term (there with one target a row); Grill et al. 2020 (BYOL), arXiv 2006.07733, eq. 2.

    Example:
        >>> both = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> cosine_alignment(torch.tensor([[1.0, 0.0]]), both).values
        tensor([-0.5000])
    """
    if targets.ndim != 3 or not targets.shape[1] or rows.shape != (len(targets), targets.shape[2]):
        raise ValueError(
            f"cosine_alignment: rows is {list(rows.shape)} and targets {list(targets.shape)}; [B, D] and [B, T, D] "
            "with one target or more a row are needed."
        )
    wide = torch.promote_types(rows.dtype, torch.float32)
    middle = targets.detach().to(wide).mean(dim=1)
    return RowLosses.of(-torch.linalg.vecdot(rows.to(wide), middle))


def cosine_uniformity(
    rows: Float[Tensor, "B D"],
    identity: Int[Tensor, "B"],
    *,
    temperature: float,
    constants: Float[Tensor, "U D"] | None = None,
    own: Int[Tensor, "B K"] | None = None,
) -> Float[Tensor, ""]:
    """Push rows apart that are not of one kind: ``log mean exp(z_i . z_j / temperature)`` over such pairs.

    The pairs are those of rows of all processes with different ``identity``, in both orders, and of each row with each
    constant that is not its own. It is the logarithm of one mean over all pairs, not a mean of the rows' logarithms:
    rows that are near many others get most of the gradient.

    Without constants and with an identity for each row it is :func:`likewise.losses.gaussian_uniformity` of unit
    vectors ``+ 1 / temperature``.

    Args:
        rows: Rows of this process, unit norm; those without a gradient are pushed from, and do not move.
        identity: What a row is a view of, >= 0, the same on all processes; equal ones are no pair.
        temperature: Divisor of the products, > 0 (BECLR: 2).
        constants: Further vectors that rows are pushed from, unit norm, the same on every process.
        own: Which constants a row is not pushed from: places in ``constants``, one may stand there twice.

    Returns:
        A scalar, the same on every process, in [-1 / temperature, 1 / temperature]; the upper end where all are equal.
        Gradients averaged over processes are those of one with all rows.

    Raises:
        ValueError: There is no pair, shapes do not agree, or temperature <= 0.

    Cost: O((B + N + U) D) memory, and ``K`` comparisons for each pair of a tile.
    Source: BECLR, arXiv 2402.02444, the negative term, where two views of a row are the only ones of one kind.

    Example:
        >>> cosine_uniformity(torch.eye(2), torch.tensor([0, 1]), temperature=2.0)  # log exp(0)
        tensor(0.)
    """
    _check(rows, identity, temperature, constants, own)
    if constants is None:
        constants = rows.new_zeros(0, rows.shape[1])
    if own is None:
        own = identity.new_zeros(len(rows), 0)
    counts = distributed.row_counts(len(rows))
    keys = distributed.gather_rows(rows, counts=counts)
    identities = distributed.gather_rows(identity, with_grad=False, counts=counts)
    each = pairwise.logsumexp(
        rows, torch.cat([keys, constants.detach().to(keys.dtype)]), scale=1 / temperature, mask_mod=_apart,
        rows=(identity, own),
        columns=(
            torch.cat([identities, identity.new_full((len(constants),), _CONSTANT)]),
            torch.cat([torch.full_like(identities, _ROW), torch.arange(len(constants), device=rows.device)]),
        ),
    )  # fmt: skip
    alike = identities.unique(return_counts=True)[1].square().sum()
    kept = distributed.sum_over_processes(len(rows) * len(constants) - _different(own))
    pairs = int(len(keys) ** 2 - alike + kept)
    if not pairs:
        raise ValueError(
            f"cosine_uniformity: the {len(keys)} rows are all of one kind, so nothing is pushed apart; at least two "
            "kinds are needed. Use larger batches."
        )
    return distributed.logsumexp_over_processes(each.logsumexp(dim=0)) - math.log(pairs)


def _apart(row: Side, column: Side) -> Tensor:
    """Rows of other kinds, and constants that are not the row's own."""
    return (row[0] != column[0]) & ~(row[1] == column[1][..., None]).any(dim=-1)


def _different(own: Int[Tensor, "B K"]) -> Int[Tensor, ""]:
    """Count the different places of each row, and add them up."""
    if not own.shape[1]:
        return own.sum()
    return (own.sort(dim=1).values.diff(dim=1) != 0).sum() + len(own)


def _check(rows: Tensor, identity: Tensor, temperature: float, constants: Tensor | None, own: Tensor | None) -> None:
    check_temperature("cosine_uniformity", temperature, usual="0.5 to 2")
    if rows.ndim != 2 or identity.shape != rows.shape[:1]:
        raise ValueError(
            f"cosine_uniformity: rows is {list(rows.shape)} and identity {list(identity.shape)}; [B, D] and [B] are "
            "needed."
        )
    if (own is not None) and (constants is None or own.ndim != 2 or len(own) != len(rows)):
        raise ValueError(
            f"cosine_uniformity: own is {list(own.shape)} for {len(rows)} rows; it is [B, K], places in the constants, "
            "which are needed too."
        )
