"""Utterances with the actions that they perform, from annotated dialogs: acts ("request") and slots ("city").

Two forms are read beside plain tables of utterances and labels:

- the Schema-Guided Dialogue form (Rastogi et al. 2020, arXiv 1909.05855; MultiWOZ 2.2 has it too): a file
  ``dialogues_*.json``, or a folder of them. Each turn becomes a row with ``utterance``, ``label``, ``acts``, ``slots``,
  and where it comes from;
- the folder of Dialog2Flow (arXiv 2410.18481): ``dialog-acts.csv`` and ``slots.csv``, each with the columns utterance
  and label. A row of the first has one act, a row of the second one slot.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from likewise.data.blocks import Block
from likewise.data.readers import UTF_8, read_file, read_rows
from likewise.data.sources import DataFile, Source, source_of_files
from likewise.errors import InputError

__all__ = ["action_label", "action_source"]

ACTS = {
    "notify failure": "inform failure",
    "notify success": "inform success",
    "req more": "request more",
    "request alts": "request alternative",
    "affirm": "agreement",
    "affirm intent": "agreement",
    "negate": "disagreement",
    "negate intent": "disagreement",
    "select": "offer",
    "goodbye": "good bye",
}
"""Names under which Dialog2Flow unifies the acts of the Schema-Guided Dialogue data with those of other data."""

SCHEMA_GUIDED = "dialogues_*.json"
ACTS_FILE, SLOTS_FILE = "dialog-acts.csv", "slots.csv"
COLUMN_OF = {ACTS_FILE: "acts", SLOTS_FILE: "slots"}
"""What the labels of these files are."""


def action_label(acts: Iterable[str], slots: Iterable[str] = ()) -> str:
    """Name an action by its acts and slots.

    Example:
        >>> action_label(["inform", "request"], ["city", "date"])
        'inform, request city, date'
    """
    return " ".join(part for part in (", ".join(acts), ", ".join(slots)) if part)


def action_source(source: str | Path, encoding: str = UTF_8) -> Source | None:
    """Make a source of annotated dialogs; None where there are none of a form that is told from its names.

    Args:
        source: A file or a folder.
        encoding: How the characters of csv files are written; JSON is always UTF-8.
    """
    path = Path(source).expanduser()
    if path.is_file() and path.match(SCHEMA_GUIDED):
        return _schema_guided(source, [path])
    if not path.is_dir():
        return None
    if found := sorted(path.glob(SCHEMA_GUIDED)):
        return _schema_guided(source, found)
    if (path / ACTS_FILE).is_file() and (path / SLOTS_FILE).is_file():
        files = [DataFile(path / name, name, ".csv", None) for name in COLUMN_OF]
        return source_of_files(
            source, files, lambda i: _read_names(files[i], encoding), "acts and slots", *_not_utf_8(encoding)
        )
    return None


def _not_utf_8(encoding: str) -> list[str]:
    return [] if encoding == UTF_8 else [encoding]


def _schema_guided(source: str | Path, paths: Sequence[Path]) -> Source:
    files = [DataFile(path, path.name, ".json", None) for path in paths]
    return source_of_files(source, files, lambda i: _read_schema_guided(files[i]), "schema-guided")


def _read_names(file: DataFile, encoding: str) -> Iterator[Block]:
    for block in read_file(file.path, file.name, file.format, file.compression, encoding):
        renamed = {COLUMN_OF[file.name] if name == "label" else name: values for name, values in block.columns.items()}
        yield dataclasses.replace(block, columns=renamed)


def _read_schema_guided(file: DataFile) -> Iterator[Block]:
    try:
        dialogs = json.loads(file.path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{file.name} cannot be read as JSON ({error}); fetch or make it again.") from error
    if not isinstance(dialogs, list) or not all(isinstance(one, dict) and "turns" in one for one in dialogs):
        raise InputError(
            f"{file.name} is not of the Schema-Guided Dialogue form: it holds a list of dialogs, each with 'turns'. "
            "Rename the file if it is something else."
        )
    return read_rows(row for dialog in dialogs for row in _rows_of_dialog(dialog))


def _rows_of_dialog(dialog: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for each turn with an action; a turn without one says nothing of what it does."""
    for number, turn in enumerate(dialog["turns"]):
        actions = [action for frame in turn.get("frames", ()) for action in frame.get("actions", ())]
        spoken = [
            action for action in actions if action.get("slot") != "intent"
        ]  # an intent is the dialog's, not an act
        acts = list(dict.fromkeys(_act(action.get("act", "")) for action in spoken))
        slots = list(dict.fromkeys(_words(action.get("slot") or "") for action in spoken))
        acts, slots = [one for one in acts if one], [one for one in slots if one]
        if acts:
            yield {
                "utterance": turn.get("utterance"),
                "label": action_label(acts, slots),
                "acts": acts,
                "slots": slots,
                "speaker": str(turn.get("speaker", "")).lower(),
                "dialog": dialog.get("dialogue_id"),
                "turn": number,
            }


def _act(name: str) -> str:
    words = _words(name)
    if words.startswith("inform"):
        return "inform"
    return ACTS.get(words, words)


def _words(name: str) -> str:
    """Return a name in words: "restaurant_name" and "restaurantName" are "restaurant name".

    Example:
        >>> _words("REQUEST_ALTS"), _words("arriveBy")
        ('request alts', 'arrive by')
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", spaced)).lower()
