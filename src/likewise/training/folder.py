"""The folder of a run: made once, held by one process at a time, gone on with only under the same settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from likewise.errors import InputError, RunError

__all__ = ["RESOLVED", "hold_run_folder", "read_settings", "refuse_changes", "write_settings"]

RESOLVED = "run.yaml"
"""File with the resolved settings of a run; ``--config`` takes it back."""


@contextlib.contextmanager
def hold_run_folder(folder: Path, resume: bool) -> Iterator[None]:
    """Make the folder, or take up an interrupted one, and keep every other run out of it.

    Raises:
        InputError: It holds something already and ``resume`` is not asked for, or it is asked for and there is no run.
        RunError: Another run is using it.
    """
    from filelock import FileLock, Timeout

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --out needs a folder that is new or empty.")
    is_run = (folder / RESOLVED).exists()
    if resume and not is_run:
        raise InputError(f"there is no run in {folder} to go on with; leave --resume out to start one.")
    if not resume and folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        advice = "add --resume to go on with it, or give another --out." if is_run else "give another --out."
        raise InputError(f"{folder} exists and is not empty; {advice}")
    was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunError(f"another run is using {folder}; wait for it to end, or give another --out.") from None
    try:
        yield
    finally:
        lock.release()
        if not was_there and [path.name for path in folder.iterdir()] == [".lock"]:  # nothing came of it
            (folder / ".lock").unlink()
            folder.rmdir()


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Save the resolved settings of a run, whole or not at all."""
    temporary = folder / f".{RESOLVED}.writing"
    temporary.write_text(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True), encoding="utf-8")
    temporary.replace(folder / RESOLVED)


def read_settings(path: Path) -> dict[str, Any]:
    """Read resolved settings.

    Raises:
        InputError: The file is missing or is not a mapping in YAML.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the run.yaml of a run.") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} cannot be read as YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings; give the run.yaml of a run.")
    return content


def refuse_changes(saved: Mapping[str, Any], wanted: Mapping[str, Any], free: frozenset[str], prefix: str = "") -> None:
    """Refuse to go on with a run whose settings are not those it began with.

    Args:
        saved: Settings the run began with, a nest of mappings.
        wanted: Settings of the command.
        free: Names that do not change what is trained (workers, how often a checkpoint is written).
        prefix: Names of the mappings above, for the message.

    Raises:
        InputError: Names every setting that differs, with both values.
    """
    changed = _changes(saved, wanted, free, prefix)
    if changed:
        raise InputError(
            f"--resume goes on with the same settings, but {'; '.join(changed)}. "
            "Leave them as they were, or start a new run in another --out."
        )


def _changes(saved: Any, wanted: Any, free: frozenset[str], prefix: str) -> list[str]:
    if isinstance(saved, Mapping) and isinstance(wanted, Mapping):
        found = []
        for name in [*saved, *(name for name in wanted if name not in saved)]:
            if name not in free:
                found += _changes(saved.get(name), wanted.get(name), free, name)
        return found
    return [] if saved == wanted else [f"{prefix} was {saved} and is now {wanted}"]
