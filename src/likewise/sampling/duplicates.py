"""Which rows hold the same text, so that they can be kept out of each other's batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

if TYPE_CHECKING:
    from likewise.data import Table

__all__ = ["RowKeys", "duplicate_keys", "text_key"]

Int64s = NDArray[np.int64]

UNUSUAL_SPACE = [b"  ", *(bytes([code]) for code in (*range(0x09, 0x0E), *range(0x1C, 0x20)))]
"""White space of ASCII texts that ``str.split`` takes as such, beside a single space."""


class RowKeys(Sequence[Sequence[int]]):
    """The keys of every row, packed: rows may have different numbers of keys, or none.

    Args:
        starts: Where each row's keys begin in ``values``, and the end of the last one's; int64 ``[N + 1]``.
        values: The keys of all rows, one after the other; int64.

    Example:
        >>> keys = RowKeys.of([[7, 8], [], [7]])
        >>> len(keys), keys[0], keys[1]
        (3, [7, 8], [])
    """

    def __init__(self, starts: Int64s, values: Int64s) -> None:
        self.starts = starts
        self.values = values

    @classmethod
    def of(cls, rows: Iterable[Iterable[int]]) -> RowKeys:
        """Pack keys given row by row."""
        listed = [list(keys) for keys in rows]
        starts = np.zeros(len(listed) + 1, dtype=np.int64)
        np.cumsum([len(keys) for keys in listed], out=starts[1:])
        return cls(starts, np.array([key for keys in listed for key in keys], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return self.values[self.starts[row] : self.starts[row + 1]].tolist()

    def of_rows(self, rows: Int64s) -> RowKeys:
        """Return the keys of some rows, in their order."""
        lengths = np.diff(self.starts)[rows]
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=starts[1:])
        places = np.repeat(self.starts[rows] - starts[:-1], lengths) + np.arange(int(starts[-1]))
        return RowKeys(starts, self.values[places])

    def only_shared(self) -> RowKeys:
        """Drop every key that a single row has: it keeps nothing apart."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.starts))
        ordered = np.sort(self.values)
        repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        candidates = np.flatnonzero(np.isin(self.values, repeated))  # few as a rule; a row may repeat its own key
        order = candidates[np.lexsort((rows[candidates], self.values[candidates]))]
        keys, owners = self.values[order], rows[order]
        begins = np.diff(keys, prepend=keys[:1] - 1) != 0  # of each run of equal keys
        fresh = begins | (np.diff(owners, prepend=-1) != 0)  # a row that repeats its own key counts once
        run = np.cumsum(begins) - 1
        kept = np.sort(order[fresh & (np.bincount(run, weights=fresh)[run] > 1)])
        starts = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows[kept], minlength=len(self)), out=starts[1:])
        return RowKeys(starts, self.values[kept])


def text_key(text: str) -> int:
    """Return a 64-bit hash of a text, the same for texts that differ in case or white space only.

    Example:
        >>> text_key("A  Dog ") == text_key("a dog")
        True
    """
    return _key(_normalise(text))


def _normalise(text: str) -> bytes:
    return " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")


def _key(normalised: bytes) -> int:
    return xxhash.xxh3_64_intdigest(normalised) - (1 << 63)


def duplicate_keys(table: Table, columns: Sequence[str]) -> RowKeys:
    """Hash the texts of some columns: rows with the same text in any of them share a key.

    Args:
        table: The rows.
        columns: Names of text columns; those that the table does not have are passed over. Of a column that holds lists
            every text counts.

    Returns:
        The keys of each row.

    Cost: 8 bytes a text; about a second for a million short texts.
    """
    parts = [_column_keys(table.column(name)) for name in columns if name in table.column_names]
    lengths = [np.diff(part.starts) for part in parts]
    starts = np.zeros(len(table) + 1, dtype=np.int64)
    np.cumsum(sum(lengths, np.zeros(len(table), dtype=np.int64)), out=starts[1:])
    values = np.empty(int(starts[-1]), dtype=np.int64)
    free = starts[:-1].copy()  # where the next column's keys of each row go
    for part, length in zip(parts, lengths, strict=True):
        values[np.repeat(free - part.starts[:-1], length) + np.arange(len(part.values))] = part.values
        free += length
    return RowKeys(starts, values)


def _column_keys(column: pa.ChunkedArray) -> RowKeys:
    lengths, values = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for chunk in column.chunks:
        texts = chunk
        if pa.types.is_list(chunk.type):
            lengths.append(pc.fill_null(pc.list_value_length(chunk), 0).to_numpy(zero_copy_only=False))
            texts = chunk.flatten()
        else:
            lengths.append(pc.is_valid(chunk).to_numpy(zero_copy_only=False).astype(np.int64))
        values.append(np.array(list(map(_key, _normalised(texts))), dtype=np.int64))
    starts = np.zeros(len(column) + 1, dtype=np.int64)
    np.cumsum(np.concatenate(lengths), out=starts[1:])
    return RowKeys(starts, np.concatenate(values))


def _normalised(texts: pa.Array) -> list[bytes]:
    """Normalise texts as ``text_key`` does; ASCII texts without unusual white space at the speed of Arrow."""
    texts = texts.drop_null()
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return []
    first, last = np.frombuffer(offsets, dtype=np.int32)[[texts.offset, texts.offset + len(texts)]]
    content = data[int(first) : int(last)].to_pybytes()
    if content.isascii() and not any(space in content for space in UNUSUAL_SPACE):
        outside = pc.or_(pc.starts_with(texts, " "), pc.ends_with(texts, " "))
        if not pc.any(outside).as_py():
            listed: list[bytes] = pc.ascii_lower(texts).cast(pa.binary()).to_pylist()
            return listed
    return list(map(_normalise, texts.to_pylist()))
