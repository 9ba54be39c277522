"""What is made of the data before training: each product a file that is made once, and found again on resuming."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise import distributed
from likewise.data.columns import Column, Row
from likewise.data.opening import open_table
from likewise.data.table import Table
from likewise.errors import InputError, RunError

__all__ = ["Stages"]

ROWS_WRITTEN = 4096
"""Rows that are held in memory while a table is written."""


class Stages:
    """The products of preparing data, each a file that people can read, with what it was made from beside it.

    A product is written under another name and renamed, so one that is there is whole. Where a product of the same
    name was made from the same things it is not made again: a preparation that was stopped goes on behind the last
    whole product. In several processes the main one makes, the others wait and read.

    Args:
        folder: Where the files are; made when the first is written.
        say: Called with a line for people; nothing is said where not given.
        round: Which round of training this is for, from 1.

    Example:
        >>> import tempfile
        >>> from likewise.data import Text
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     stages = Stages(Path(folder))
        ...     for words in ("a dog", "a cat"):
        ...         table = stages.table(
        ...             "pairs", [Column("text", Text)], lambda: [{"text": words}], depends_on={"seed": 0}
        ...         )
        ...         print(table[0])  # the second is found, not made: it depends on the same things
        {'text': 'a dog'}
        {'text': 'a dog'}
    """

    def __init__(self, folder: Path, say: Callable[[str], None] | None = None, *, round: int = 1) -> None:
        self.folder = folder
        self.round = round
        self._say = say

    def say(self, text: str) -> None:
        """Tell people how far the preparation is, once over all processes."""
        if self._say is not None and distributed.rank() == 0:
            self._say(text)

    def path(self, name: str) -> Path:
        """Return where a file of another kind goes; the folder is made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name

    def table(
        self,
        name: str,
        columns: Sequence[Column],
        make: Callable[[], Iterable[Row]],
        *,
        depends_on: Mapping[str, Any],
    ) -> Table:
        """Return a table, made if there is none yet that depends on the same things.

        Args:
            name: Name of the file: ``NAME.jsonl``, or ``NAME.parquet`` where a column holds vectors or pictures.
            columns: What its rows bring; other values of a row are kept as metadata, for people.
            make: Makes the rows.
            depends_on: Everything that the rows are a function of, as plain values: fingerprints, settings, seeds.

        Raises:
            InputError: No row was made, or one that cannot be used.
            RunError: The file cannot be written.
        """
        nested = any(pa.types.is_nested(column.kind.stored) for column in columns)
        path = self.folder / f"{name}{'.parquet' if nested else '.jsonl'}"

        def write(temporary: Path) -> None:
            count = (_write_parquet if nested else _write_lines)(temporary, make(), columns)
            if not count:
                raise _no_row(name)

        self._once(path, write, depends_on)
        return open_table(path, columns=columns)

    def appended(
        self,
        name: str,
        columns: Sequence[Column],
        make: Callable[[int], Iterable[Row]],
        *,
        depends_on: Mapping[str, Any],
    ) -> Table:
        """Return a table as :meth:`table` does, of rows that are dear: none is made twice.

        Each row is in the file as soon as it is made. A preparation that was stopped, or killed, goes on behind the
        last whole row, where it still depends on the same things.

        Args:
            name: Name of the file, ``NAME.jsonl``.
            columns: What its rows bring; no vectors.
            make: ``make(start)`` makes the rows from number ``start`` (from 0) on.
            depends_on: As in :meth:`table`.

        Raises:
            InputError: No row was made, or one that cannot be used.
            RunError: The file cannot be written.
        """

        def write(temporary: Path) -> None:
            made_from, wanted = _made_from(temporary), _as_text(depends_on)
            if not made_from.exists() or made_from.read_text(encoding="utf-8") != wanted:
                temporary.unlink(missing_ok=True)
            done = _keep_whole_lines(temporary)
            if done:
                self.say(f"{name}: going on behind {done:,} rows that are there already")
            for row in make(done):  # where the making cannot begin, nothing is left behind
                if not temporary.exists():
                    made_from.write_text(wanted, encoding="utf-8")
                with temporary.open("a", encoding="utf-8") as file:
                    file.write(_line(row))
                done += 1
            if not done:
                raise _no_row(name)

        path = self.folder / f"{name}.jsonl"
        self._once(path, write, depends_on)
        return open_table(path, columns=columns)

    def array(self, name: str, make: Callable[[], NDArray[Any]], *, depends_on: Mapping[str, Any]) -> NDArray[Any]:
        """Return an array in ``NAME.npy``, memory-mapped and read-only; see :meth:`table`."""
        path = self.folder / f"{name}.npy"

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.save(file, make(), allow_pickle=False)

        self._once(path, write, depends_on)
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return found

    def _once(self, path: Path, write: Callable[[Path], None], depends_on: Mapping[str, Any]) -> None:
        """Have the main process write a file, unless it is there and depends on the same things."""
        with distributed.others_wait():
            if distributed.rank() != 0:
                return
            made_from, wanted = _made_from(path), _as_text(depends_on)
            if not path.exists() or not made_from.exists() or made_from.read_text(encoding="utf-8") != wanted:
                try:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    temporary = self.folder / f".{path.name}.writing"
                    write(temporary)
                    made_from.unlink(missing_ok=True)
                    temporary.replace(path)
                    made_from.write_text(wanted, encoding="utf-8")
                    _made_from(temporary).unlink(missing_ok=True)
                except OSError as error:
                    raise RunError(
                        f"{path} cannot be written ({error.strerror or error}); make room and repeat the command with "
                        "--resume."
                    ) from error


def _made_from(path: Path) -> Path:
    return path.with_name(f"{path.name}.from.json")


def _as_text(depends_on: Mapping[str, Any]) -> str:
    return json.dumps(depends_on, sort_keys=True, indent=1)


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _no_row(name: str) -> InputError:
    return InputError(f"preparing the data made no row of '{name}'; give more data, or other settings.")


def _keep_whole_lines(path: Path) -> int:
    """Cut off a last line that is not whole; return how many there are."""
    if not path.exists():
        return 0
    count, end = 0, 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                count, end = count + 1, end + len(line)
    with path.open("rb+") as file:
        file.truncate(end)
    return count


def _write_lines(path: Path, rows: Iterable[Row], columns: Sequence[Column]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(_line(row))
            count += 1
    return count


def _write_parquet(path: Path, rows: Iterable[Row], columns: Sequence[Column]) -> int:
    from pyarrow import parquet

    known = {column.name: column for column in columns}
    writer: Any = None
    count = 0
    block: list[Row] = []

    def flush() -> None:
        nonlocal writer
        names = list(block[0])
        values = {name: [row.get(name) for row in block] for name in names}
        arrays = {name: known[name].array(values[name]) if name in known else pa.array(values[name]) for name in names}
        table = pa.table(arrays)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
        block.clear()

    for row in rows:
        block.append(row)
        count += 1
        if len(block) == ROWS_WRITTEN:
            flush()
    if block:
        flush()
    if writer is not None:
        writer.close()
    return count
