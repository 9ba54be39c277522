"""WebDataset shards: tar files in which files of one name, but for its end, are a row."""

from __future__ import annotations

import json
import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

from likewise.data.blocks import BadRow, Block
from likewise.data.images import IMAGE_NAMES
from likewise.errors import InputError

__all__ = ["read_shard"]

logger = logging.getLogger(__name__)

COLUMNS = {"cls": "label", "txt": "text"} | dict.fromkeys((name[1:] for name in IMAGE_NAMES), "image")
"""The column that a member belongs to, by the end of its name."""
TEXTS = ("cls", "txt")


@dataclass
class _Sample:
    """The members of one key."""

    key: str
    values: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    def add(self, end: str, content: bytes) -> bool:
        """Take a member; False where nobody reads such."""
        prefix, _, kind = end.rpartition(".")
        column = prefix or COLUMNS.get(kind, kind)
        try:
            if kind in TEXTS:
                self.values[column] = content.decode().strip()
            elif kind == "json":
                value = json.loads(content)
                if isinstance(value, dict) and not prefix:
                    self.entries |= value
                else:
                    self.values[column] = value
            elif kind in COLUMNS:
                self.values[column] = content
            else:
                return False
        except (ValueError, RecursionError) as error:
            wanted = "JSON" if kind == "json" else "UTF-8"
            self.problem = self.problem or f"the member '{self.key}.{end}' is no valid {wanted} ({error})"
        return True

    @property
    def row(self) -> dict[str, Any]:
        """The row; what has a member of its own goes before an entry of the JSON member."""
        return {"key": self.key, **self.entries, **self.values}


def read_shard(binary: IO[bytes], name: str, block_bytes: int, block_rows: int) -> Iterator[Block]:
    """Read a tar file as WebDataset writes it.

    Members that follow each other and have the same path up to the first point of their name are a row: ``.jpg``,
    ``.png``, ``.webp`` ... is the column ``image``, ``.cls`` ``label``, ``.txt`` ``text``, and the entries of
    ``.json`` are columns. ``0001.mask.png`` is the column ``mask``. ``key`` is the path that they share.

    Args:
        binary: The file, unpacked; read from the beginning to the end.
        name: What messages call it.
        block_bytes: Bytes of members after which a block ends.
        block_rows: Rows after which a block ends.

    Raises:
        InputError: It is no tar file, or is cut off.
    """
    pending: list[tuple[int, _Sample]] = []
    size = 0
    for number, sample, added in _samples(binary, name):
        pending.append((number, sample))
        size += added
        if size >= block_bytes or len(pending) == block_rows:
            yield _block(pending)
            pending, size = [], 0
    yield _block(pending)


def _samples(binary: IO[bytes], name: str) -> Iterator[tuple[int, _Sample, int]]:
    sample: _Sample | None = None
    number, size = 0, 0
    unread: set[str] = set()
    try:
        with tarfile.open(fileobj=binary, mode="r|") as shard:
            for member in shard:
                path = PurePosixPath(member.name)
                stem, _, end = path.name.partition(".")
                if not member.isfile() or not stem or not end:
                    continue
                key = (path.parent / stem).as_posix()
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield number, sample, size
                    sample, number, size = _Sample(key), number + 1, 0
                extracted = shard.extractfile(member)
                content = extracted.read() if extracted else b""
                if len(content) < member.size:
                    raise tarfile.ReadError("unexpected end of data")
                size += len(content)
                if not sample.add(end.lower(), content):
                    unread.add(end.lower())
    except tarfile.TarError as error:
        raise InputError(
            f"{name} is no tar file, or is cut off or damaged ({str(error).rstrip('.')}); fetch or make it again."
        ) from error
    if sample is not None:
        yield number, sample, size
    if unread:
        logger.warning("%s: members that end in %s are not read", name, ", ".join(f".{one}" for one in sorted(unread)))


def _block(samples: list[tuple[int, _Sample]]) -> Block:
    bad = [BadRow(number, one.problem, one.row) for number, one in samples if one.problem]
    rows = [one.row for _, one in samples if not one.problem]
    names = dict.fromkeys(name for row in rows for name in row)
    return Block(
        {name: [row.get(name) for row in rows] for name in names},
        [number for number, one in samples if not one.problem],
        raw=rows.__getitem__,
        bad=bad,
    )
