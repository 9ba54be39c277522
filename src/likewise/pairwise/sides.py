"""What a ``score_mod`` and a ``mask_mod`` see of the rows and of the columns of one tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

__all__ = ["MaskMod", "Over", "Precision", "Score", "ScoreMod", "Side", "Tile", "Vectors"]

Over = Literal["keys", "queries", "both"]
"""What is reduced away: ``keys`` leaves one value a row of query, ``queries`` one a row of key."""

Precision = Literal["auto", "fp32", "bf16"]
"""How operands are multiplied; accumulation is never below float32."""

Tile = int | tuple[int, int]
"""Rows and columns of a tile, or one number for both."""

Vectors = Tensor | tuple[Tensor, ...]
"""``[N, D]``, or factors ``[N, D1]``, ``[N, D2]``, ... where a score is made of several products."""

Score = Tensor | tuple[Tensor, ...]
"""The scores of one tile ``[n, m]``, or one such tensor a factor."""


@dataclass(frozen=True)
class Side:
    """The rows, or the columns, of one tile of pairs.

    Everything is shaped to broadcast against the scores ``[n, m]`` of the tile. Of the rows, ``index`` is ``[n, 1]``
    and a tensor ``[N, *axes]`` given in ``rows=`` is seen as ``[n, 1, *axes]``; of the columns, ``index`` is ``[1, m]``
    and a tensor ``[M, *axes]`` given in ``columns=`` is seen as ``[1, m, *axes]``.

    Args:
        index: Number of each row (column) among all of them, int64.
        tensors: The tile's part of each tensor given; ``side[0]`` is the first.
    """

    index: Tensor
    tensors: tuple[Tensor, ...]

    def __getitem__(self, position: int) -> Tensor:
        return self.tensors[position]


ScoreMod = Callable[[Any, Side, Side], Tensor]
"""``score_mod(score, row, column) -> score``: elementwise and broadcasting; differentiated where that is needed."""

MaskMod = Callable[[Side, Side], Tensor]
"""``mask_mod(row, column) -> bool``: True where the pair counts; broadcasts to ``[n, m]``."""
