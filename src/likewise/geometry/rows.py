"""What every figure of geometry asks of the vectors it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from likewise.pairwise import Side

__all__ = ["CHUNK", "checked", "grouped", "other_row", "sample_index", "sampled", "unit_pair", "unit_rows"]

CHUNK = 8192
"""Rows turned into float64 at a time."""


def checked(embeddings: Float[Tensor, "N D"], caller: str, *, at_least: int = 1) -> Float[Tensor, "N D"]:
    """Return the embeddings as floating point without their graph, after checking their shape and values.

    Args:
        embeddings: One vector a row.
        caller: Function named in messages.
        at_least: Fewest rows accepted.

    Returns:
        ``[N, D]``: float64 stays float64, anything else becomes float32.

    Raises:
        ValueError: Not a matrix, too few rows, or a value that is not finite (the row is named).
    """
    if embeddings.ndim != 2 or not embeddings.shape[1]:
        raise ValueError(
            f"{caller}: the embeddings have shape {list(embeddings.shape)}; a matrix [rows, dimensions] is accepted. "
            "Give one vector a row."
        )
    if len(embeddings) < at_least:
        rows = f"{len(embeddings)} row{'' if len(embeddings) == 1 else 's'}"
        raise ValueError(f"{caller}: {rows} given; at least {at_least} are needed. Give more vectors.")
    rows_ = embeddings.detach().to(torch.float64 if embeddings.dtype == torch.float64 else torch.float32)
    bad = (~torch.isfinite(rows_).all(dim=1)).nonzero()
    if len(bad):
        raise ValueError(
            f"{caller}: row {int(bad[0])} holds a value that is not finite ({len(bad)} of {len(rows_)} rows do); "
            "finite numbers are accepted. Look at the input of that row."
        )
    return rows_


def unit_rows(embeddings: Float[Tensor, "N D"], caller: str, *, at_least: int = 1) -> Float[Tensor, "N D"]:
    """Return the embeddings on the unit sphere, after the checks of :func:`checked`.

    Raises:
        ValueError: As :func:`checked`, and for a row of zeros, which has no direction.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0]]), "example")
        tensor([[0.6000, 0.8000]])
    """
    rows = checked(embeddings, caller, at_least=at_least)
    unit = torch.empty_like(rows)
    for start in range(0, len(rows), CHUNK):  # one copy of the rows, and no more
        part = rows[start : start + CHUNK]
        largest = part.abs().amax(dim=1, keepdim=True)
        if not largest.all():
            raise ValueError(
                f"{caller}: row {start + int((largest[:, 0] == 0).nonzero()[0])} is all zeros and has no direction; "
                "vectors other than zero are accepted. Look at the input of that row."
            )
        part = part / largest  # squares of very large or very small numbers would leave the range of float32
        unit[start : start + CHUNK] = torch.nn.functional.normalize(part, dim=1)
    return unit


def unit_pair(
    x: Float[Tensor, "N D"], y: Float[Tensor, "N D"], caller: str, *, at_least: int = 1
) -> tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]]:
    """Return both sides of positive pairs on the unit sphere, after checking that they go together."""
    if x.shape != y.shape:
        raise ValueError(
            f"{caller}: x is {list(x.shape)} but y is {list(y.shape)}; row i of both is one positive pair, so the "
            "shapes must agree. Give as many vectors on either side, of one length."
        )
    return unit_rows(x, caller, at_least=at_least), unit_rows(y, caller, at_least=at_least)


def sample_index(count: int, max_rows: int | None, seed: int) -> Int[Tensor, "n"]:
    """Return the numbers of ``max_rows`` of ``count`` rows, drawn without replacement, rising; all if no more."""
    if max_rows is None or count <= max_rows:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:max_rows].sort().values


def sampled(embeddings: Float[Tensor, "N D"], max_rows: int | None, seed: int) -> Float[Tensor, "n D"]:
    """Return ``max_rows`` rows drawn without replacement in their order, or all where there are no more."""
    if max_rows is None or len(embeddings) <= max_rows:
        return embeddings
    return embeddings[sample_index(len(embeddings), max_rows, seed).to(embeddings.device)]


def grouped(labels: Tensor | Sequence[Any], count: int, caller: str) -> tuple[Int[Tensor, "N"], list[Any]]:
    """Return the group of each row as a number, and the name of each group, in the order of first appearance.

    Args:
        labels: What is equal within a group, one a row: integers, texts, anything that can be told apart.
        count: Number of rows.
        caller: Function named in messages.

    Raises:
        ValueError: There are not as many labels as rows.
    """
    names = labels.tolist() if isinstance(labels, Tensor) else list(labels)
    if len(names) != count:
        raise ValueError(
            f"{caller}: {len(names)} labels for {count} rows; one a row is accepted. Give every row its label."
        )
    places = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([places[name] for name in names], dtype=torch.int64), list(places)


def other_row(row: Side, column: Side) -> Bool[Tensor, "n m"]:
    """Count every pair but that of a row with itself (or with its own positive)."""
    return row.index != column.index
