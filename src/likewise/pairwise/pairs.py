"""One call of the engine, checked: which pairs there are, what their scores are and how they are cut into tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

from likewise.pairwise.operands import operands_are_rounded
from likewise.pairwise.sides import MaskMod, Precision, ScoreMod, Side, Tile, Vectors

if TYPE_CHECKING:
    from jaxtyping import Bool

__all__ = ["PairOptions", "Pairs", "blocks"]

_TILE = {"cpu": (1024, 1024)}
"""Rows and columns of a tile by device: what stays in a processor's caches while it is worked on."""
_TILE_ELSEWHERE = (4096, 8192)


class PairOptions(TypedDict, total=False):
    """What the score of a pair is, which pairs count, and how the work is done: options of every reduction.

    The score of row i of query and row j of key is ``score_mod(scale_i * <query_i, key_j>, row, column)``, where row
    and column give the functions what :class:`Side` says. Functions are elementwise and broadcasting, do not change
    their arguments in place, and are called once a tile.
    """

    scale: float | Tensor
    """Multiplier of the products, 1 / temperature: a number, a scalar tensor or one per row ``[N]``; tensors receive a
    gradient (default: 1). With several factors it multiplies the first."""

    score_mod: ScoreMod | None
    """``score_mod(score, row, column) -> score``; with several factors ``score`` is a tuple of one product each."""

    mask_mod: MaskMod | None
    """``mask_mod(row, column) -> bool``, True where the pair counts."""

    rows: Sequence[Tensor]
    """Tensors ``[N, *axes]`` seen as ``row[0]``, ``row[1]``, ...; those that require a gradient receive it."""

    columns: Sequence[Tensor]
    """Tensors ``[M, *axes]`` seen as ``column[0]``, ``column[1]``, ...; likewise."""

    parameters: Sequence[Tensor]
    """Tensors of any shape that the functions use whole, from outside, and that shall receive a gradient."""

    first_row: int
    """What ``row.index`` starts from: number of the first row where rows are spread over processes (default: 0)."""

    first_column: int
    """What ``column.index`` starts from (default: 0)."""

    precision: Precision
    """"fp32" multiplies operands as they are, "bf16" rounds them and accumulates in float32, "auto" (default) rounds
    under an autocast to bfloat16 and where all operands are bfloat16."""

    tile: Tile | None
    """Rows and columns of a tile; None (default) chooses by device. Results are equal but for rounding."""


def blocks(total: int, size: int) -> Iterator[slice]:
    """Cut ``[0, total)`` into slices of ``size``; the last may be shorter."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


@dataclass(frozen=True)
class Pairs:
    """All pairs of the rows of ``queries`` with the rows of ``keys``.

    Args:
        name: Public function that was called, for messages.
        queries: Factors ``[N, D_f]``, at least one.
        keys: Factors ``[M, D_f]``, as many.
        scale: Multiplier of the first factor's product: a number, a scalar tensor, or one per row ``[N]``.
        score_mod: Applied to the score of every tile, or None.
        mask_mod: Says which pairs count, or None where all do.
        rows: Tensors ``[N, ...]`` that the two functions see.
        columns: Tensors ``[M, ...]`` that the two functions see.
        parameters: Tensors that functions of scores use whole.
        first_row: What ``row.index`` starts from.
        first_column: What ``column.index`` starts from.
        dtype: What scores and results are: float32, or float64 for float64 operands.
        rounded: Whether operands are rounded to bfloat16.
        tile: Rows and columns of a tile.
    """

    name: str
    queries: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    scale: Tensor | float
    score_mod: ScoreMod | None
    mask_mod: MaskMod | None
    rows: tuple[Tensor, ...]
    columns: tuple[Tensor, ...]
    parameters: tuple[Tensor, ...]
    first_row: int
    first_column: int
    dtype: torch.dtype
    rounded: bool
    tile: tuple[int, int]

    @classmethod
    def of(
        cls,
        name: str,
        query: Vectors,
        key: Vectors,
        *,
        scale: float | Tensor = 1.0,
        score_mod: ScoreMod | None = None,
        mask_mod: MaskMod | None = None,
        rows: Sequence[Tensor] = (),
        columns: Sequence[Tensor] = (),
        parameters: Sequence[Tensor] = (),
        first_row: int = 0,
        first_column: int = 0,
        precision: Precision = "auto",
        tile: Tile | None = None,
    ) -> Pairs:
        """Check the arguments of a public function; they are described in ``PairOptions``.

        Raises:
            TypeError: An operand is not a floating tensor.
            ValueError: Shapes, devices or settings do not go together.
        """
        queries = (query,) if isinstance(query, Tensor) else tuple(query)
        keys = (key,) if isinstance(key, Tensor) else tuple(key)
        _check_factors(name, queries, keys, score_mod)
        dtype = torch.float64 if any(x.dtype == torch.float64 for x in (*queries, *keys)) else torch.float32
        num_rows, num_columns = queries[0].shape[0], keys[0].shape[0]
        device = queries[0].device
        if isinstance(scale, Tensor):
            scale = scale.to(device=device, dtype=dtype)
        if isinstance(scale, Tensor) and scale.shape not in ((), (num_rows,)):
            raise ValueError(
                f"{name}: scale is {list(scale.shape)} for {num_rows} rows of query; it is a number, a scalar tensor, "
                "or one value per row [N]. Give one of these."
            )
        _check_tensors(name, "rows", rows, num_rows)
        _check_tensors(name, "columns", columns, num_columns)
        return cls(
            name=name,
            queries=queries,
            keys=keys,
            scale=scale,
            score_mod=score_mod,
            mask_mod=mask_mod,
            rows=tuple(rows),
            columns=tuple(columns),
            parameters=tuple(parameters),
            first_row=first_row,
            first_column=first_column,
            dtype=dtype,
            rounded=operands_are_rounded(name, precision, (*queries, *keys)),
            tile=_tile(name, tile, device),
        )

    @property
    def num_rows(self) -> int:
        """Rows of query, ``N``."""
        return self.queries[0].shape[0]

    @property
    def num_columns(self) -> int:
        """Rows of key, ``M``."""
        return self.keys[0].shape[0]

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.queries[0].device

    def new_empty(self, *shape: int) -> Tensor:
        """Return an uninitialised tensor of the dtype of results."""
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def modify(self, scores: Sequence[Tensor], row: Side, column: Side) -> Tensor:
        """Return the score of every pair of a tile, made of one product a factor."""
        if self.score_mod is None:
            return scores[0]
        score = self.score_mod(scores[0] if len(scores) == 1 else tuple(scores), row, column)
        if score.shape != scores[0].shape:
            raise ValueError(
                f"{self.name}: score_mod returned {list(score.shape)} for a tile of {list(scores[0].shape)}; it is "
                "elementwise. Broadcast row and column tensors against the score."
            )
        return score

    def row_blocks(self) -> Iterator[slice]:
        """Cut the rows of query into the heights of tiles."""
        return blocks(self.num_rows, self.tile[0])

    def column_blocks(self) -> Iterator[slice]:
        """Cut the rows of key into the widths of tiles."""
        return blocks(self.num_columns, self.tile[1])

    def row_side(self, rows: slice) -> Side:
        """What the functions see of these rows."""
        index = torch.arange(rows.start + self.first_row, rows.stop + self.first_row, device=self.device)
        return Side(index[:, None], tuple(x[rows].unsqueeze(1) for x in self.rows))

    def column_side(self, columns: slice) -> Side:
        """What the functions see of these columns."""
        index = torch.arange(columns.start + self.first_column, columns.stop + self.first_column, device=self.device)
        return Side(index[None, :], tuple(x[columns].unsqueeze(0) for x in self.columns))

    def left_out(self, rows: slice, columns: slice) -> Bool[Tensor, "n m"] | None:
        """Return which pairs of a tile do not count; None where all do."""
        if self.mask_mod is None:
            return None
        counts = self.mask_mod(self.row_side(rows), self.column_side(columns))
        if counts.dtype != torch.bool:
            raise TypeError(
                f"{self.name}: mask_mod returned {counts.dtype}; it returns bool, True where the pair counts. "
                "Compare instead of multiplying."
            )
        return counts.logical_not()


def _check_factors(
    name: str, queries: tuple[Tensor, ...], keys: tuple[Tensor, ...], score_mod: ScoreMod | None
) -> None:
    if len(queries) != len(keys) or not queries:
        raise ValueError(
            f"{name}: query has {len(queries)} factors but key has {len(keys)}; every product needs both. "
            "Give tuples of equal length."
        )
    if len(queries) > 1 and score_mod is None:
        raise ValueError(
            f"{name}: query and key have {len(queries)} factors but there is no score_mod; it makes one score of their "
            "products. Give a score_mod, or one tensor each."
        )
    for query, key in zip(queries, keys, strict=True):
        for side, x in (("query", query), ("key", key)):
            if x.ndim != 2 or not x.is_floating_point():
                raise TypeError(
                    f"{name}: {side} is {x.dtype} {list(x.shape)}; it is a floating tensor of two axes [rows, D]. "
                    "Flatten other axes first."
                )
        if query.shape[1] != key.shape[1]:
            raise ValueError(
                f"{name}: query is {list(query.shape)} but key is {list(key.shape)}; the last axes must agree. "
                "Use one projector width for both towers."
            )
        if query.shape[0] != queries[0].shape[0] or key.shape[0] != keys[0].shape[0]:
            raise ValueError(
                f"{name}: a factor is {list(query.shape)} against {list(key.shape)} where the first is "
                f"{list(queries[0].shape)} against {list(keys[0].shape)}; all factors have the same rows. "
                "Repeat what is shared."
            )
        if query.device != queries[0].device or key.device != queries[0].device:
            raise ValueError(
                f"{name}: query is on {query.device} but key is on {key.device}; both must be on one device. "
                "Move one of them."
            )


def _check_tensors(name: str, argument: str, tensors: Sequence[Tensor], expected: int) -> None:
    for position, x in enumerate(tensors):
        if x.ndim == 0 or x.shape[0] != expected:
            raise ValueError(
                f"{name}: {argument}[{position}] is {list(x.shape)} for {expected} {argument}; its first axis must be "
                f"{expected}. Give one entry for each of the {argument}."
            )


def _tile(name: str, tile: Tile | None, device: torch.device) -> tuple[int, int]:
    if tile is None:
        return _TILE.get(device.type, _TILE_ELSEWHERE)
    height, width = (tile, tile) if isinstance(tile, int) else tile
    if height < 1 or width < 1:
        raise ValueError(f"{name}: tile is {tile}; rows and columns are >= 1. Leave it out to have it chosen.")
    return height, width
