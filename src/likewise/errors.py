"""Errors that are meant for people: one sentence that says what is wrong, what is accepted and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "LikewiseError", "NotFiniteError", "RunError", "nearest", "unknown"]


class LikewiseError(Exception):
    """Base of every error whose message is written for the person at the keyboard.

    The command line prints the message without a traceback (``--debug`` shows it) and exits with 1.
    """


class InputError(LikewiseError, ValueError):
    """Something that was given (a file, a row, a column, an option, a name) cannot be used."""


class NotFiniteError(ValueError, ArithmeticError):
    """A number that should be finite is not; in training it ends the run with its last good checkpoint."""


class RunError(LikewiseError, RuntimeError):
    """A run cannot go on (a non-finite loss, a full disk, a folder in use)."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like ``name``, or None where nothing is close.

    Example:
        >>> nearest("simsce", ["pairs", "simcse"])
        'simcse'
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return lowered[matches[0]] if matches else None


MOST_NAMES = 60
"""Names that a message lists at most."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that nobody knows; it offers the nearest one.

    Args:
        kind: What the name is a name of: "method", "column", "file type".
        name: What was given.
        known: What would have been accepted.

    Example:
        >>> print(unknown("method", "simsce", ["pairs", "simcse"]))
        unknown method 'simsce': did you mean 'simcse'? Known: pairs, simcse.
    """
    names = sorted(known)
    guess = nearest(name, names)
    hint = f"did you mean '{guess}'?" if guess else "no name is close to it."
    listed = ", ".join(names) if len(names) <= MOST_NAMES else f"{', '.join(names[:MOST_NAMES])}, and more"
    return InputError(f"unknown {kind} '{name}': {hint} Known: {listed or 'none'}.")
