"""A dictionary: entries, and for each of them what it means."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from likewise.data.columns import Column, Text
from likewise.data.table import Table
from likewise.errors import InputError

__all__ = ["DICTIONARY_COLUMNS", "Dictionary"]

DICTIONARY_COLUMNS = (
    Column("entry", Text, help="a word, a phrase, a term, the name of a product"),
    Column("definition", Text, many=True, help="what it means; one or more"),
)
"""What a row of a dictionary brings."""


@dataclass(frozen=True)
class Dictionary:
    """Entries in the order of their first row, with their definitions.

    Rows of one entry (equal but for white space around and between its words) are one entry with the definitions of
    all; equal definitions of one entry are one.

    Args:
        definitions: Definitions of each entry, at least one, by its name.
        rows: Rows they came from.
        repeated: Definitions that were left out because the entry has them already.
        beyond: Definitions that were left out because the entry has enough.

    Example:
        >>> from likewise.data import open_table
        >>> rows = [{"entry": "dog", "definition": ["a pet", "a wretch"]}, {"entry": " dog", "definition": "a pet"}]
        >>> found = Dictionary.of(open_table(rows, columns=DICTIONARY_COLUMNS))
        >>> found.definitions, found.repeated
        ({'dog': ('a pet', 'a wretch')}, 1)
        >>> found.report
        '1 entry with 2 definitions (a mean of 2.0, at most 2), from 2 rows; 1 definition that stood twice is left out'
    """

    definitions: Mapping[str, tuple[str, ...]]
    rows: int
    repeated: int = 0
    beyond: int = 0

    @classmethod
    def of(cls, table: Table, *, most: int | None = None) -> Dictionary:
        """Gather the rows of a table with :data:`DICTIONARY_COLUMNS`.

        Args:
            table: The rows.
            most: Definitions of an entry that are used, the first ones, >= 1; None: all.
        """
        gathered: dict[str, dict[str, None]] = {}
        given = 0
        for row in table.stream():
            definitions = [" ".join(one.split()) for one in row["definition"]]
            given += len(definitions)
            gathered.setdefault(" ".join(row["entry"].split()), {}).update(dict.fromkeys(definitions))
        distinct = sum(map(len, gathered.values()))
        kept = {entry: tuple(found)[:most] for entry, found in gathered.items()}
        beyond = distinct - sum(map(len, kept.values()))
        return cls(kept, len(table), given - distinct, beyond)

    @property
    def entries(self) -> list[str]:
        """The names of the entries."""
        return list(self.definitions)

    @property
    def fingerprint(self) -> str:
        """Hex digest of entries and definitions, in their order."""
        digest = hashlib.blake2b(digest_size=16)
        for entry, definitions in self.definitions.items():
            digest.update("\n".join([entry, *definitions, "\n"]).encode())
        return digest.hexdigest()

    @property
    def report(self) -> str:
        """What was found, in a line for people."""
        counts = list(map(len, self.definitions.values()))
        said = (
            f"{_number(len(counts), 'entry', 'entries')} with {_number(sum(counts), 'definition')} "
            f"(a mean of {statistics.mean(counts):.1f}, at most {max(counts)}), from {_number(self.rows, 'row')}"
        )
        if self.repeated:
            said += f"; {_number(self.repeated, 'definition')} that stood twice {_are(self.repeated)} left out"
        if self.beyond:
            said += f"; {_number(self.beyond, 'definition')} beyond the cap {_are(self.beyond)} left out"
        return said

    def restricted(self, entries: Mapping[str, Any]) -> Dictionary:
        """Return the part of it with these entries."""
        part = {entry: found for entry, found in self.definitions.items() if entry in entries}
        return Dictionary(part, self.rows, self.repeated, self.beyond)

    def check_size(self) -> None:
        """Refuse what cannot be told apart.

        Raises:
            InputError: There are fewer than two entries.
        """
        if len(self.definitions) < 2:
            raise InputError(
                f"only {_number(len(self.definitions), 'entry', 'entries')} to train on; "
                "a definition is told from those of other entries, so at least 2 are needed, better a few thousand."
            )

    def pairs(self) -> Iterator[tuple[str, int]]:
        """Yield (definition, number of its entry), entry after entry."""
        for number, found in enumerate(self.definitions.values()):
            for definition in found:
                yield definition, number


def _number(count: int, one: str, several: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
