"""Readers: files of rows to blocks, one reader a format, each row with its number.

A reader never guesses and never drops: what it cannot read becomes a ``BadRow``. What makes the whole file unreadable
(not a gzip file, cut off in the middle, not UTF-8 but UTF-16) is an ``InputError``.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import itertools
import json
import lzma
import operator
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from likewise.data.blocks import BadRow, Block
from likewise.data.shards import read_shard
from likewise.errors import InputError, unknown

__all__ = [
    "BINARY_FORMATS",
    "BLOCK_ROWS",
    "COMPRESSIONS",
    "FORMATS",
    "UTF_8",
    "checked_encoding",
    "line_blocks",
    "opened_text",
    "read_documents",
    "read_file",
    "read_rows",
    "read_tables",
    "rows_at_once",
]

BLOCK_CHARACTERS = 1 << 18
"""Size of a block of lines: it fits in the processor's cache, and a block's fixed cost is nothing beside it."""
BLOCK_ROWS = 2048
"""Rows of a block where rows are counted and not characters."""
BLOCK_BYTES = 1 << 26
"""Size of a block of rows that hold pictures and the like."""
UTF_8 = "utf-8"
"""How files of text are written unless somebody says otherwise."""
LONGEST_FIELD = 1 << 27
"""Characters after which a quoted csv field counts as never closed."""


def _open_zstd(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd"))


COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _open_zstd,
}
COMPRESSION_NAMES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstandard"}


def checked_encoding(encoding: str) -> str:
    """Return an encoding of text by the name that Python gives it.

    Raises:
        InputError: There is no such encoding.

    Example:
        >>> checked_encoding("UTF8"), checked_encoding("UTF-16")
        ('utf-8', 'utf-16')
    """
    try:
        found = codecs.lookup(encoding)
        "".encode(found.name)  # what turns bytes into bytes is no encoding of text
    except (LookupError, ValueError):
        raise unknown("encoding", encoding, ("utf-8", "utf-16", "latin-1", "cp1252")) from None
    return found.name


def read_file(
    path: Path, name: str, file_format: str, compression: str | None, encoding: str = UTF_8
) -> Iterator[Block]:
    """Read a file block by block.

    Args:
        path: Where the file is.
        name: What messages call it.
        file_format: One of ``FORMATS``.
        compression: One of ``COMPRESSIONS``, or None.
        encoding: How the characters are written, as :func:`checked_encoding` returns it.

    Raises:
        InputError: The file as a whole cannot be read.
    """
    if file_format in BINARY_FORMATS:
        with _readable(name, compression):
            yield from BINARY_FORMATS[file_format](path, name, compression)
        return
    with opened_text(path, name, compression, encoding) as text:
        yield from TEXT_FORMATS[file_format](text, name)


@contextmanager
def opened_text(path: Path, name: str, compression: str | None, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Open a file of text; what goes wrong while it is read becomes one sentence.

    In UTF-8, bytes that are none come through as lone surrogates and are found row by row; elsewhere there is no going
    on behind them.
    """
    errors = "surrogateescape" if encoding == UTF_8 else "strict"
    with _readable(name, compression):
        binary = _opened(path, compression)
        try:
            with binary, io.TextIOWrapper(binary, encoding=encoding, errors=errors, newline="\n") as text:
                yield text
        except UnicodeError as error:
            raise InputError(
                f"{name} is not written in {encoding} ({error}); give the encoding that it is written in with "
                "--encoding, or save it as UTF-8."
            ) from error


def _opened(path: Path, compression: str | None) -> IO[bytes]:
    return cast("IO[bytes]", COMPRESSIONS[compression](path)) if compression else path.open("rb")


def read_documents(path: Path, name: str, compression: str | None, encoding: str = UTF_8) -> Iterator[Block]:
    """Read a file of documents, one sentence a line, with empty lines between documents; a document is a row.

    Rows have the column ``sentences``, a list of texts without spaces around them.

    Args:
        path: Where the file is.
        name: What messages call it.
        compression: One of ``COMPRESSIONS``, or None.
        encoding: How its characters are written.

    Raises:
        InputError: The file as a whole cannot be read.
    """
    with opened_text(path, name, compression, encoding) as text:
        yield from _read_documents(text, name)


@contextmanager
def _readable(name: str, compression: str | None) -> Iterator[None]:
    """Turn the many errors of damaged files into one sentence."""
    packed = COMPRESSION_NAMES.get(compression or "", "")
    try:
        yield
    except EOFError as error:
        raise InputError(f"{name}: the {packed} file is cut off or damaged; fetch or make it again.") from error
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{name} is no {packed} file, or is damaged ({error}); fetch or make it again.") from error
    except PermissionError as error:
        raise InputError(f"{name} may not be read: permission denied.") from error
    except (OSError, pa.ArrowException) as error:
        if "truncated" in str(error).lower():
            raise InputError(f"{name}: the {packed} file is cut off or damaged; fetch or make it again.") from error
        damaged = f"is no {packed} file, or is damaged" if packed else "cannot be read"
        raise InputError(f"{name} {damaged} ({error}); fetch or make it again.") from error


def _first_line(line: str, name: str) -> str:
    """Take the byte order mark off the first line of a file."""
    if line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise InputError(f"{name} is written in UTF-16; pass --encoding utf-16, or save it as UTF-8.")
    return line.removeprefix("\ufeff")


def line_blocks(text: io.TextIOWrapper, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, lines without their ends); only a line feed ends a line."""
    number = 1
    while lines := text.readlines(BLOCK_CHARACTERS):
        if number == 1:
            lines[0] = _first_line(lines[0], name)
        yield number, [line.rstrip("\r\n") for line in lines]
        number += len(lines)


def _undecodable(texts: Iterable[str]) -> list[int]:
    """Return the positions of texts that came from bytes that are no UTF-8."""
    texts = list(texts)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return [i for i, text in enumerate(texts) if any("\udc80" <= letter <= "\udcff" for letter in text)]
    return []


def _bytes_shown(text: str) -> str:
    r"""Write bytes that are no UTF-8 as ``\xff``, so that a row can be stored as JSON."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _invalid(number: int, line: str) -> BadRow:
    return BadRow(number, "the line is not valid UTF-8; save the file as UTF-8", _bytes_shown(line))


def _read_txt(text: io.TextIOWrapper, name: str) -> Iterator[Block]:
    """A line is a row with the column ``text``; empty lines at the end of the file are no rows."""
    held: list[str] = []
    for first, fresh in line_blocks(text, name):
        lines, first = held + fresh, first - len(held)
        full = len(lines)
        while full and not lines[full - 1].strip():
            full -= 1
        lines, held = lines[:full], lines[full:]
        numbers: list[int] | range = range(first, first + full)
        invalid = _undecodable(lines)
        bad = [_invalid(numbers[i], lines[i]) for i in invalid]
        if bad:
            kept = sorted(set(range(full)) - set(invalid))
            lines, numbers = [lines[i] for i in kept], [numbers[i] for i in kept]
        yield Block({"text": lines}, numbers, raw=lines.__getitem__, bad=bad)


def _read_documents(text: io.TextIOWrapper, name: str) -> Iterator[Block]:
    """Gather lines up to an empty one; a document is a row, and is told by the line that it begins on."""
    document: list[str] = []
    begins, number = 1, 0
    documents: list[list[str]] = []
    numbers: list[int] = []
    lines: list[int] = []
    bad: list[BadRow] = []

    def finish() -> None:
        nonlocal number, document
        if not document:
            return
        number += 1
        if _undecodable(document):
            reason = "the document is not valid UTF-8; save the file as UTF-8"
            bad.append(BadRow(number, reason, list(map(_bytes_shown, document)), begins))
        else:
            documents.append(document)
            lines.append(begins)
            numbers.append(number)
        document = []

    for first, fresh in line_blocks(text, name):
        for place, line in enumerate(fresh, first):
            if sentence := line.strip():
                begins = begins if document else place
                document.append(sentence)
            else:
                finish()
        yield _block_of_documents(documents, numbers, lines, bad)
        documents, numbers, lines, bad = [], [], [], []
    finish()
    yield _block_of_documents(documents, numbers, lines, bad)


def _block_of_documents(documents: list[list[str]], numbers: list[int], lines: list[int], bad: list[BadRow]) -> Block:
    return Block({"sentences": documents}, numbers, raw=documents.__getitem__, bad=bad, lines=lines)


_decode = json.JSONDecoder().raw_decode


def _parse_fast(lines: list[str]) -> list[dict[str, Any]] | None:
    """Parse a block in which every line is exactly one object; None where that is not so."""
    try:
        pairs = [_decode(line) for line in lines]
    except (ValueError, RecursionError):
        return None
    whole = [end for _, end in pairs] == list(map(len, lines))
    objects = [value for value, _ in pairs]
    return objects if whole and set(map(type, objects)) <= {dict} else None


def _parse_line(line: str) -> dict[str, Any] | str:
    """Parse one line; a text says what is wrong with it."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return f"the line is no valid JSON ({error.msg} at character {error.pos + 1})"
    except (RecursionError, ValueError) as error:
        return f"the line is no valid JSON ({error})"
    if not isinstance(value, dict):
        return 'the line is JSON but no object; every row looks like {"column": "value"}'
    return value


def _read_jsonl(text: io.TextIOWrapper, name: str) -> Iterator[Block]:
    """A line is a row; lines without anything are passed over but counted."""
    for first, fresh in line_blocks(text, name):
        lines, numbers = [line.rstrip(" \t\r") for line in fresh], range(first, first + len(fresh))
        objects = None if _undecodable(lines) else _parse_fast(lines)
        yield _block_of_objects(lines, numbers, objects) if objects is not None else _slow_block(lines, numbers)


def _slow_block(lines: list[str], numbers: range) -> Block:
    """Take a block of JSON lines apart line by line."""
    invalid = set(_undecodable(lines))
    kept: list[tuple[int, str, dict[str, Any]]] = []
    bad: list[BadRow] = []
    for i, line in enumerate(lines):
        if i in invalid:
            bad.append(_invalid(numbers[i], line))
        elif line.strip():
            parsed = _parse_line(line)
            if isinstance(parsed, str):
                bad.append(BadRow(numbers[i], parsed, line))
            else:
                kept.append((numbers[i], line, parsed))
    return _block_of_objects([line for _, line, _ in kept], [n for n, _, _ in kept], [o for _, _, o in kept], bad)


def _block_of_objects(
    raw: list[Any], numbers: range | list[int], objects: list[dict[str, Any]], bad: list[BadRow] | None = None
) -> Block:
    names = dict.fromkeys(name for keys in dict.fromkeys(map(tuple, objects)) for name in keys)
    columns: dict[str, list[Any] | pa.Array] = {name: [row.get(name) for row in objects] for name in names}
    return Block(columns, numbers, raw=raw.__getitem__, bad=bad or [])


UNCLOSED = (
    "a quotation mark opens a field here that is never closed; close it, or write a quotation mark that belongs to the "
    'text as two and put the whole field in quotation marks: "so ""called"" text".'
)


def _read_csv(text: io.TextIOWrapper, name: str, delimiter: str = ",") -> Iterator[Block]:
    """The first row names the columns; a field may be quoted, and a quote inside it is doubled."""
    stretches = _stretches(text, name, delimiter)
    names = _header(next(stretches, None), name)
    number = 1
    for stretch in stretches:
        yield _block_of_records(stretch, names, number)
        number += len(stretch)


@dataclass
class _Stretch:
    """Successive rows of a csv file: the line that each begins on, its fields, and what is wrong with some."""

    lines: Sequence[int]
    fields: list[list[str]]
    problems: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.fields)


def _stretches(text: io.TextIOWrapper, name: str, delimiter: str) -> Iterator[_Stretch]:
    """Yield the header alone, then the rows, some thousands at a time; lines without anything are passed over."""
    seen: list[str] = []
    source = itertools.chain([_first_line(text.readline(), name)], text)
    # filterfalse keeps each line that the reader takes, at no cost: append returns None
    reader = csv.reader(itertools.filterfalse(seen.append, source), delimiter=delimiter, strict=True)
    wanted = 1
    while True:
        seen.clear()
        first = reader.line_num + 1
        try:
            with _long_fields():
                fields = list(itertools.islice(reader, wanted))
        except csv.Error:
            yield _taken_apart(seen, first, name, delimiter)
            continue
        if not seen:
            return
        as_lines = len(fields) == len(seen) and all(fields)  # no quoted line ends, no empty lines
        stretch = _Stretch(range(first, first + len(seen)), fields)
        yield stretch if as_lines else _taken_apart(seen, first, name, delimiter)
        wanted = BLOCK_ROWS if fields else wanted


def _taken_apart(lines: list[str], first: int, name: str, delimiter: str) -> _Stretch:
    """Read lines row by row, so that the line of each is known and a malformed one does not hide the others."""
    starts: list[int] = []
    rows: list[list[str]] = []
    problems: dict[int, str] = {}
    seen: list[str] = []
    reader = csv.reader(itertools.filterfalse(seen.append, lines), delimiter=delimiter, strict=True)
    with _long_fields():
        while True:
            start = first + reader.line_num
            seen.clear()
            try:
                fields = next(reader)
            except StopIteration:
                return _Stretch(starts, rows, problems)
            except csv.Error as error:
                if "unexpected end" in str(error) or "field limit" in str(error):
                    raise InputError(f"{name}, line {start}: {UNCLOSED}") from error
                problems[len(rows)] = f"a field is not quoted as csv asks for ({error})"
                fields = ["".join(seen)]
            if fields:
                starts.append(start)
                rows.append(fields)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let csv fields be long; the limit is one for the whole process."""
    usual = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _header(stretch: _Stretch | None, name: str) -> list[str]:
    if stretch is None or not len(stretch) or stretch.problems:
        problem = stretch.problems[0] if stretch and stretch.problems else "there is no row of column names"
        raise InputError(f"{name}, line 1: {problem}; the first row names the columns.")
    names = [one.strip() or f"column {i}" for i, one in enumerate(stretch.fields[0], 1)]
    if _undecodable(names):
        raise InputError(f"{name}, line 1: the row of column names is not valid UTF-8; save the file as UTF-8.")
    repeated = [one for one in names if names.count(one) > 1]
    if repeated:
        raise InputError(f"{name}, line 1: two columns are named '{repeated[0]}'; give each its own name.")
    return names


def _block_of_records(stretch: _Stretch, names: list[str], number: int) -> Block:
    """Make a block of rows, the first of which has this number."""
    problems: dict[int, str] = {}
    if set(map(len, stretch.fields)) != {len(names)}:
        problems = {
            i: f"the row has {len(fields)} fields and the header {len(names)}"
            for i, fields in enumerate(stretch.fields)
            if len(fields) != len(names)
        }
    problems |= stretch.problems
    invalid = _undecodable(map("".join, stretch.fields))
    problems |= dict.fromkeys(invalid, "the row is not valid UTF-8; save the file as UTF-8")
    bad = [
        BadRow(number + i, problem, [_bytes_shown(one) for one in stretch.fields[i]], stretch.lines[i])
        for i, problem in sorted(problems.items())
    ]
    kept: Sequence[int] = [i for i in range(len(stretch)) if i not in problems] if bad else range(len(stretch))
    fields = [stretch.fields[i] for i in kept] if bad else stretch.fields
    return Block(
        {one: list(map(operator.itemgetter(column), fields)) for column, one in enumerate(names)},
        [number + i for i in kept] if bad else range(number, number + len(stretch)),
        raw=fields.__getitem__,
        bad=bad,
        lines=[stretch.lines[i] for i in kept] if bad else stretch.lines,
        only_text=True,
    )


def _read_tsv(text: io.TextIOWrapper, name: str) -> Iterator[Block]:
    return _read_csv(text, name, delimiter="\t")


def _read_parquet(path: Path, name: str, compression: str | None) -> Iterator[Block]:
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True)
        groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
        rows = rows_at_once(sum(group.total_byte_size for group in groups), file.metadata.num_rows, BLOCK_ROWS)
        yield from read_tables(pa.table(batch) for batch in file.iter_batches(batch_size=rows))
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{name} is no Parquet file, or is cut off or damaged ({str(error).rstrip('.')}); fetch or make it again."
        ) from error


def _read_tar(path: Path, name: str, compression: str | None) -> Iterator[Block]:
    with _opened(path, compression) as binary:
        yield from read_shard(binary, name, BLOCK_BYTES, BLOCK_ROWS)


TEXT_FORMATS: dict[str, Callable[[io.TextIOWrapper, str], Iterator[Block]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
}
BINARY_FORMATS: dict[str, Callable[[Path, str, str | None], Iterator[Block]]] = {
    ".parquet": _read_parquet,
    ".tar": _read_tar,
}
FORMATS = (*TEXT_FORMATS, *BINARY_FORMATS)
"""Ends of the names of files that hold rows."""


def rows_at_once(num_bytes: int, num_rows: int, most: int) -> int:
    """Return how many rows of a table fit into a block.

    Example:
        >>> rows_at_once(100 * 2**30, 102_400, most=2048)  # of a megabyte each
        64
    """
    return max(1, min(most, BLOCK_BYTES * num_rows // max(num_bytes, 1)))


def read_tables(tables: Iterable[pa.Table]) -> Iterator[Block]:
    """Make blocks of Arrow tables, each small enough to be held in memory."""
    number = 1
    for table in tables:
        columns = {name: _one_array(table.column(name)) for name in table.column_names}
        yield Block(dict(columns), range(number, number + len(table)), raw=_row_of(table))
        number += len(table)


def _row_of(table: pa.Table) -> Callable[[int], Any]:
    return lambda i: table.slice(i, 1).to_pylist()[0]


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def read_rows(rows: Iterable[Any]) -> Iterator[Block]:
    """Make blocks of rows given as Python dicts."""
    part: list[tuple[int, dict[str, Any]]] = []
    bad: list[BadRow] = []

    def block() -> Block:
        return _block_of_objects([row for _, row in part], [n for n, _ in part], [row for _, row in part], bad)

    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            part.append((number, row))
        else:
            bad.append(BadRow(number, f"the row is a {type(row).__name__} and no dict", repr(row)))
        if len(part) + len(bad) >= BLOCK_ROWS:
            yield block()
            part, bad = [], []
    yield block()
