"""Dictionaries as they are published: a line an entry, an entry, a tab, and its definitions."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from likewise.data.blocks import BadRow, Block
from likewise.data.readers import line_blocks, opened_text
from likewise.data.sources import DataFile, Source, source_of_files
from likewise.errors import InputError

__all__ = ["DICTIONARY", "MORE", "dictionary_source"]

DICTIONARY = "dictionary:"
"""Stands before the name of such a file."""
MORE = "<|list_more_def|>"
"""Stands between two definitions of an entry, as in the files of the DefSent+ authors."""


def dictionary_source(source: str, encoding: str) -> Source:
    """Make a source of ``dictionary:FILE``; its rows are ``entry`` and ``definition``, a list.

    There is no row of names, and quotation marks mean nothing: what makes a tsv file. An entry without a definition
    comes through with an empty list, and an empty definition as an empty text, so that they are refused as those of
    other files are.

    Args:
        source: Such a name.
        encoding: How the characters are written.

    Raises:
        InputError: There is no such file, or it is empty.
    """
    path = Path(source.removeprefix(DICTIONARY)).expanduser()
    if not path.is_file():
        raise InputError(f"there is no file '{path}'; write {DICTIONARY}FILE, a line an entry: ENTRY<tab>DEFINITION.")
    if not path.stat().st_size:
        raise InputError(f"{path.name} is empty (0 bytes); a data file needs at least one row.")
    file = DataFile(path, path.name, ".txt", None)

    def read(_: int) -> Iterator[Block]:
        with opened_text(path, path.name, None, encoding) as text:
            yield from _blocks(text, path.name)

    return source_of_files(path, [file], read, "dictionary", encoding)


def _blocks(text: io.TextIOWrapper, name: str) -> Iterator[Block]:
    for first, lines in line_blocks(text, name):
        entries: list[str] = []
        definitions: list[list[str]] = []
        numbers: list[int] = []
        bad: list[BadRow] = []
        for number, line in enumerate(lines, first):
            fields = line.split("\t")
            if not line.strip():
                continue
            if len(fields) != 2:
                reason = f"the line has {len(fields) - 1} tabs; it is an entry, one tab, and its definitions"
                bad.append(BadRow(number, reason, line))
                continue
            numbers.append(number)
            entries.append(fields[0].strip())
            definitions.append([one.strip() for one in fields[1].split(MORE)] if fields[1].strip() else [])
        raw = dict(enumerate(zip(entries, definitions, strict=True)))
        yield Block({"entry": entries, "definition": definitions}, numbers, raw=raw.__getitem__, bad=bad)
