"""What readers hand over: blocks of rows, column by column, and the rows that cannot be used."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

__all__ = ["BadRow", "Block"]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: which one, why, and what stands there."""

    number: int
    """Number of the row in its file, from 1."""
    reason: str
    """What is wrong, as a clause: "column 'text' is empty; every row needs a non-empty text"."""
    raw: Any
    """The row as it stands in the file: its line, its fields, or its values."""
    line: int | None = None
    """Line on which the row begins, from 1, where that is not the row number."""


@dataclass
class Block:
    """Some rows of one file, column by column."""

    columns: dict[str, list[Any] | pa.Array]
    """Values by the file's own column names, all of one length."""
    numbers: Sequence[int]
    """Number of each row in its file, from 1."""
    raw: Callable[[int], Any]
    """Gives the i-th row of the block as it stands in the file."""
    bad: list[BadRow] = field(default_factory=list)
    """Rows of this stretch of the file that could not be read at all."""
    lines: Sequence[int] | None = None
    """Line on which each row begins, where that is not the row number."""
    only_text: bool = False
    """Whether the format knows nothing but text, so that numbers have to be read from it."""

    def __len__(self) -> int:
        return len(self.numbers)

    def parts(self, rows: int) -> Iterator[Block]:
        """Cut the block into parts of so many rows; the rows that could not be read come with the first."""
        for start in range(0, max(len(self), 1), rows):
            chosen = slice(start, start + rows)
            yield Block(
                {name: values[chosen] for name, values in self.columns.items()},
                self.numbers[chosen],
                raw=functools.partial(self._raw_from, start),
                bad=[] if start else self.bad,
                lines=self.lines[chosen] if self.lines else None,
                only_text=self.only_text,
            )

    def _raw_from(self, start: int, i: int) -> Any:
        return self.raw(start + i)
