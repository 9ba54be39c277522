"""From a table to what an index stores: ids, texts or pictures, and metadata whose types are found out first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from likewise.data import Column, Image, StoredImage, StreamedTable, Table, Text, open_table
from likewise.errors import InputError, unknown

if TYPE_CHECKING:
    import datasets

    Source: TypeAlias = Table | StreamedTable | str | Path | Sequence[Mapping[str, Any]] | datasets.Dataset

__all__ = ["BLOCK_ROWS", "ID", "TEXT", "VECTOR", "Block", "Rows", "Survey", "open_rows", "survey"]

BLOCK_ROWS = 2048
"""Rows held at a time."""

ID, TEXT, VECTOR = "id", "text", "vector"
"""Names under which an index stores what every row has."""

FILE = "file"
"""Column in which a folder of pictures says which file a row is."""

TAKEN = {ID, TEXT, VECTOR, "score", "_distance", "_score", "_rowid", "_rowaddr", "_relevance_score"}
"""Names that metadata cannot have; they are stored with an underscore behind."""

SCALARS = (pa.bool_(), pa.int64(), pa.float64(), pa.string(), pa.binary())


@dataclass(frozen=True)
class Block:
    """Rows that follow each other.

    Args:
        start: Number of the first one.
        rows: All of their columns, by the source's names.
    """

    start: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Rows:
    """A source that can be gone through again and again, a block at a time.

    Args:
        table: The rows.
        text_column: Column that is embedded and shown; where pictures are embedded, what is shown of each, if it is
            there.
        image_column: Column of the pictures that are embedded; None: texts are.
    """

    table: Table | StreamedTable
    text_column: str
    image_column: str | None = None

    @property
    def column_names(self) -> list[str]:
        """Names of all columns."""
        others = self.table.extra_names if isinstance(self.table, Table) else []
        return [*self.table.column_names, *others]

    @property
    def num_rows(self) -> int | None:
        """Number of rows, None for a stream."""
        return len(self.table) if isinstance(self.table, Table) else None

    def where(self, row: int) -> str:
        """Tell where a row comes from."""
        return self.table.where(row) if isinstance(self.table, Table) else f"{self.table.name}, good row {row + 1}"

    def blocks(self) -> Iterator[Block]:
        """Go through the rows."""
        if isinstance(self.table, Table):
            for start in range(0, len(self.table), BLOCK_ROWS):
                numbers = range(start, min(start + BLOCK_ROWS, len(self.table)))
                pairs = zip(self.table.extras(numbers), self.table.rows(numbers), strict=True)
                yield Block(start, [{**others, **row} for others, row in pairs])
            return
        start, rows = 0, []
        for row in self.table.stream():
            rows.append(row)
            if len(rows) == BLOCK_ROWS:
                yield Block(start, rows)
                start, rows = start + len(rows), []
        if rows:
            yield Block(start, rows)

    def texts(self, block: Block) -> list[str]:
        """Return the texts of a block; of a picture without one where it comes from.

        Raises:
            InputError: A row has none.
        """
        if self.image_column is not None:
            pictures = zip(block.rows, self.pictures(block), strict=True)
            return [self._words(row, picture, block.start + i) for i, (row, picture) in enumerate(pictures)]
        texts = [row.get(self.text_column) for row in block.rows]
        for number, text in enumerate(texts):
            if problem := Text.problem(text):
                raise InputError(
                    f"{self.where(block.start + number)}: column '{self.text_column}' {problem}; a row of an index "
                    "needs a non-empty text. Mend the row or leave it out."
                )
        return texts  # type: ignore[return-value]  # Text.problem has seen that all are texts

    def pictures(self, block: Block) -> list[StoredImage]:
        """Return the pictures of a block of rows that have some.

        Raises:
            InputError: A row has none.
        """
        pictures = [row.get(self.image_column or "") for row in block.rows]
        if None in pictures:
            where = self.where(block.start + pictures.index(None))
            raise InputError(f"{where}: column '{self.image_column}' holds no picture; mend the row or leave it out.")
        return pictures  # type: ignore[return-value]  # none of them is None

    def _words(self, row: Mapping[str, Any], picture: StoredImage, number: int) -> str:
        """Return what is shown of a picture: its text, the file that its folder says, its path, or where the row is."""
        text = row.get(self.text_column)
        if not Text.absent(text) and (problem := Text.problem(text)):
            raise InputError(
                f"{self.where(number)}: column '{self.text_column}' {problem}; beside a picture a text is accepted, or "
                "nothing. Mend the row, or name another column of texts."
            )
        for said in (text, row.get(FILE), picture.path):
            if Text.problem(said) is None:
                return str(said)
        return self.where(number)


def open_rows(source: Source, text_column: str, image_column: str | None = None) -> Rows:
    """Open what was given.

    Args:
        source: The rows.
        text_column: Column of the texts.
        image_column: Column of the pictures where these are embedded; the texts are then optional.

    Raises:
        InputError: It cannot be read, has no row, or has no such column.
    """
    if image_column == text_column:
        raise InputError(
            f"the column '{text_column}' cannot hold both pictures and the words beside them; name another."
        )
    if not isinstance(source, Table | StreamedTable):
        embedded = Column(text_column, Text, help="what is embedded and found", option="--text-column")
        if image_column is not None:
            embedded = Column(image_column, Image, help="what is embedded and found", option="--image-column")
        source = open_table(source, columns=(embedded,))
    rows = Rows(source, text_column, image_column)
    if (wanted := image_column or text_column) not in rows.column_names:
        raise unknown("column", wanted, rows.column_names)
    if image_column is None:
        return rows
    if not any(column.name == image_column and column.kind is Image for column in source.columns):
        raise InputError(
            f"{source.name} was opened without '{image_column}' as a column of pictures; open it with one."
        )
    if text_column != TEXT and text_column not in rows.column_names:
        raise unknown("column", text_column, rows.column_names)
    return rows


@dataclass
class Survey:
    """What is found out of a source before anything is embedded.

    Args:
        id_column: Column of the ids; None: rows are numbered.
        first_row: Number of the first row where rows are numbered.
        names: Stored name of each metadata column by its name in the source.
        types: Type of each stored metadata column; null where no value was met.
        json: Stored metadata columns that hold JSON text, since their values are of several kinds or nested.
        ids: Row by id, unless rows are numbered.
        num_rows: Rows gone through.
    """

    id_column: str | None
    first_row: int = 0
    names: dict[str, str] = field(default_factory=dict)
    types: dict[str, pa.DataType] = field(default_factory=dict)
    json: set[str] = field(default_factory=set)
    ids: dict[str, int] = field(default_factory=dict)
    num_rows: int = 0

    def ids_of(self, rows: Rows, block: Block) -> list[str]:
        """Return the ids of a block.

        Raises:
            InputError: A row has none.
        """
        if self.id_column is None:
            return [str(self.first_row + block.start + i) for i in range(len(block.rows))]
        return [_id(row.get(self.id_column), self.id_column, rows, block.start + i) for i, row in enumerate(block.rows)]

    def columns_of(self, block: Block, types: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
        """Return the metadata of a block by stored name, in the types of the index."""
        source_name = {stored: name for name, stored in self.names.items()}
        columns = {}
        for stored, kind in types.items():
            name = source_name.get(stored)
            values = [None] * len(block.rows) if name is None else [_stored(row.get(name)) for row in block.rows]
            if stored in self.json:
                values = _as_json(values)
            elif kind == pa.float64():
                values = [None if value is None else float(value) for value in values]
            columns[stored] = pa.array(values, type=kind)
        return columns


def _id(value: Any, column: str, rows: Rows, number: int) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value and not Text.problem(value):
        return value
    raise InputError(
        f"{rows.where(number)}: column '{column}' holds {value!r}, which is no id; a whole number or a non-empty text "
        "is accepted. Mend the row, name another column of ids, or let the rows be numbered."
    )


def _as_json(values: Sequence[Any]) -> list[str | None]:
    return [None if value is None else json.dumps(value, default=str, ensure_ascii=False) for value in values]


def survey(rows: Rows, id_column: str | None, *, first_row: int = 0, json_columns: Sequence[str] = ()) -> Survey:
    """Go through all rows once: ids that occur twice, texts that are missing, and types of the metadata.

    Args:
        rows: The source.
        id_column: Column of the ids; None: rows are numbered.
        first_row: Number of the first row where they are.
        json_columns: Stored columns that hold JSON already.

    Raises:
        InputError: Two rows have one id (both are named), a row has no id or no text, or there is no row.

    Cost: one reading of the source; memory for the ids, nothing else grows with the rows.
    """
    found = Survey(id_column, first_row, json=set(json_columns))
    for block in rows.blocks():
        rows.texts(block)
        if id_column is not None:
            for number, one in enumerate(found.ids_of(rows, block), block.start):
                first = found.ids.setdefault(one, number)
                if first != number:
                    raise InputError(
                        f"id '{one}' occurs twice, in {rows.where(first)} and {rows.where(number)}; an id is accepted "
                        "once. Mend one of them, name another column of ids, or let the rows be numbered."
                    )
        _widen(found, rows, block)
        found.num_rows += len(block.rows)
    if not found.num_rows:
        raise InputError(f"{rows.table.name} has no row; an index needs at least one.")
    return found


def _widen(found: Survey, rows: Rows, block: Block) -> None:
    """Let the types of the metadata hold the values of a block too."""
    for name in dict.fromkeys(name for row in block.rows for name in row):
        if name in (rows.text_column, found.id_column):
            continue
        if name not in found.names:
            found.names[name] = _stored_name(name, set(found.names.values()))
        stored = found.names[name]
        if stored in found.json:
            found.types[stored] = pa.string()
            continue
        known = found.types.get(stored, pa.null())
        kind = _join(known, _type_of([_stored(row.get(name)) for row in block.rows]))
        if kind is None:
            found.json.add(stored)
        found.types[stored] = pa.string() if kind is None else kind


def _stored_name(name: str, used: set[str]) -> str:
    """Return the name under which a column is stored: Lance knows no dots, and some names are taken.

    Example:
        >>> _stored_name("year", set()), _stored_name("score", set()), _stored_name("a.b", {"a_b"})
        ('year', 'score_', 'a_b_')
    """
    stored = name.replace(".", "_").replace("`", "_") or "column"
    while stored in TAKEN or stored in used:
        stored += "_"
    return stored


def _stored(value: Any) -> Any:
    """Return a value as metadata holds it: of a picture where its file is; None where it is bytes, named or not."""
    if isinstance(value, StoredImage):
        return value.path if value.data is None else None
    return value


def _type_of(values: list[Any]) -> pa.DataType | None:
    """Return the one plain type of some values, null where all are None; None where there is no such type."""
    try:
        kind = pa.array([None if value == [] else value for value in values]).type  # [] would be a list of nothing
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        return None
    inner = kind.value_type if pa.types.is_list(kind) else kind
    plain = inner in SCALARS or pa.types.is_null(kind) or pa.types.is_timestamp(inner) or pa.types.is_date(inner)
    return kind if plain else None


def _join(known: pa.DataType, fresh: pa.DataType | None) -> pa.DataType | None:
    """Return the type that holds values of both, None where there is none."""
    if fresh is None or fresh == known or pa.types.is_null(known):
        return fresh
    if pa.types.is_null(fresh):
        return known
    return pa.float64() if {known, fresh} == {pa.int64(), pa.float64()} else None
