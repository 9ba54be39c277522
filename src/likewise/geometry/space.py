"""The rows whose vectors show what a space is like, drawn once: from a user's file, or from what is trained on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from likewise.data import Column, Image, Label, StreamedTable, Table, Text, open_table
from likewise.errors import InputError, nearest
from likewise.geometry.description import Geometry, describe

if TYPE_CHECKING:
    from pathlib import Path

    from likewise.data.columns import Row
    from likewise.encoders import Embedder
    from likewise.encoders.embedder import Role

__all__ = ["FEWEST_ROWS", "SPACE_COLUMNS", "SpaceRows", "open_space"]

FEWEST_ROWS = 10
"""Rows below which no figure says anything."""

SPACE_COLUMNS = (
    Column("text", Text, required=False, all_or_none=True, help="what is embedded; or query and positive"),
    Column("image", Image, required=False, all_or_none=True, help="a picture that is embedded, instead of a text"),
    Column("query", Text, required=False, all_or_none=True, help="what is looked up"),
    Column("positive", Text, required=False, all_or_none=True, many=True, help="what answers it"),
    Column("label", Label, required=False, all_or_none=True, help="the class of the text"),
)
"""What a row of a user's file may bring; ``text``, ``image``, or ``query`` and ``positive``, is needed."""


@dataclass(frozen=True)
class SpaceRows:
    """Rows whose vectors are looked at.

    Args:
        name: What messages call them.
        fingerprint: Digest of the table, of the columns and of the draw.
        inputs: What is embedded, by column: one column, or a pair of which the second holds the positive of the first.
        roles: On which side a column is encoded, where the encoder treats them differently.
        labels: The class of each row; None where there are none.
        seed: Seed of the draw, and of what :func:`describe` draws.
    """

    name: str
    fingerprint: str
    inputs: Mapping[str, Sequence[Any]]
    roles: Mapping[str, Role]
    labels: Sequence[str] | None
    seed: int = 0

    @classmethod
    def draw(
        cls,
        table: Table | StreamedTable,
        columns: Sequence[str],
        *,
        roles: Mapping[str, Role],
        rows: int,
        seed: int,
        label: str | None = None,
    ) -> SpaceRows:
        """Draw rows of a table, in their order.

        Args:
            table: Where rows come from. Of a streamed table the first rows are taken: it has no others at hand.
            columns: One column, or a pair of which the second holds the positive of the first. Rows without a value in
                one of them are passed over; of a list of values the first is taken.
            roles: On which side a column is encoded.
            rows: How many rows at most.
            seed: Seed of the draw.
            label: A column that holds the class of a row.
        """
        needed = [*columns, *([label] if label is not None else [])]
        drawn = _drawn(table, rows, seed)
        whole = [row for row in drawn if all(row[column] not in (None, []) for column in needed)]
        return cls(
            table.name,
            f"{table.fingerprint} {' '.join(needed)} {rows} {seed}",
            {column: [_one(row[column]) for row in whole] for column in columns},
            roles,
            None if label is None else [row[label] for row in whole],
            seed,
        )

    def __len__(self) -> int:
        return len(self.first)

    @property
    def first(self) -> Sequence[Any]:
        """What is embedded of each row."""
        return next(iter(self.inputs.values()))

    @property
    def positives(self) -> Sequence[Any]:
        """The positive of each row; empty where rows have none."""
        return list(self.inputs.values())[1] if len(self.inputs) > 1 else ()

    def encode(self, embedder: Embedder, **options: Any) -> tuple[Tensor, ...]:
        """Return the vectors of each column ``[N, D]``; ``options`` are further arguments of ``encode``."""
        return tuple(
            embedder.encode(given, role=self.roles.get(column), **options) for column, given in self.inputs.items()
        )

    def described(self, *sides: Tensor, temperature: float | None = None) -> Geometry:
        """Describe the vectors that :meth:`encode` returned.

        Args:
            *sides: Vectors of each column.
            temperature: Temperature that the figures of negatives hold for; None leaves them out.
        """
        texts = self.first if all(isinstance(value, str) for value in self.first) else None
        return describe(*sides, labels=self.labels, texts=texts, temperature=temperature, max_rows=None, seed=self.seed)


def open_space(
    source: str | Path | Table,
    *,
    rename: Mapping[str, str] | None = None,
    bad_rows: Literal["error", "skip"] = "error",
    rows: int = 10_000,
    seed: int = 0,
) -> SpaceRows:
    """Open the rows of a user's file whose vectors are to be looked at.

    Args:
        source: Anything that ``open_table`` reads, with the columns :data:`SPACE_COLUMNS`.
        rename: The source's name of a column by ours.
        bad_rows: "error" refuses the first row that cannot be used; "skip" leaves such rows out.
        rows: Rows looked at; drawn where there are more.
        seed: Seed of the draw.

    Raises:
        InputError: There is neither a text nor a query with its positive, or there are too few rows.
    """
    if rows < FEWEST_ROWS:
        raise InputError(f"--max-rows is {rows}; it must be at least {FEWEST_ROWS}.")
    table = open_table(source, columns=SPACE_COLUMNS, rename=rename, bad_rows=bad_rows)
    names = table.column_names
    columns: tuple[str, ...] = ("query", "positive")
    if not {*columns} <= {*names}:
        columns = next(((one,) for one in ("image", "text") if one in names), ())
    if not columns:
        absent = "positive" if "query" in names else "query" if "positive" in names else "text"
        theirs = nearest(absent, table.extra_names) or next(iter(table.extra_names), "NAME")
        brought = ", ".join([name for name in names if name != "label"] + table.extra_names)
        raise InputError(
            f"{table.name} has the columns {brought or '(none)'}; a column text or image, or query and positive, is "
            f"needed. Say which is which with --columns, for example --columns {absent}={theirs}."
        )
    if len(table) < FEWEST_ROWS:
        raise InputError(
            f"{table.name} has {len(table)} rows; a space shows from {FEWEST_ROWS} rows on. Give more rows."
        )
    label = "label" if "label" in names else None
    roles: dict[str, Role] = {"query": "query", "positive": "document"}
    return SpaceRows.draw(table, columns, roles=roles, rows=rows, seed=seed, label=label)


def _drawn(table: Table | StreamedTable, rows: int, seed: int) -> list[Row]:
    if table.streaming:
        return list(itertools.islice(table.stream(), rows))
    chosen = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))[:rows]
    return table.rows(chosen.sort().values.tolist())


def _one(value: Any) -> Any:
    """Return the value, or the first of them in a column that holds several."""
    return value[0] if isinstance(value, list) else value
