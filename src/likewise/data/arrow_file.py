"""Writing checked rows to one Arrow file whose columns are found out while reading."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likewise.data.checking import GoodRows
from likewise.data.columns import Column

__all__ = ["FILE_COLUMN", "OTHER_PREFIX", "ROW_COLUMN", "ArrowFile", "ContentDigest"]

FILE_COLUMN = "#file"
"""Stored beside every row: which of the source's files it comes from, int32."""
ROW_COLUMN = "#row"
"""Stored beside every row: its number in that file, from 1, int64."""
OTHER_PREFIX = "other:"
"""Stands before the names of columns that were not declared."""

JSON = {"likewise": "json"}
"""Marks a stored column whose values are written as JSON."""
PLAIN = (pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.binary())


class ContentDigest:
    """A digest of the declared columns: the same for the same values, whatever format and files they came from.

    Args:
        columns: The declared columns.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._kinds = {column.name: column.kind for column in columns}
        self._parts: dict[str, list[Any]] = {}
        self._types: dict[str, pa.DataType] = {}
        self._rows = 0

    def update(self, good: GoodRows) -> None:
        """Take in the next rows."""
        for name, array in good.columns.items():
            if name not in self._parts:
                self._parts[name] = [hashlib.sha256(), hashlib.sha256(), hashlib.sha256()]
                self._types[name] = array.type
                self._digest(name, _absent(pa.field(name, array.type), self._rows))
        for name in self._parts:
            known = good.columns.get(name)
            self._digest(name, _absent(pa.field(name, self._types[name]), len(good)) if known is None else known)
        self._rows += len(good)

    def hexdigest(self) -> str:
        """Digest of everything taken in so far."""
        whole = hashlib.sha256(str(self._rows).encode())
        for name in sorted(self._parts):
            whole.update(name.encode() + b"\0")
            for part in self._parts[name]:
                whole.update(part.digest())
        return whole.hexdigest()

    def _digest(self, name: str, array: pa.Array) -> None:
        """Feed an array to three digests: lengths of lists, lengths of texts (-1 for none), and contents."""
        lists, texts, contents = self._parts[name]
        if pa.types.is_list(array.type):
            lists.update(pc.fill_null(pc.list_value_length(array), -1).to_numpy(zero_copy_only=False).tobytes())
            array = array.flatten()
        array = self._kinds[name].digestible(array)
        if pa.types.is_string(array.type):
            texts.update(pc.fill_null(pc.binary_length(array), -1).to_numpy(zero_copy_only=False).tobytes())
            _, offsets, data = array.buffers()
            if data is not None and len(array):
                edges = struct.unpack_from("i", offsets, 4 * array.offset) + struct.unpack_from(
                    "i", offsets, 4 * (array.offset + len(array))
                )
                contents.update(memoryview(data)[edges[0] : edges[1]])
        else:
            texts.update(pc.is_valid(array).to_numpy(zero_copy_only=False).tobytes())
            contents.update(pc.fill_null(array, 0).to_numpy(zero_copy_only=False).tobytes())


@dataclass
class _Segment:
    """Batches of one schema, in a file of their own."""

    path: Path
    schema: pa.Schema
    sink: Any
    writer: Any


class ArrowFile(AbstractContextManager["ArrowFile"]):
    """Writes blocks of good rows; where a later block has other columns or types, all earlier ones are fitted to it.

    A column that was not declared is stored as integer, float, truth value, text, bytes, or as its file's own Arrow
    type; where its values are none of these, or of several kinds, each is stored as JSON.

    Args:
        path: File to write, in Arrow's stream format. Parts of it are written beside it and put together at the end.
        order: Names of the declared columns, in the order in which they are stored.
    """

    def __init__(self, path: Path, order: list[str]) -> None:
        self.num_rows = 0
        self._path = path
        self._order = order
        self._segments: list[_Segment] = []
        self._as_json: set[str] = set()

    @property
    def as_json(self) -> list[str]:
        """Names of the stored columns whose values are written as JSON."""
        return sorted(self._as_json)

    def write(self, good: GoodRows, file_index: int) -> None:
        """Add the rows of a block, all of the file with this number."""
        if not len(good):
            return
        arrays = dict(good.columns)
        for name, values in good.others.items():
            arrays[OTHER_PREFIX + name] = self._other(OTHER_PREFIX + name, values)
        arrays[FILE_COLUMN] = pa.array(np.full(len(good), file_index, dtype=np.int32))
        arrays[ROW_COLUMN] = pa.array(good.numbers)
        names = sorted(arrays, key=self._position)
        fresh = pa.schema([self._field(name, arrays[name].type) for name in names])
        batch = pa.table([arrays[name] for name in names], schema=fresh)
        known = self._segments[-1].schema if self._segments else pa.schema([])
        schema = self._join(known, fresh)
        if not self._segments or not schema.equals(known, check_metadata=True):
            self._begin(schema)
        self._segments[-1].writer.write_table(_fit(batch, schema))
        self.num_rows += len(good)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        for segment in self._segments:
            segment.writer.close()
            segment.sink.close()
        if error is not None or not self._segments:
            return
        if len(self._segments) == 1:
            self._segments[0].path.replace(self._path)
            return
        schema = self._segments[-1].schema
        with pa.OSFile(str(self._path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for batch in self._written():
                writer.write_table(_fit(batch, schema))
        for segment in self._segments:
            segment.path.unlink()

    def _written(self) -> Iterator[pa.Table]:
        for segment in self._segments:
            with pa.memory_map(str(segment.path)) as source, pa.ipc.open_stream(source) as reader:
                for batch in reader:
                    yield pa.table(batch)

    def _begin(self, schema: pa.Schema) -> None:
        path = self._path.with_name(f"{self._path.name}.{len(self._segments)}")
        sink = pa.OSFile(str(path), "wb")
        self._segments.append(_Segment(path, schema, sink, pa.ipc.new_stream(sink, schema)))

    def _position(self, name: str) -> tuple[int, int]:
        if name in self._order:
            return 0, self._order.index(name)
        return (1, 0) if name.startswith(OTHER_PREFIX) else (2, 0)

    def _field(self, name: str, kind: pa.DataType) -> pa.Field:
        return pa.field(name, kind, metadata=JSON if name in self._as_json else None)

    def _other(self, name: str, values: list[Any] | pa.Array) -> pa.Array:
        """Store a column that was not declared."""
        if name not in self._as_json:
            array = values if isinstance(values, pa.Array) else _plain_array(values)
            if array is not None and _can_be_stored(array.type):
                return array
            self._as_json.add(name)
        return _json_array(values.to_pylist() if isinstance(values, pa.Array) else values)

    def _join(self, known: pa.Schema, fresh: pa.Schema) -> pa.Schema:
        """Find columns and types that hold both what was written and what comes."""
        types = {field.name: field.type for field in known}
        for field in fresh:
            types[field.name] = self._wider(field, types.get(field.name, pa.null()))
        return pa.schema([self._field(name, types[name]) for name in sorted(types, key=self._position)])

    def _wider(self, field: pa.Field, known: pa.DataType) -> pa.DataType:
        if field.type == known or pa.types.is_null(known):
            return field.type
        if pa.types.is_null(field.type):
            return known
        if {field.type, known} == {pa.int64(), pa.float64()}:
            return pa.float64()
        self._as_json.add(field.name)
        return pa.string()


def _plain_array(values: list[Any]) -> pa.Array | None:
    """Store values that are all of one plain type; None where they are not."""
    try:
        array = pa.array(values)
    except (pa.ArrowException, ValueError, OverflowError):
        return None
    plain = isinstance(array, pa.Array) and (array.type in PLAIN or pa.types.is_null(array.type))
    return array if plain else None


def _can_be_stored(kind: pa.DataType) -> bool:
    """Tell whether a Hugging Face table can hold an Arrow type."""
    if kind in PLAIN:
        return True
    import datasets

    try:
        datasets.Features.from_arrow_schema(pa.schema([("column", kind)]))
    except (ValueError, TypeError, KeyError):
        return False
    return True


def _json_array(values: list[Any]) -> pa.Array:
    return pa.array([None if one is None else json.dumps(one, default=str) for one in values], type=pa.string())


def _fit(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring a table to a schema that holds it."""
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            columns.append(_absent(field, len(batch)))
            continue
        column, known = batch.column(index), batch.schema.field(index)
        if field.metadata and not known.metadata:
            column = _json_array(column.to_pylist())
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)


def _absent(field: pa.Field, size: int) -> pa.Array:
    """Fill a column that some rows know nothing of: no value, or an empty list where rows always hold a list."""
    if pa.types.is_list(field.type) and not field.name.startswith(OTHER_PREFIX):
        return pa.array([[]] * size, type=field.type)
    return pa.nulls(size, field.type)
