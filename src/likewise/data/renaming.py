"""Which column of a file is which of ours, as people write it: ``query=question``."""

from __future__ import annotations

from collections.abc import Iterable

from likewise.errors import InputError

__all__ = ["parse_renaming"]


def parse_renaming(entries: Iterable[str] | None) -> dict[str, str]:
    """Turn OURS=THEIRS pairs into a mapping from our column to the file's.

    Raises:
        InputError: An entry is not such a pair, or a column of ours is named twice.

    Example:
        >>> parse_renaming(["query=question", "positive=answer"])
        {'query': 'question', 'positive': 'answer'}
    """
    pairs: dict[str, str] = {}
    for entry in entries or ():
        ours, equals, theirs = (part.strip() for part in entry.partition("="))
        if not (ours and equals and theirs):
            raise InputError(f"--columns {entry} is not OURS=THEIRS; write for example --columns query=question.")
        if ours in pairs:
            raise InputError(f"--columns names '{ours}' twice ({pairs[ours]} and {theirs}); name it once.")
        pairs[ours] = theirs
    return pairs
