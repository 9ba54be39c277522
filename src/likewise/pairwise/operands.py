"""The products of a tile: its scores from rows of query and key, and what its gradient gives back to them.

Everything is written into buffers that are made once a pass. A tile costs one product for its scores and one for each
side that receives a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Operands", "make_operands", "operand_values", "operands_are_rounded", "without_autocast"]


def _rounding_is_fast(device: torch.device) -> bool:
    """Tell whether bfloat16 products are fast; elsewhere rounded operands are multiplied in float32."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which products are computed in the dtype of their operands."""
    enabled = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if enabled else nullcontext()


def operands_are_rounded(name: str, precision: str, operands: Sequence[Tensor]) -> bool:
    """Tell whether operands are rounded to bfloat16.

    Args:
        name: Public function, for the message.
        precision: "fp32" never, "bf16" always, "auto" under an autocast to bfloat16 or if all operands are bfloat16.
        operands: All of them; float64 is never rounded.

    Raises:
        ValueError: ``precision`` is none of these, or asks to round float64.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(
            f"{name}: precision is {precision!r}; accepted are 'auto', 'fp32' and 'bf16'. Choose one of them."
        )
    double = any(x.dtype == torch.float64 for x in operands)
    if precision == "bf16" and double:
        raise ValueError(
            f"{name}: precision is 'bf16' but an operand is float64, which stays float64. "
            "Give float32 operands, or leave precision out."
        )
    if precision != "auto":
        return precision == "bf16"
    device = operands[0].device.type
    autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16
    return not double and (autocast or all(x.dtype == torch.bfloat16 for x in operands))


def operand_values(x: Tensor, *, rounded: bool) -> Tensor:
    """Return the values that the engine multiplies for ``x``, in the dtype of its results.

    Args:
        x: An operand.
        rounded: Whether operands are rounded to bfloat16 (:func:`operands_are_rounded`); the gradient passes as it is.
    """
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    if not rounded or x.dtype == torch.bfloat16:
        return wide
    detached = wide.detach()
    return torch.add(wide, detached.bfloat16().to(detached.dtype) - detached)


def make_operands(
    query: Tensor,
    key: Tensor,
    scale: Tensor | float,
    unit: float,
    *,
    dtype: torch.dtype,
    rounded: bool,
    tile: tuple[int, int],
) -> Operands:
    """Return the operands of one factor.

    Args:
        query: ``[N, D]``.
        key: ``[M, D]``.
        scale: Multiplier of the products, scalar or ``[N]``.
        unit: Constant that multiplies the scores on top of the scale.
        dtype: What scores are.
        rounded: Whether to round to bfloat16 before multiplying.
        tile: Rows and columns of the largest tile.
    """
    kind = RoundedOperands if rounded and _rounding_is_fast(query.device) else Operands
    if rounded:
        query, key = query.bfloat16(), key.bfloat16()
    return kind(query, key, scale, unit, dtype, tile)


class Operands:
    """Operands that are multiplied in the dtype of the scores (float32 or float64).

    A scalar scale is a constant of the product; a scale per row multiplies the rows of query when they are loaded.
    """

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        scale: Tensor | float,
        unit: float,
        dtype: torch.dtype,
        tile: tuple[int, int],
    ) -> None:
        self.dtype = dtype
        self.row_scale = scale[:, None] if isinstance(scale, Tensor) and scale.ndim else None
        self.constant = unit * float(scale) if self.row_scale is None else unit
        self.query, self.key = self._convert(query), self._convert(key)
        self._height = min(tile[0], query.shape[0])
        self._width = min(tile[1], key.shape[0])
        self._make_buffers()

    def _convert(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)

    def _make_buffers(self) -> None:
        self._scaled = None if self.row_scale is None else self.query.new_empty(self._height, self.query.shape[1])

    def load(self, rows: slice) -> None:
        """Take the rows of query that the next tiles are made of."""
        self._rows = rows
        self._loaded = self.query[rows]
        if self.row_scale is not None and self._scaled is not None:
            self._loaded = torch.mul(self._loaded, self.row_scale[rows], out=self._scaled[: rows.stop - rows.start])

    def scores(self, columns: slice, out: Float[Tensor, "n m"]) -> None:
        """Write the scaled products of the loaded rows with these columns."""
        torch.addmm(out, self._loaded, self.key[columns].T, beta=0.0, alpha=self.constant, out=out)

    def as_operand(self, weight: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Return the gradient of a tile's scores in the form in which ``pull_query`` and ``pull_key`` take it."""
        return weight

    def pull_query(
        self, weight: Float[Tensor, "n m"], columns: slice, out: Float[Tensor, "n D"], *, first: bool
    ) -> None:
        """Write (``first``) or add ``weight @ key``: what a gradient gives to the loaded rows, but for their scale."""
        if first:
            torch.mm(weight, self.key[columns], out=out)
        else:
            out.addmm_(weight, self.key[columns])

    def pull_key(self, weight: Float[Tensor, "n m"], out: Float[Tensor, "m D"], *, first: bool) -> None:
        """Write (``first``) or add ``weight.T @ query``, with the scale of the rows but not a scalar one."""
        if first:
            torch.mm(weight.T, self._loaded, out=out)
        else:
            out.addmm_(weight.T, self._loaded)

    def largest_score(self) -> float:
        """Return a bound of the magnitude of every score (Cauchy-Schwarz); not finite if an operand is not."""
        query_length = torch.linalg.vector_norm(self.query, dim=1, keepdim=True, dtype=self.dtype)
        if self.row_scale is not None:
            query_length = query_length * self.row_scale
        key_length = torch.linalg.vector_norm(self.key, dim=1, dtype=self.dtype)
        return float(query_length.abs().amax() * key_length.amax()) * abs(self.constant)


class RoundedOperands(Operands):
    """Operands in bfloat16, products accumulated in float32.

    A processor's bfloat16 product rounds its result too, which would cost large scores their last digits. So scores are
    made of two products: the rounded one and what it left over, each accumulated in float32 before it is rounded.
    Together they hold 16 binary digits. Gradients are sums over many pairs, for which one product is enough.
    """

    def _convert(self, x: Tensor) -> Tensor:
        return x

    def _make_buffers(self) -> None:
        super()._make_buffers()
        self._high = self.query.new_empty(self._height * self._width)
        self._low = self.query.new_empty(self._height * self._width)
        self._part = self.query.new_empty(max(self._height, self._width), self.query.shape[1])

    def scores(self, columns: slice, out: Float[Tensor, "n m"]) -> None:
        """Write the scaled products of the loaded rows with these columns."""
        query, key = self.query[self._rows], self.key[columns].T
        high, low = (x[: out.numel()].view(out.shape) for x in (self._high, self._low))
        torch.addmm(high, query, key, beta=0.0, alpha=self.constant, out=high)
        torch.addmm(high, query, key, beta=-1.0, alpha=self.constant, out=low)
        out.copy_(high).add_(low)
        if self.row_scale is not None:
            out.mul_(self.row_scale[self._rows])

    def as_operand(self, weight: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Return the gradient of a tile's scores in the form in which ``pull_query`` and ``pull_key`` take it."""
        return self._high[: weight.numel()].view(weight.shape).copy_(weight)

    def pull_query(
        self, weight: Float[Tensor, "n m"], columns: slice, out: Float[Tensor, "n D"], *, first: bool
    ) -> None:
        """Write (``first``) or add ``weight @ key``: what a gradient gives to the loaded rows, but for their scale."""
        part = torch.mm(weight, self.key[columns], out=self._part[: out.shape[0]])
        out.copy_(part) if first else out.add_(part)

    def pull_key(self, weight: Float[Tensor, "n m"], out: Float[Tensor, "m D"], *, first: bool) -> None:
        """Write (``first``) or add ``weight.T @ query``, with the scale of the rows but not a scalar one."""
        part = torch.mm(weight.T, self._loaded, out=self._part[: out.shape[0]])
        out.copy_(part) if first else out.add_(part)
