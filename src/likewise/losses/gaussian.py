"""Objectives of a Gaussian kernel between codes: alignment, uniformity, joint entropy, and attributes that pull.

``|x - y|^2 / (2 t)`` of two vectors is a product of two others, ``[x, -|x|^2 / 2, 1] . [y, 1, -|y|^2 / 2] / -t``. So a
kernel density is a log-sum-exp of the engine, in which the squared norms are a constant of each row and a log-weight of
each column, both with their gradient.

Source: Louiset et al. 2024 (SepCLR), arXiv 2402.11928; alignment and uniformity: Wang, Isola 2020, arXiv 2005.10242.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    from likewise.pairwise import Side

__all__ = ["attribute_alignment", "gaussian_alignment", "gaussian_uniformity", "joint_entropy"]


def gaussian_alignment(
    first: Float[Tensor, "B D"],
    second: Float[Tensor, "B D"],
    *,
    temperature: float,
    counted: Bool[Tensor, "B"] | None = None,
) -> RowLosses:
    """Pull two views of a row together: ``rows[i] = |x_i - y_i|^2 / (2 temperature)``.

    Args:
        first: One view of each row.
        second: The other, or what a row is drawn to.
        temperature: Squared width of the kernel, > 0 (paper: 0.5).
        counted: Which rows count; all where not given.

    Raises:
        ValueError: The shapes differ, or temperature <= 0.

    Example:
        >>> gaussian_alignment(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2), temperature=0.5).values
        tensor([1.])
    """
    _check("gaussian_alignment", temperature, first, second)
    values = (first - second).square().sum(dim=1) / (2 * temperature)
    if counted is None:
        counted = torch.ones_like(values, dtype=torch.bool)
    return RowLosses(torch.where(counted, values, 0.0), counted)


def gaussian_uniformity(x: Float[Tensor, "B D"], *, temperature: float) -> Float[Tensor, ""]:
    """Push all rows apart: ``log mean_{i != j} exp(-|x_i - x_j|^2 / (2 temperature))`` over all processes.

    It is the logarithm of one mean over all pairs, not a mean of the rows' logarithms; at most 0, where all rows are
    equal.

    Args:
        x: The rows of this process; normalised or not.
        temperature: Squared width of the kernel, > 0 (paper: 0.5).

    Returns:
        A scalar, the same on every process; gradients averaged over processes are those of one with all rows.

    Raises:
        ValueError: There is one row in all, or temperature <= 0.

    Cost: O((B + N) D) memory.

    Example:
        >>> gaussian_uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), temperature=0.5)
        tensor(-4.)
    """
    _check("gaussian_uniformity", temperature, x)
    rows, count = _log_sums("gaussian_uniformity", x, temperature, itself=False)
    return distributed.logsumexp_over_processes(rows.logsumexp(dim=0)) - math.log(count * (count - 1))


def joint_entropy(*codes: Float[Tensor, "B D"], temperature: float) -> RowLosses:
    """Return minus a kernel estimate of the joint entropy of several codes of the same rows.

    ``rows[i] = log( (1 / N) sum_j prod_c exp(-|c_i - c_j|^2 / (2 temperature)) )``, the row itself included; lower is
    more entropy, at least ``-log N``. The product over codes is the kernel of the codes put together.

    Args:
        *codes: One or more codes of the rows of this process.
        temperature: Squared width of the kernel, > 0 (paper: 0.5).

    Raises:
        ValueError: The codes have not the same rows, there is one row in all, or temperature <= 0.

    Cost: O((B + N) D) memory, D the length of all codes together.

    Example:
        >>> far = torch.tensor([[0.0], [100.0]])
        >>> joint_entropy(torch.zeros(2, 1), far, temperature=0.5).values  # -log 2
        tensor([-0.6931, -0.6931])
    """
    if len({len(code) for code in codes}) != 1:
        raise ValueError(f"joint_entropy: codes have {[len(code) for code in codes]} rows; they are of the same rows.")
    _check("joint_entropy", temperature, *codes, alike=False)
    rows, count = _log_sums("joint_entropy", torch.cat(codes, dim=1), temperature, itself=True)
    return RowLosses.of(rows - math.log(count))


def attribute_alignment(
    codes: Float[Tensor, "B K"], attributes: Float[Tensor, "B K"], *, width: float, counted: Bool[Tensor, "B"]
) -> RowLosses:
    """Pull rows together, number by number of the code, as far as they are alike in the attribute that it stands for.

    ``rows[i] = (1 / K) sum_k (1 / (n - 1)) sum_{j != i} exp(-(y_ik - y_jk)^2 / (2 width)) (s_ik - s_jk)^2`` over the
    ``n`` rows of all processes that count; the mean over rows is the mean over pairs.

    Args:
        codes: A number of the code for each attribute.
        attributes: Their values; what rows hold that do not count does not matter.
        width: Squared width of the kernel over values, > 0; tiny for values that are equal or not.
        counted: Which rows have attributes.

    Returns:
        The loss of each row; none counts where fewer than two rows have attributes.

    Raises:
        ValueError: Shapes do not agree, a value that counts is not finite, or width <= 0.

    Cost: O((B + N) K) memory, and K numbers a pair of a tile.

    Example:
        >>> codes, values = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[2.0], [2.0], [9.0]])
        >>> attribute_alignment(codes, values, width=1e-5, counted=torch.ones(3, dtype=torch.bool)).values
        tensor([0.5000, 0.5000, 0.0000])
    """
    _check("attribute_alignment", width, codes, attributes)
    if counted.any() and not bool(attributes[counted].isfinite().all()):
        raise ValueError("attribute_alignment: an attribute is not finite; rows without attributes are counted out.")
    values = torch.where(counted[:, None], attributes.detach(), 0.0).to(codes.dtype)
    counts = distributed.row_counts(len(codes))
    keys = distributed.gather_rows(codes, counts=counts)
    others = distributed.gather_rows(values, with_grad=False, counts=counts)
    has = distributed.gather_rows(counted, with_grad=False, counts=counts)

    def pulled(score: Tensor, row: Side, column: Side) -> Tensor:
        alike = (-(row[1] - column[1]).square() / (2 * width)).exp()
        return 0 * score + (alike * (row[0] - column[0]).square()).mean(dim=-1)

    # The score is made of the values themselves: the product is a column of ones that nothing comes of.
    sums = pairwise.sum(
        torch.ones_like(codes[:, :1]), torch.ones_like(keys[:, :1]), value=_itself, score_mod=pulled,
        mask_mod=lambda row, column: row[2] & column[2] & (row.index != column.index),
        rows=(codes, values, counted), columns=(keys, others, has),
        first_row=sum(counts[: distributed.rank()]), precision="fp32",
    )  # fmt: skip
    number = int(has.sum())
    return RowLosses(sums / max(number - 1, 1), counted & (number > 1))


def _log_sums(name: str, x: Tensor, temperature: float, *, itself: bool) -> tuple[Tensor, int]:
    """Return ``log sum_j exp(-|x_i - x_j|^2 / (2 temperature))`` of each row over all processes, and their number."""
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    counts = distributed.row_counts(len(x))
    if sum(counts) < 2:
        raise ValueError(f"{name}: there are {sum(counts)} rows, and rows are told apart; use larger batches.")
    keys = distributed.gather_rows(x, counts=counts)
    centre = keys.detach().mean(dim=0)  # distances stay as they are, and their squares keep their digits
    query, key = x - centre, keys - centre
    rows = pairwise.logsumexp(
        torch.cat([query, -query.square().sum(dim=1, keepdim=True) / 2, torch.ones_like(query[:, :1])], dim=1),
        torch.cat([key, torch.ones_like(key[:, :1]), -key.square().sum(dim=1, keepdim=True) / 2], dim=1),
        scale=1 / temperature,
        mask_mod=None if itself else (lambda row, column: row.index != column.index),
        first_row=sum(counts[: distributed.rank()]),
        precision="fp32",
    )
    return rows, sum(counts)


def _itself(score: Tensor) -> Tensor:
    return score


def _check(name: str, temperature: float, *vectors: Tensor, alike: bool = True) -> None:
    if any(x.ndim != 2 for x in vectors) or (alike and len({x.shape for x in vectors}) != 1):
        shapes = " and ".join(str(list(x.shape)) for x in vectors)
        raise ValueError(f"{name}: got {shapes}; vectors of one shape [B, D] are needed. Use one width for both.")
    if not temperature > 0:
        raise ValueError(f"{name}: the squared width of the kernel is {temperature}; it must be above 0.")
