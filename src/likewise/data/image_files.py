"""Folders of pictures: a picture is a row, its folder its class, and ``metadata.csv`` what else is known about it."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from likewise.data.blocks import Block
from likewise.data.images import IMAGE_NAMES
from likewise.data.readers import BLOCK_ROWS, read_file
from likewise.data.sources import Source, kind_of_file, matching
from likewise.errors import InputError

__all__ = ["image_source"]

logger = logging.getLogger(__name__)

METADATA = ("metadata.csv", "metadata.jsonl")
"""Files that say more about the pictures beside and below them, as ``datasets`` names them."""
FILE_NAME = "file_name"
"""Their column that says which picture a row is about, from the file's folder on."""
NAMED = 5
"""Files that a warning names."""


def image_source(source: str | Path, encoding: str) -> Source | None:
    """Make a source of a folder of pictures, of the pictures that a pattern matches, or of one.

    A row has the columns ``image``, ``file`` (from the folder on), ``label`` (the first folder below, where all
    pictures lie in one) and those of ``metadata.csv`` and ``metadata.jsonl``. Rows are in the order of their files.

    Args:
        source: A folder, a pattern or a file.
        encoding: How the characters of ``metadata.csv`` and ``metadata.jsonl`` are written.

    Returns:
        The source, or None where the source is about no pictures.

    Raises:
        InputError: A metadata file cannot be read, or lacks the column ``file_name``.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        inside = _looked_through(path)
        return _source(str(source), path, inside, encoding) if inside else None
    if path.is_file():
        listed, root = [path], path.parent
    elif glob.has_magic(str(source)):
        listed = matching(path)
        root = Path(os.path.commonpath([one.parent for one in listed])) if listed else path
    else:
        return None
    found = _Found()
    for one in listed:
        folder = one.parent.relative_to(root).as_posix()
        found.add("" if folder == "." else f"{folder}/", one.name)
    return _source(str(source) if len(listed) > 1 else path.name, root, found, encoding) if found.images else None


@dataclass
class _Found:
    """What lies in a folder, each file by its path from the folder on."""

    images: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def add(self, folder: str, file: str) -> None:
        """Take a file; one may be of a million, so paths are texts here."""
        is_image = file.lower().endswith(IMAGE_NAMES)
        (self.images if is_image else self.metadata if file in METADATA else self.others).append(folder + file)


def _looked_through(folder: Path) -> _Found | None:
    """List a folder and those below it, hidden ones aside; links are followed, but not in circles.

    Returns:
        What was found, or None where the folder is one of rows, perhaps with some pictures below it.
    """
    found, notes = _Found(), 0
    been: set[str] = set()
    for here, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in been:
            below.clear()
            continue
        been.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        prefix = "" if Path(here) == folder else f"{Path(here).relative_to(folder).as_posix()}/"
        for name in names:
            if not name.startswith("."):
                found.add(prefix, name)
        if not prefix and not (found.images or found.metadata):
            rows = [kind[0] for name in found.others if (kind := kind_of_file(Path(name)))]
            notes = rows.count(".txt")  # a licence, a list of names
            if notes < len(rows):
                return None
    return found if len(found.images) > notes else None


def _source(name: str, root: Path, found: _Found, encoding: str) -> Source:
    if found.others:
        named = ", ".join(sorted(found.others)[:NAMED]) + (", ..." if len(found.others) > NAMED else "")
        logger.warning("%s: pictures are read, and %d other files are not (%s)", name, len(found.others), named)
    images, whole = sorted(found.images), hashlib.sha256()
    for one in sorted(found.metadata):
        whole.update(one.encode(errors="surrogateescape") + (root / one).read_bytes())
    contents = whole.copy()
    where = root.resolve()
    for one in images:
        state = os.stat(f"{where}/{one}")  # noqa: PTH116
        whole.update(f"{one}\0{state.st_size}\0{state.st_mtime_ns}\0".encode(errors="surrogateescape"))
        contents.update(f"{one}\0{state.st_size}\0".encode(errors="surrogateescape"))

    def read(_: int) -> Iterator[Block]:
        return _blocks(where, images, _read_metadata(where, sorted(found.metadata), encoding))

    return Source(
        name=name,
        files=[name],
        read=read,
        identity=["images", encoding, str(where), whole.hexdigest()],
        content=contents.hexdigest(),
    )


@dataclass(frozen=True)
class _Metadata:
    """What metadata files say: rows by the picture that they are about, and whether they know nothing but text."""

    rows: dict[str, dict[str, Any]]
    columns: Sequence[str]
    only_text: bool


def _read_metadata(root: Path, files: Iterable[str], encoding: str) -> _Metadata:
    rows: dict[str, dict[str, Any]] = {}
    columns: dict[str, None] = {}
    only_text = False
    for name in files:
        path = root / name
        for block in read_file(path, name, path.suffix, None, encoding):
            if block.bad:
                raise InputError(f"{name}, row {block.bad[0].number}: {block.bad[0].reason}. Mend the row.")
            if len(block) and FILE_NAME not in block.columns:
                raise InputError(
                    f"{name} has no column '{FILE_NAME}', which says what picture each row is about, from the folder "
                    f"of {path.name} on. Its columns: {', '.join(block.columns)}. Name one so."
                )
            only_text |= block.only_text
            columns |= dict.fromkeys(column for column in block.columns if column != FILE_NAME)
            for i, number in enumerate(block.numbers):
                row = {column: values[i] for column, values in block.columns.items()}
                about = row.pop(FILE_NAME)
                if not isinstance(about, str) or not about.strip():
                    raise InputError(f"{name}, row {number}: column '{FILE_NAME}' names no picture. Mend the row.")
                rows[Path(os.path.normpath(Path(name).parent / about)).as_posix()] = row
    return _Metadata(rows, list(columns), only_text)


def _blocks(root: Path, images: list[str], metadata: _Metadata) -> Iterator[Block]:
    """Yield a row for each picture, and for each that a metadata file names and that is not there."""
    names = sorted({*images, *metadata.rows})
    classes = all("/" in name for name in names) and "label" not in metadata.columns
    absent = "" if metadata.only_text else None
    for start in range(0, len(names), BLOCK_ROWS):
        part = names[start : start + BLOCK_ROWS]
        known = [metadata.rows.get(name, {}) for name in part]
        columns: dict[str, Any] = {"image": [f"{root}/{name}" for name in part]}
        if classes:
            columns["label"] = [name.partition("/")[0] for name in part]
        columns["file"] = part
        columns |= {column: [row.get(column, absent) for row in known] for column in metadata.columns}
        yield Block(
            columns,
            range(start + 1, start + len(part) + 1),
            raw=_row_of(columns),
            only_text=metadata.only_text,
        )


def _row_of(columns: dict[str, list[Any]]) -> Any:
    return lambda i: {name: values[i] for name, values in columns.items()}
