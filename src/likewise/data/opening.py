"""``open_table``: from whatever holds rows to a table of rows that can be used."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import filelock
import numpy as np
import pyarrow as pa

from likewise.data.arrow_file import ArrowFile, ContentDigest
from likewise.data.blocks import BadRow
from likewise.data.cache import cache_folder
from likewise.data.checking import BadRows, Rejections, check_names, good_blocks, mend_or_skip, no_rows, odd_one
from likewise.data.columns import Column
from likewise.data.dialog_actions import action_source
from likewise.data.dictionary_file import DICTIONARY, dictionary_source
from likewise.data.image_files import image_source
from likewise.data.readers import UTF_8, checked_encoding
from likewise.data.sources import (
    DOCUMENTS,
    Source,
    dataset_source,
    documents_source,
    file_source,
    hub_source,
    rows_source,
)
from likewise.data.table import StreamedTable, Table
from likewise.errors import InputError, RunError

__all__ = ["Rows", "open_table"]

logger = logging.getLogger(__name__)

Rows: TypeAlias = str | Path | Iterable[Mapping[str, Any]]
"""What holds rows: a name, a path, rows themselves, or a ``datasets.Dataset``."""

LAYOUT = 1
"""Version of the stored form; a table stored in another form is made again."""


@overload
def open_table(
    source: Rows,
    *,
    columns: Sequence[Column],
    rename: Mapping[str, str] | None = None,
    bad_rows: BadRows = "error",
    rejected: Path | None = None,
    streaming: Literal[False] = False,
    encoding: str = UTF_8,
    cache: Path | None = None,
) -> Table: ...
@overload
def open_table(
    source: Rows,
    *,
    columns: Sequence[Column],
    rename: Mapping[str, str] | None = None,
    bad_rows: BadRows = "error",
    rejected: Path | None = None,
    streaming: Literal[True],
    encoding: str = UTF_8,
    cache: Path | None = None,
) -> StreamedTable: ...
@overload
def open_table(
    source: Rows,
    *,
    columns: Sequence[Column],
    rename: Mapping[str, str] | None = None,
    bad_rows: BadRows = "error",
    rejected: Path | None = None,
    streaming: bool,
    encoding: str = UTF_8,
    cache: Path | None = None,
) -> Table | StreamedTable: ...
def open_table(
    source: Rows,
    *,
    columns: Sequence[Column],
    rename: Mapping[str, str] | None = None,
    bad_rows: BadRows = "error",
    rejected: Path | None = None,
    streaming: bool = False,
    encoding: str = UTF_8,
    cache: Path | None = None,
) -> Table | StreamedTable:
    """Open rows of data, check every one of them, and return what can be used.

    The first opening reads the source from end to end and stores the checked rows as an Arrow file in the cache;
    opening the same unchanged files again takes milliseconds. Rows given from Python stay in memory.

    Args:
        source: A file (``txt`` one row a line with the column ``text``, ``jsonl``, ``csv``, ``tsv`` or ``parquet``;
            all but the last perhaps compressed as ``.gz``, ``.bz2``, ``.xz`` or ``.zst``), a WebDataset shard
            (``tar``, :mod:`likewise.data.shards`), a pattern, a folder of files of one format, a folder of pictures
            (:mod:`likewise.data.image_files`), dialogs with annotated actions (:mod:`likewise.data.dialog_actions`),
            ``hf:owner/name[:config][:split]``, ``demo:NAME[:part]``, a list of dicts, a
            ``datasets.Dataset``, or a table that was opened for these columns, which is returned as it is.
            ``dictionary:FILE`` is a file without a row of names: an entry, a tab, and its definitions;
            ``documents:PATH`` are texts of several languages, one sentence a line, a document a row.
        columns: What each row must bring; the source's other columns are kept as metadata (``table.extra``).
        rename: The source's name of a column by ours, where they differ: ``{"query": "question"}``.
        bad_rows: "error" refuses the first row that cannot be used; "skip" leaves such rows out and counts them.
        rejected: With "skip": file to which each of them is written with file, row and reason (JSON lines).
        streaming: Store nothing and read the source anew each time: a table without random access.
        encoding: How the characters of files are written: "utf-8", "utf-16", "latin-1" ...
        cache: Folder of stored tables; default ``cache_folder() / "tables"``.

    Returns:
        The table.

    Raises:
        InputError: Something cannot be used; the message says what, where, and what to do.
        RunError: The cache, the folder for temporary files or ``rejected`` cannot be written.

    Example:
        >>> from likewise.data import Column, Text
        >>> table = open_table([{"text": "a dog", "id": 7}], columns=[Column("text", Text)])
        >>> table[0], table.extra(0), table.where(0)
        ({'text': 'a dog'}, {'id': 7}, 'rows[0]')
    """
    names = dict(rename or {})
    check_names(columns, names, bad_rows)
    if isinstance(source, Table | StreamedTable):
        return _already_open(source, columns)
    found = _find(source, streaming=streaming, encoding=checked_encoding(encoding))
    if streaming:
        return StreamedTable(found, columns, rename=names, bad_rows=bad_rows, rejected_path=rejected)
    if found.identity is None:
        with (
            _storing("the folder for temporary files", "TMPDIR"),
            tempfile.TemporaryDirectory(prefix="likewise-") as temporary,
        ):
            about = _write(Path(temporary), found, columns, names, bad_rows)
            _copy_rejected(Path(temporary), rejected, bad_rows)
            return _table(Path(temporary), about, found, columns, in_memory=True)
    folder = _stored(found, columns, names, bad_rows, cache or cache_folder() / "tables")
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    if bad_rows == "error" and about["rejected"]:
        with (folder / "rejected.jsonl").open(encoding="utf-8") as file:
            first = json.loads(file.readline())
        raise mend_or_skip(first["file"], BadRow(first["row"], first["reason"], first["raw"], first["line"]))
    _copy_rejected(folder, rejected, bad_rows)
    return _table(folder, about, found, columns)


def _already_open(table: Table | StreamedTable, columns: Sequence[Column]) -> Table | StreamedTable:
    kept = {(column.name, column.kind, column.many) for column in table.columns if column.name in table.column_names}
    names = {name for name, _, _ in kept}
    replaced = {one.instead_of for one in columns if one.name in names} | {
        one.name for one in columns if one.instead_of in names and one.name not in names
    }
    for column in columns:
        if column.name not in names and column.name in replaced:
            continue
        if column.required and (column.name, column.kind, column.many) not in kept:
            raise InputError(
                f"{table.name} was opened for the columns {', '.join(table.column_names)}, and column '{column.name}' "
                f"({column.must}) is needed; open the source again with these columns."
            )
        if column.all_or_none:
            _check_all_or_none(table, column)
    return table


def _check_all_or_none(table: Table | StreamedTable, column: Column) -> None:
    """Refuse a table that was opened without asking that a column has a value in all rows or in none, and has not."""
    if column.name not in table.column_names or any(
        one.name == column.name and (one.required or one.all_or_none) for one in table.columns
    ):
        return
    if isinstance(table, StreamedTable):
        raise InputError(
            f"{table.name} was opened without asking that column '{column.name}' has a value in all rows or in none, "
            "and rows that are read as they are needed cannot be looked through; open the source again with these "
            "columns."
        )
    has = table.brings(column)
    if has.any() and not has.all():
        odd = int(np.argmax(has != has[0]))
        raise InputError(
            f"{table.where(odd)}: {odd_one(column, column.name, bool(has[0]))}. Mend the row, or open the source "
            "without the column."
        )


def _find(source: Rows, *, streaming: bool, encoding: str) -> Source:
    if isinstance(source, str) and source.startswith(DICTIONARY):
        return dictionary_source(source, encoding)
    if isinstance(source, str) and source.startswith(DOCUMENTS):
        return documents_source(source, encoding)
    if isinstance(source, str | Path) and not str(source).startswith(("hf:", "demo:")):
        return action_source(source, encoding) or image_source(source, encoding) or file_source(source, encoding)
    if encoding != UTF_8:
        what = f"'{source}'" if isinstance(source, str) else "a list of rows"
        raise InputError(f"encoding is {encoding}, but {what} is no file of text; leave the encoding out.")
    if isinstance(source, str | Path):
        name = str(source)
        if name.startswith("hf:"):
            return hub_source(name, streaming=streaming)
        from likewise.data.demo import demo_source

        return demo_source(name)
    if hasattr(source, "with_format") and hasattr(source, "info"):
        return dataset_source(source)
    return rows_source(source)


def _stored(
    found: Source, columns: Sequence[Column], rename: Mapping[str, str], bad_rows: BadRows, cache: Path
) -> Path:
    """Return the folder of the stored table, made if it is not there yet."""
    declared = [
        [column.name, column.kind.name, column.required, column.many, column.all_or_none, column.instead_of]
        for column in columns
    ]
    key = json.dumps([LAYOUT, found.identity, declared, sorted(rename.items())])
    folder = cache / hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]
    if _is_current(folder, columns):
        return folder
    with _storing(f"the cache folder '{cache}'", "LIKEWISE_CACHE"):
        cache.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock"):
            if _is_current(folder, columns):
                return folder
            with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as unfinished:
                made = Path(unfinished) / "table"
                made.mkdir()
                _write(made, found, columns, rename, bad_rows)
                shutil.rmtree(folder, ignore_errors=True)  # one whose pictures have changed since
                made.rename(folder)
    return folder


def _is_current(folder: Path, columns: Sequence[Column]) -> bool:
    """Tell whether a stored table is there, and the files that it names are as they were."""
    about = folder / "about.json"
    return about.exists() and _state_of_files(folder, columns) == json.loads(about.read_text("utf-8")).get("files")


def _state_of_files(folder: Path, columns: Sequence[Column]) -> str | None:
    """Digest names, sizes and dates of the files that the values of a stored table are read from; None without any."""
    naming = [column for column in columns if not column.kind.as_stored]
    if not naming:
        return None
    digest, count = hashlib.sha256(), 0
    with pa.memory_map(str(folder / "rows.arrow")) as stored, pa.ipc.open_stream(stored) as reader:
        for batch in reader:
            for column in naming:
                if column.name not in batch.schema.names:
                    continue
                array = batch.column(column.name)
                for path in column.kind.files_of(array.flatten() if column.many else array):
                    digest.update(f"{path}\0{_state(path)}\0".encode())
                    count += 1
    return digest.hexdigest() if count else None


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - one may be of a million
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


@contextmanager
def _storing(folder: str, variable: str) -> Iterator[None]:
    """Turn what a full or forbidden disk raises into one sentence.

    Args:
        folder: What is written to, as a message calls it.
        variable: Environment variable that names another folder.
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written ({error}); free some space, or name another folder in the environment "
            f"variable {variable}."
        ) from error


def _write(
    folder: Path, found: Source, columns: Sequence[Column], rename: Mapping[str, str], bad_rows: BadRows
) -> dict[str, Any]:
    """Read the source into a folder: ``rows.arrow``, ``about.json`` and perhaps ``rejected.jsonl``."""
    digest = ContentDigest(columns)
    with (
        Rejections(bad_rows, folder / "rejected.jsonl", given=found.given) as rejections,
        ArrowFile(folder / "rows.arrow", [column.name for column in columns]) as file,
    ):
        for i, good in good_blocks(found, columns, rename, rejections):
            digest.update(good)
            file.write(good, i)
        if not file.num_rows:
            raise no_rows(found, rejections)
    about = {
        "fingerprint": digest.hexdigest(),
        "rejected": rejections.count,
        "as_json": file.as_json,
        "files": _state_of_files(folder, columns),
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return about


def _copy_rejected(folder: Path, rejected: Path | None, bad_rows: BadRows) -> None:
    if rejected is None or bad_rows == "error":
        return
    try:
        rejected.unlink(missing_ok=True)
        if (folder / "rejected.jsonl").exists():
            rejected.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "rejected.jsonl", rejected)
    except OSError as error:
        raise RunError(
            f"the rejected rows cannot be written to '{rejected}' ({error}); free some space, or mend the rows."
        ) from error


def _table(
    folder: Path, about: Mapping[str, Any], found: Source, columns: Sequence[Column], *, in_memory: bool = False
) -> Table:
    import datasets

    if about["rejected"]:
        rows = "1 bad row is" if about["rejected"] == 1 else f"{about['rejected']:,} bad rows are"
        logger.warning("%s: %s left out", found.name, rows)
    if in_memory:
        with pa.OSFile(str(folder / "rows.arrow"), "rb") as stream, pa.ipc.open_stream(stream) as reader:
            dataset = datasets.Dataset(datasets.table.InMemoryTable(reader.read_all()))
    else:
        dataset = datasets.Dataset.from_file(str(folder / "rows.arrow"))
    return Table(
        dataset,
        columns,
        name=found.name,
        files=found.files,
        fingerprint=about["fingerprint"],
        rejected=about["rejected"],
        as_json=about["as_json"],
        given=found.given,
    )
