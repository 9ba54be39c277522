"""Dialogs: who said what, turn by turn, from transcripts in a folder or from one file of many."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likewise.data.sources import nearest_file
from likewise.errors import InputError

__all__ = ["DIALOG_FORMATS", "SYSTEM", "USER", "USER_NAMES", "Dialog", "Turn", "open_dialogs"]

USER, SYSTEM = "user", "system"
USER_NAMES = ("user", "customer", "client", "caller", "usr")
"""What transcripts call the side that wants something; everybody else is the system."""

DIALOG_FORMATS = (".txt", ".tsv", ".json", ".jsonl")

_LINE = re.compile(r"([^\W_][\w .'-]{0,39}?)\s*:\s+(\S.*)")
_TURNS = ("turns", "log", "Transcript", "dialog", "dialogue")
_SPEAKER = ("speaker", "tag", "ParticipantRole", "role")
_TEXT = ("text", "utterance", "Content", "content")
_NAME = ("name", "id", "dialog", "dialog_id", "dialogue_id")


@dataclass(frozen=True)
class Turn:
    """What one side said before the other one spoke.

    Args:
        speaker: "user" or "system".
        text: What was said; not empty.
        action: What the turn does, where somebody has annotated it: "request city".
    """

    speaker: str
    text: str
    action: str | None = None


@dataclass(frozen=True)
class Dialog:
    """A conversation.

    Args:
        name: What messages and files call it.
        turns: In their order, at least one.
        domain: What it is about, where the file says so: "taxi".
    """

    name: str
    turns: tuple[Turn, ...]
    domain: str | None = None


def open_dialogs(source: str | Path, *, user_names: Sequence[str] = USER_NAMES) -> list[Dialog]:
    r"""Read dialogs.

    In a folder every ``.txt``, ``.tsv`` and ``.json`` file is a dialog; a file of its own may hold many.

    - ``.txt``: a line a turn, ``speaker: what was said``; in a file of its own an empty line ends a dialog.
    - ``.tsv``: two columns a line, speaker and text, without a header; empty lines likewise.
    - ``.json``: a list of dialogs, or an object with one under each name, or a single one. A dialog is a list of turns,
      or an object that holds it as ``turns`` (also ``log``, ``Transcript``); a turn is an object with ``speaker`` (also
      ``tag``, ``role``, ``ParticipantRole``) and ``text`` (also ``utterance``, ``content``, ``Content``), and perhaps
      ``action``. So the Schema-Guided Dialogue data, call transcripts of Amazon, and the trajectories of Dialog2Flow
      are read.
    - ``.jsonl``: such a dialog a line; or a turn a line, with the name of its dialog in ``dialog``.

    Turns in which nothing is said are left out.

    Args:
        source: A folder or a file.
        user_names: Names of the side that wants something, whatever their case; all others are the system.

    Raises:
        InputError: There are no dialogs, or something is of none of these forms; file and place are named.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "one.txt").write_text("Agent: How can I help?\nCustomer: I need a taxi.\n")
        ...     [(turn.speaker, turn.text) for turn in open_dialogs(folder)[0].turns]
        [('system', 'How can I help?'), ('user', 'I need a taxi.')]
    """
    path = Path(source).expanduser()
    users = {name.strip().lower() for name in user_names}
    if path.is_dir():
        files = [one for one in sorted(path.iterdir()) if one.suffix.lower() in DIALOG_FORMATS[:3]]
        if not files:
            raise InputError(f"the folder '{path}' holds no dialogs; files that end in .txt, .tsv or .json are read.")
        read = [dialog for file in files for dialog in _read(file, users, alone=False)]
    elif path.is_file():
        read = list(_read(path, users, alone=True))
    else:
        raise nearest_file(path, "give a folder of transcripts or a file.")
    found = [dialog for dialog in read if dialog.turns]
    if not found:
        raise InputError(f"'{path}' holds no dialog in which anything is said; at least one turn is needed.")
    return _with_names_of_their_own(found)


def _with_names_of_their_own(dialogs: Iterable[Dialog]) -> list[Dialog]:
    taken: dict[str, int] = {}
    found = []
    for dialog in dialogs:
        number = taken[dialog.name] = taken.get(dialog.name, 0) + 1
        found.append(dialog if number == 1 else Dialog(f"{dialog.name} ({number})", dialog.turns, dialog.domain))
    return found


def _read(path: Path, users: set[str], *, alone: bool) -> Iterator[Dialog]:
    suffix = path.suffix.lower()
    if suffix not in DIALOG_FORMATS:
        raise InputError(
            f"{path.name}: dialogs are read from files that end in {', '.join(DIALOG_FORMATS)}, or from a folder of "
            "them; save it as one of these."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not valid UTF-8 ({error.reason}); save the file as UTF-8.") from error
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}).") from error
    if suffix in (".txt", ".tsv"):
        split = _spoken if suffix == ".txt" else _tabbed
        for number, lines in enumerate(_paragraphs(text, alone), 1):
            name = path.stem if number == 1 else f"{path.stem} {number}"
            yield Dialog(name, tuple(_turn(*split(line, f"{path.name}, line {n}"), users) for n, line in lines))
    elif suffix == ".json":
        yield from _dialogs_of(_parsed(text, path.name), path.stem, path.name, users)
    else:
        yield from _lines_of_json(text, path, users)


def _paragraphs(text: str, alone: bool) -> list[list[tuple[int, str]]]:
    """Return the lines of each dialog with their numbers."""
    found: list[list[tuple[int, str]]] = [[]]
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            found[-1].append((number, line.rstrip("\r")))
        elif alone and found[-1]:
            found.append([])
    return [one for one in found if one]


def _spoken(line: str, place: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise InputError(f"{place}: {line.strip()[:40]!r} names no speaker; a line is 'speaker: what was said'.")
    return match[1], match[2]


def _tabbed(line: str, place: str) -> tuple[str, str]:
    fields = next(csv.reader([line], delimiter="\t"))
    if len(fields) != 2:
        raise InputError(f"{place} has {len(fields)} columns; a line is speaker and text, with a tab between them.")
    return fields[0], fields[1]


def _turn(speaker: str, text: str, users: set[str], action: str | None = None) -> Turn:
    return Turn(USER if speaker.strip().lower() in users else SYSTEM, text.strip(), action)


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{place} is no JSON ({error}); mend it.") from error


def _lines_of_json(text: str, path: Path, users: set[str]) -> Iterator[Dialog]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    turns: dict[str, list[Turn]] = {}
    for number, line in lines:
        place = f"{path.name}, line {number}"
        row = _parsed(line, place)
        if isinstance(row, dict) and _first(row, _TEXT) is not None and isinstance(row.get("dialog"), str | int):
            turns.setdefault(str(row["dialog"]), []).extend(_turns([row], place, users))
        else:
            yield from _dialogs_of(row, f"{path.stem} {number}", place, users)
    for name, several in turns.items():
        yield Dialog(name, tuple(several))


def _dialogs_of(content: Any, name: str, place: str, users: set[str]) -> Iterator[Dialog]:
    """Find the dialogs in what a file holds: one, a list of them, or one under each name."""
    if isinstance(content, list) and content and not (isinstance(content[0], dict) and _is_turn(content[0])):
        for number, one in enumerate(content, 1):
            yield _dialog(one, f"{name} {number}", f"{place}, dialog {number}", users)
    elif isinstance(content, dict) and _first(content, _TURNS) is None and content:
        for key, one in content.items():
            yield _dialog(one, key, f"{place}, '{key}'", users)
    else:
        yield _dialog(content, name, place, users)


def _dialog(content: Any, name: str, place: str, users: set[str]) -> Dialog:
    turns, domain = content, None
    if isinstance(content, dict):
        turns = _first(content, _TURNS)
        given = next((content[key] for key in _NAME if isinstance(content.get(key), str | int)), name)
        name = str(given)
        goal, domain = content.get("goal"), content.get("domain")
        if domain is None and isinstance(goal, dict) and goal:
            domain = next(iter(goal))
    if not isinstance(turns, list):
        raise InputError(f"{place} is no dialog; it is a list of turns, or an object that holds one as 'turns'.")
    return Dialog(name, tuple(_turns(turns, place, users)), None if domain is None else str(domain))


def _turns(turns: Sequence[Any], place: str, users: set[str]) -> Iterator[Turn]:
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, dict) or not _is_turn(turn):
            raise InputError(
                f"{place}, turn {number} is no turn; it is an object with 'speaker' and 'text', such as "
                '{"speaker": "user", "text": "I need a taxi."}.'
            )
        speaker, text = _first(turn, _SPEAKER), _first(turn, _TEXT)
        if isinstance(text, str) and text.strip() and speaker is not None:
            yield _turn(str(speaker), text, users, _action(turn))


def _is_turn(content: Mapping[str, Any]) -> bool:
    return any(key in content for key in _SPEAKER) and any(key in content for key in _TEXT)


def _action(turn: Mapping[str, Any]) -> str | None:
    """Return what a turn does; trajectories write it behind the speaker, and perhaps a domain: "USER: taxi-greet"."""
    if isinstance(turn.get("action"), str):
        return str(turn["action"]).strip() or None
    written = turn.get("turn")
    if not isinstance(written, str) or ": " not in written:
        return None
    action = written.split(": ")[1]
    return action.split("-")[1] if re.match(r"\w+-\w", action) else action


def _first(content: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((content[key] for key in keys if key in content and content[key] is not None), None)
