"""Tables: rows that can be used, read from memory-mapped files or over and over from a source."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likewise.data.arrow_file import FILE_COLUMN, OTHER_PREFIX, ROW_COLUMN
from likewise.data.checking import BadRows, FileChecker, GoodRows, Rejections, good_blocks, no_rows
from likewise.data.columns import Column, Row
from likewise.data.readers import rows_at_once
from likewise.data.sources import Source

if TYPE_CHECKING:
    import datasets

__all__ = ["StreamedTable", "Table"]

STREAM_ROWS = 1024
"""Rows that are turned into Python at a time where a table is gone through from end to end."""


class Table:
    """Rows that can be used, with random access; a Hugging Face table underneath, memory-mapped from an Arrow file.

    Made by ``open_table``. Two processes share the file; pickling a table stores the file's name, not the rows.

    Args:
        dataset: The stored rows: declared columns, other columns, file and row number.
        columns: The declared columns, whether the source has them or not.
        name: What messages and results call the table.
        files: Names of the source's files.
        fingerprint: Hex digest of the declared columns' contents.
        rejected: Number of bad rows that were left out.
        as_json: Stored columns whose values are written as JSON.
        given: Whether the rows were given from Python rather than read from a file.
    """

    streaming: ClassVar[Literal[False]] = False
    """Whether rows are read anew each time they are gone through."""

    def __init__(
        self,
        dataset: datasets.Dataset,
        columns: Sequence[Column],
        *,
        name: str,
        files: Sequence[str],
        fingerprint: str,
        rejected: int = 0,
        as_json: Sequence[str] = (),
        given: bool = False,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.rejected = rejected
        self.columns = tuple(columns)
        self._dataset = dataset
        self._files = list(files)
        self._as_json = set(as_json)
        self._given = given
        stored = dataset.column_names
        self.column_names = [column.name for column in columns if column.name in stored]
        self.extra_names = [one.removeprefix(OTHER_PREFIX) for one in stored if one.startswith(OTHER_PREFIX)]
        self._restored = _restored(columns)
        self._declared = dataset.select_columns(self.column_names)
        self._others = dataset.select_columns([OTHER_PREFIX + one for one in self.extra_names])

    @property
    def dataset(self) -> datasets.Dataset:
        """The Hugging Face table of the declared columns."""
        return self._declared

    def __len__(self) -> int:
        return len(self._declared)

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {len(self)} rows, columns {', '.join(self.column_names)})"

    def __getitem__(self, i: int) -> Row:
        return self.rows([i])[0]

    def __iter__(self) -> Iterator[Row]:
        return self.stream()

    def rows(self, indices: Sequence[int]) -> list[Row]:
        """Return several rows; one call for many rows is far cheaper than many calls.

        Args:
            indices: Row numbers from 0; negative ones count from the end.

        Raises:
            IndexError: There is no such row.
        """
        return _rows_of(self._declared[self._checked(indices)], len(indices), self._restored)

    def stream(self, start: int = 0) -> Iterator[Row]:
        """Go through the rows in their order, from row ``start`` on."""
        rows = rows_at_once(self.num_bytes, len(self), STREAM_ROWS) if self._restored else STREAM_ROWS
        for first in range(start, len(self), rows):
            last = min(first + rows, len(self))
            yield from _rows_of(self._declared[first:last], last - first, self._restored)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a declared column as Arrow holds it, without copying it.

        Raises:
            KeyError: The table has no such column.
        """
        return self._declared.data.column(name)

    def arrow(self, indices: Sequence[int]) -> pa.Table:
        """Return several rows with all columns, declared and other, as Arrow holds them.

        Other columns whose values are of several kinds are JSON; one that is called like a declared one is left out.
        """
        rows = self._dataset.data.table.take(pa.array(self._checked(indices), type=pa.int64()))
        others = {name: OTHER_PREFIX + name for name in self.extra_names if name not in self.column_names}
        stored = {**{name: name for name in self.column_names}, **others}
        return pa.table({name: rows.column(found) for name, found in stored.items()})

    @property
    def num_bytes(self) -> int:
        """Bytes of all rows, as Arrow holds them."""
        return int(self._dataset.data.nbytes)

    def values(self, name: str, rows: Sequence[int] | np.ndarray | None = None) -> list[Any]:
        """Return the values of a declared column as rows hold them.

        Args:
            name: Name of the column.
            rows: Row numbers from 0; None: all rows.

        Raises:
            KeyError: The table has no such column.
        """
        found = self.column(name) if rows is None else self.column(name).take(pa.array(rows, type=pa.int64()))
        listed: list[Any] = found.to_pylist()
        return next((column.restored(listed) for column in self._restored if column.name == name), listed)

    def brings(self, column: Column) -> np.ndarray:
        """Tell of every row whether it has a value in a column, as bool ``[len(self)]``."""
        if column.name not in self.column_names:
            return np.zeros(len(self), dtype=bool)
        values = self.column(column.name)
        has = pc.greater(pc.list_value_length(values), 0) if column.many else values.is_valid()
        found: np.ndarray = has.to_numpy()
        return found

    def extra(self, i: int) -> dict[str, Any]:
        """Return the other columns of row ``i``: metadata, None where the row has no value."""
        return self.extras([i])[0]

    def extras(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return the other columns of several rows."""
        if not self.extra_names:
            return [{} for _ in self._checked(indices)]
        rows = _rows_of(self._others[self._checked(indices)], len(indices))
        return [
            {
                name.removeprefix(OTHER_PREFIX): json.loads(value) if name in self._as_json and value else value
                for name, value in row.items()
            }
            for row in rows
        ]

    def where(self, i: int) -> str:
        """Tell where a row comes from: "faq.jsonl, row 12"."""
        place = self._dataset.data.slice(self._checked([i])[0], 1)
        number = place.column(ROW_COLUMN)[0].as_py()
        if self._given:
            return f"rows[{number - 1}]"
        return f"{self._files[place.column(FILE_COLUMN)[0].as_py()]}, row {number}"

    def places(self) -> list[str]:
        """Tell where each row comes from, as :meth:`where` does of one."""
        numbers = self._dataset.data.column(ROW_COLUMN).to_pylist()
        if self._given:
            return [f"rows[{number - 1}]" for number in numbers]
        files = self._dataset.data.column(FILE_COLUMN).to_pylist()
        return [f"{self._files[file]}, row {number}" for file, number in zip(files, numbers, strict=True)]

    def names(self) -> list[str]:
        """Tell what each row is called: the file in a folder of pictures, else its place (:meth:`places`)."""
        places = self.places()
        if "file" not in self.extra_names:
            return places
        files = (extra["file"] for extra in self.extras(range(len(self))))
        return [str(file or place) for file, place in zip(files, places, strict=True)]

    def _checked(self, indices: Sequence[int]) -> list[int]:
        size = len(self)
        numbers = [operator.index(i) for i in indices]
        for i in numbers:
            if not -size <= i < size:
                raise IndexError(f"row {i} does not exist: {self.name} has {size} rows")
        return [i % size for i in numbers]


def _restored(columns: Sequence[Column]) -> list[Column]:
    """Choose the columns whose values are not in rows what they are in Arrow."""
    return [column for column in columns if not column.kind.as_stored]


def _rows_of(columns: dict[str, list[Any]], count: int, restored: Sequence[Column] = ()) -> list[Row]:
    if not columns:
        return [{} for _ in range(count)]
    for column in restored:
        if column.name in columns:
            columns[column.name] = column.restored(columns[column.name])
    names = list(columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


class StreamedTable:
    """Rows that can be used, read anew from the source each time they are gone through; nothing is stored.

    Made by ``open_table(..., streaming=True)``, for what should not be written to the disk a second time. It has no
    random access and does not know its length; a bad row is met when it is read.

    Args:
        source: Where the rows come from.
        columns: The declared columns, whether the source has them or not.
        rename: The source's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".
        rejected_path: Where rejected rows are written, anew with each reading.

    Raises:
        InputError: A file lacks a column or has no row, or a row among the first ones of a file is bad.
    """

    streaming: ClassVar[Literal[True]] = True
    """Whether rows are read anew each time they are gone through."""

    def __init__(
        self,
        source: Source,
        columns: Sequence[Column],
        *,
        rename: Mapping[str, str],
        bad_rows: BadRows,
        rejected_path: Path | None = None,
    ) -> None:
        self.name = source.name
        self.fingerprint = source.content
        self.columns = tuple(columns)
        self.rejected = 0
        self._source = source
        self._rename = dict(rename)
        self._bad_rows = bad_rows
        self._rejected_path = rejected_path if bad_rows == "skip" else None
        present = self._look_at_beginnings()
        self.column_names = [column.name for column in columns if column.name in present]

    def __repr__(self) -> str:
        return f"StreamedTable({self.name!r}, columns {', '.join(self.column_names)})"

    def __iter__(self) -> Iterator[Row]:
        return self.stream()

    def stream(self, start: int = 0) -> Iterator[Row]:
        """Go through the good rows in the order of the source, from the one numbered ``start`` (from 0) on.

        ``rejected`` is the number of bad rows that the last reading has met so far.

        Raises:
            InputError: A bad row is met and bad rows are errors, or no row at all can be used.
        """
        good_rows = 0
        with Rejections(self._bad_rows, self._rejected_path, given=self._source.given) as rejections:
            for _, good in good_blocks(self._source, self.columns, self._rename, rejections):
                self.rejected = rejections.count
                if good_rows + len(good) > start:
                    rows = self._rows(good)
                    yield from rows[max(0, start - good_rows) :]
                good_rows += len(good)
            self.rejected = rejections.count
            if not good_rows:
                raise no_rows(self._source, rejections)

    def _rows(self, good: GoodRows) -> list[Row]:
        listed: dict[str, list[Any]] = {}
        for column in self.columns:
            if column.name in self.column_names:
                array = good.columns.get(column.name)
                listed[column.name] = array.to_pylist() if array is not None else [column.tidy(None)] * len(good)
        return _rows_of(listed, len(good), _restored(self.columns))

    def _look_at_beginnings(self) -> set[str]:
        """Read the first rows of each file, so that a missing column is known before anything begins."""
        present: set[str] = set()
        brought: dict[str, bool] = {}
        for i, name in enumerate(self._source.files):
            checker = FileChecker(self.columns, self._rename, name, brought, self._source.folder(i))
            with Rejections(self._bad_rows) as rejections:
                for good, bad in checker.checked(self._source.read(i)):
                    rejections.add(name, bad)
                    present |= good.columns.keys()
                    if len(good):
                        break
        return present
