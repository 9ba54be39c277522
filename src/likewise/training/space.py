"""Rows of a table whose vectors show what a space is like, drawn once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from likewise.geometry import Geometry, describe

if TYPE_CHECKING:
    from likewise.data import StreamedTable, Table
    from likewise.data.columns import Row
    from likewise.encoders import Embedder
    from likewise.encoders.embedder import Role

__all__ = ["Space", "space_of"]

Space = Callable[[float | None], Geometry]
"""Describes the space as it is now, at a temperature where there is one."""


def space_of(
    embedder: Callable[[], Embedder],
    table: Table | StreamedTable,
    columns: Sequence[str],
    *,
    roles: Mapping[str, Role],
    rows: int,
    seed: int,
    label: str | None = None,
    encoding: Mapping[str, Any] | None = None,
) -> Space:
    """Draw rows and return what describes their vectors.

    Args:
        embedder: Gives what is trained, as it is now.
        table: Where rows come from. Of a streamed table the first rows are taken: it has no others at hand.
        columns: One column, or a pair of which the second holds the positive of the first. Rows without a value in one
            of them are passed over.
        roles: On which side a column is encoded, where the encoder treats them differently.
        rows: How many rows at most.
        seed: Seed of the draw.
        label: A column that holds the class of a row.
        encoding: Further arguments of ``encode``.
    """
    drawn = _drawn(table, rows, seed)
    needed = [*columns, *([label] if label is not None else [])]
    whole = [row for row in drawn if all(row[column] not in (None, []) for column in needed)]
    labels = None if label is None else [row[label] for row in whole]
    inputs = {column: [_one(row[column]) for row in whole] for column in columns}
    first = inputs[columns[0]]
    texts = first if all(isinstance(value, str) for value in first) else None

    def describe_now(temperature: float | None) -> Geometry:
        model = embedder()
        sides = [model.encode(given, role=roles.get(column), **(encoding or {})) for column, given in inputs.items()]
        return describe(*sides, labels=labels, texts=texts, temperature=temperature, max_rows=rows, seed=seed)

    return describe_now


def _drawn(table: Table | StreamedTable, rows: int, seed: int) -> list[Row]:
    if table.streaming:
        return list(itertools.islice(table.stream(), rows))
    chosen = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))[:rows]
    return table.rows(chosen.sort().values.tolist())


def _one(value: Any) -> Any:
    """Return the value, or the first of them in a column that holds several."""
    return value[0] if isinstance(value, list) else value
