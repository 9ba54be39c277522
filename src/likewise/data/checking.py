"""Checking: from blocks of a file to Arrow columns in which every row can be used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import numpy as np
import pyarrow as pa

from likewise.data.blocks import BadRow, Block
from likewise.data.columns import Column
from likewise.data.sources import Source
from likewise.errors import InputError, nearest, unknown

__all__ = [
    "BadRows",
    "FileChecker",
    "GoodRows",
    "Rejections",
    "check_names",
    "good_blocks",
    "mend_or_skip",
    "no_rows",
    "odd_one",
]

BadRows = Literal["error", "skip"]


def check_names(columns: Sequence[Column], rename: Mapping[str, str], bad_rows: str) -> None:
    """Refuse names that nobody asks for.

    Raises:
        InputError: ``rename`` gives a column that is not among ``columns``, or ``bad_rows`` is no known way.
    """
    for ours in rename:
        if ours not in {column.name for column in columns}:
            raise unknown("column", ours, [column.name for column in columns])
    if bad_rows not in ("error", "skip"):
        raise unknown("way with bad rows", bad_rows, ["error", "skip"])


def mend_or_skip(name: str, bad: BadRow, *, given: bool = False) -> InputError:
    """Build the error for a row that cannot be used.

    Args:
        name: What the file is called.
        bad: The row.
        given: Whether the rows were given from Python rather than read from a file.
    """
    place = f"rows[{bad.number - 1}]" if given else f"{name}, row {bad.number}"
    if bad.line is not None and bad.line != bad.number + 1:
        place += f" (line {bad.line})"
    if given:
        return InputError(f'{place}: {bad.reason}. Mend the row or pass bad_rows="skip".')
    way = "leave it out: train, evaluate, geometry and split take --bad-rows skip"
    return InputError(f"{place}: {bad.reason}. Mend the row, or {way}.")


class Rejections:
    """What becomes of bad rows: an error at the first one, or a count and a line in a file for each.

    Args:
        bad_rows: "error" or "skip".
        path: Where rejected rows are written, one JSON object a line with ``file``, ``row``, ``line``, ``reason`` and
            ``raw``; one left there by an earlier reading is removed. None writes nothing.
        given: Whether the rows were given from Python rather than read from a file.
    """

    def __init__(self, bad_rows: BadRows, path: Path | None = None, *, given: bool = False) -> None:
        self.count = 0
        self.first: str | None = None
        self._bad_rows = bad_rows
        self._path = path
        self._given = given
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, name: str, bad: Sequence[BadRow]) -> None:
        """Take the bad rows of a file.

        Raises:
            InputError: ``bad_rows`` is "error" and there is one.
        """
        for row in sorted(bad, key=lambda one: one.number):
            if self._bad_rows == "error":
                raise mend_or_skip(name, row, given=self._given)
            self.count += 1
            self.first = self.first or f"row {row.number}: {row.reason}"
            if self._path is not None:
                if self._file is None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    self._file = self._path.open("w", encoding="utf-8")
                record = {"file": name, "row": row.number, "line": row.line, "reason": row.reason, "raw": row.raw}
                self._file.write(json.dumps(record, default=_told) + "\n")


def _told(value: object) -> str:
    """Write a value that JSON does not know, in few characters."""
    return f"{len(value)} bytes" if isinstance(value, bytes | bytearray) else str(value)


@dataclass(frozen=True)
class GoodRows:
    """The rows of a block that can be used."""

    columns: dict[str, pa.Array]
    """The declared columns that exist, by our names."""
    others: dict[str, list[Any] | pa.Array]
    """The other columns of the file, by its names."""
    numbers: np.ndarray
    """Number of each row in its file, from 1; int64."""

    def __len__(self) -> int:
        return len(self.numbers)


class FileChecker:
    """Checks the blocks of one file against the declared columns.

    Args:
        columns: What the rows must bring.
        rename: The file's name of a column by ours, where they differ.
        name: What the file is called in messages.
        brought: Whether rows have a value, for each column that all of them have or none; the first usable row writes
            it. Files of one source share it.
        folder: Where the file lies, for values that name other files.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        rename: Mapping[str, str],
        name: str,
        brought: dict[str, bool],
        folder: Path | None = None,
    ) -> None:
        self._brought = brought
        self._folder = folder
        self._columns = [(column, rename.get(column.name, column.name)) for column in columns]
        self._rename = rename
        self._name = name
        self._seen_columns = False
        self._excused: set[str] = set()

    def checked(self, blocks: Iterable[Block]) -> Iterator[tuple[GoodRows, list[BadRow]]]:
        """Check block by block, in parts where a column holds large values.

        Raises:
            InputError: The file lacks a column.
        """
        at_once = min((column.kind.block_rows for column, _ in self._columns if column.kind.block_rows), default=None)
        for block in blocks:
            for part in block.parts(at_once) if at_once else (block,):
                yield self.check(part)

    def check(self, block: Block) -> tuple[GoodRows, list[BadRow]]:
        """Divide a block into what can be used and what cannot.

        Raises:
            InputError: The file has no column of that name.
        """
        if not self._seen_columns and len(block):
            self._check_columns(list(block.columns))
            self._seen_columns = True
        values: dict[Column, list[Any]] = {}
        arrays: dict[Column, pa.Array] = {}
        problems: dict[int, str] = {}
        for column, theirs in self._columns:
            if theirs in block.columns:
                listed = values[column] = self._in_our_form(column, block.columns[theirs], block.only_text)
                array = column.checked_array(listed)
                if array is not None:
                    arrays[column] = array
                    continue
                found = column.problems(listed)
                if not found:
                    arrays[column] = column.array(listed)
            else:
                needed = column.required and column.name not in self._excused
                found = dict.fromkeys(range(len(block)), "is missing") if needed else {}
            problems = {i: f"column '{theirs}' {what}; {_needs(column)}" for i, what in found.items()} | problems
        for column, theirs in self._columns:
            if column.all_or_none:
                problems |= self._odd_rows(column, theirs, values.get(column, [None] * len(block)), problems)
        used = {theirs for _, theirs in self._columns}
        others = {name: column for name, column in block.columns.items() if name not in used}
        numbers = np.asarray(block.numbers, dtype=np.int64)
        if problems:
            good = [i for i in range(len(block)) if i not in problems]
            numbers = numbers[good]
            arrays = {column: column.array([several[i] for i in good]) for column, several in values.items()}
            others = {name: _choose(column, good) for name, column in others.items()}
        bad = block.bad + [
            BadRow(block.numbers[i], reason, block.raw(i), block.lines[i] if block.lines else None)
            for i, reason in problems.items()
        ]
        return GoodRows({column.name: array for column, array in arrays.items()}, others, numbers), bad

    def _in_our_form(self, column: Column, values: list[Any] | pa.Array, only_text: bool) -> list[Any]:
        listed: list[Any] = values.to_pylist() if isinstance(values, pa.Array) else values
        if only_text and not pa.types.is_string(column.kind.stored):
            listed = list(map(column.kind.parse, listed))
        tidy = listed if column.required and not column.many else list(map(column.tidy, listed))
        return column.taken(tidy, self._folder)

    def _odd_rows(self, column: Column, theirs: str, values: list[Any], bad: Mapping[int, str]) -> dict[int, str]:
        """Find the rows that have a value where the rows before them have none, or the other way round."""
        has = {i: value is not None and value != [] for i, value in enumerate(values) if i not in bad}
        if not has:
            return {}
        expected = self._brought.setdefault(column.name, next(iter(has.values())))
        return {i: odd_one(column, theirs, expected) for i, found in has.items() if found != expected}

    def _check_columns(self, present: list[str]) -> None:
        """Refuse a file that lacks a column altogether."""
        self._excuse(present)
        absent = [
            (column, theirs)
            for column, theirs in self._columns
            if theirs not in present
            and (column.required or column.name in self._rename)
            and column.name not in self._excused
        ]
        if not absent:
            return
        column, theirs = absent[0]
        guess = nearest(theirs, present)
        hint = f" (did you mean '{guess}'?)" if guess else ""
        others = [name for other, name in self._columns if other.instead_of == column.name]
        absent = [(other, name) for other, name in absent if other.instead_of != column.name]
        hint = hint + "".join(f", nor '{name}', which may stand in its place" for name in others)
        example = " ".join(f"{one.name}={nearest(name, present) or 'THEIRS'}" for one, name in absent)
        raise InputError(
            f"{self._name} has no column '{theirs}'{hint}. Its columns: {', '.join(present)}. "
            f"Say which is meant with {f'{column.option} THEIRS' if column.option else f'--columns {example}'}."
        )

    def _excuse(self, present: list[str]) -> None:
        """Find the columns in whose place the file brings another; all files of a source have to bring the same."""
        theirs = {column.name: name for column, name in self._columns}
        for column, own in self._columns:
            other = theirs.get(column.instead_of)
            if other is None or (own in present) == (other in present):
                continue
            missing, brought = (other, own) if own in present else (own, other)
            self._excused.add(column.instead_of if own in present else column.name)
            first = self._brought.setdefault(f"{other} or {own}", own in present)
            if first != (own in present):
                raise InputError(
                    f"{self._name} brings '{brought}' and no '{missing}', and a file before it the other way round; "
                    "all files have to bring the same of the two. Open them one by one."
                )


def good_blocks(
    source: Source, columns: Sequence[Column], rename: Mapping[str, str], rejections: Rejections
) -> Iterator[tuple[int, GoodRows]]:
    """Read a source and check it; yields (number of the file, its next good rows).

    Raises:
        InputError: A file cannot be read or lacks a column, or a row is bad and bad rows are errors.
    """
    brought: dict[str, bool] = {}
    for i, name in enumerate(source.files):
        checker = FileChecker(columns, rename, name, brought, source.folder(i))
        for good, bad in checker.checked(source.read(i)):
            rejections.add(name, bad)
            yield i, good


def no_rows(source: Source, rejections: Rejections) -> InputError:
    """Build the error for a source of which nothing can be used."""
    if not rejections.count:
        return InputError(f"{source.name} has no rows; at least one is needed.")
    return InputError(f"none of the {rejections.count} rows of {source.name} can be used ({rejections.first}).")


def odd_one(column: Column, theirs: str, expected: bool) -> str:
    """Say what is wrong with a row whose column has a value where the rows before it have none, or the other way round.

    Args:
        column: A column that all rows have or none.
        theirs: What the source calls it.
        expected: Whether the rows before have a value.
    """
    what = "is missing, but the rows before have it" if expected else "has a value, but the rows before have none"
    return f"column '{theirs}' {what}; {_needs(column)}"


def _needs(column: Column) -> str:
    if column.required:
        return f"every row needs {column.must}"
    if column.all_or_none:
        return f"every row brings {column.must} there, or none does"
    return f"a row brings {column.must} there, or nothing"


def _choose(values: list[Any] | pa.Array, rows: list[int]) -> list[Any] | pa.Array:
    if isinstance(values, pa.Array):
        return values.take(pa.array(rows, type=pa.int64()))
    return [values[i] for i in rows]
