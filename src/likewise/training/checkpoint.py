"""Checkpoints: a nested state as safetensors and JSON, written whole or not at all. Never pickle."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from likewise.errors import RunError

__all__ = ["Checkpoints", "plain_disk_errors", "random_state", "read_state", "set_random_state", "write_state"]

_TENSORS = "tensors.safetensors"
_STRUCTURE = "state.json"


def write_state(folder: Path, state: Any, name: str = "state") -> None:
    """Write a nest of dicts, lists, tuples, numbers, strings and tensors into ``folder/name``.

    Args:
        folder: An existing folder.
        state: What to write; dict keys may be strings or integers.
        name: Subfolder, created.
    """
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    structure = _pack(state, "", tensors)
    with plain_disk_errors():
        save_file(tensors, str(target / _TENSORS))
    (target / _STRUCTURE).write_text(json.dumps(structure))


@contextlib.contextmanager
def plain_disk_errors() -> Iterator[None]:
    """Turn what safetensors raises when it cannot write into the ``OSError`` that it was."""
    try:
        yield
    except SafetensorError as error:
        code = re.search(r"(?:os error|code:) (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def read_state(folder: Path, name: str = "state") -> Any:
    """Read what :func:`write_state` wrote; tensors come back on the CPU, bit for bit."""
    target = folder / name
    tensors = load_file(str(target / _TENSORS))
    return _unpack(json.loads((target / _STRUCTURE).read_text()), tensors)


def _pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        key = path or "/"
        tensors[key] = value.detach().cpu().contiguous().clone()  # a copy: safetensors refuses shared memory
        return {"tensor": key}
    if isinstance(value, dict):
        return {"items": [[key, _pack(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        packed = [_pack(item, f"{path}/{number}", tensors) for number, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": packed}
    if value is None or isinstance(value, str | bool | int | float):
        return {"value": value}
    raise TypeError(f"state at '{path}' is {type(value).__name__}; a state holds tensors, numbers, strings and nests.")


def _unpack(packed: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    kind, content = next(iter(packed.items()))
    if kind == "tensor":
        return tensors[content]
    if kind == "items":
        return {key: _unpack(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_unpack(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content


class Checkpoints:
    """The checkpoints of one run: ``step-00000100``, ... in one folder.

    A checkpoint is written under a temporary name, flushed to the disk and renamed, so one that is there is whole;
    older ones go only after that. Whatever stops the process, the last good checkpoint stays.

    Args:
        folder: Where they are; made when the first is written.
        keep: How many of the last are kept, >= 1.
    """

    def __init__(self, folder: Path, keep: int = 1) -> None:
        self.folder = folder
        self.keep = keep

    def steps(self) -> list[int]:
        """Return the steps of which there is a whole checkpoint, ascending."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def path(self, step: int) -> Path:
        """Return where the checkpoint of a step is."""
        return self.folder / f"step-{step:08d}"

    def prepare(self, step: int) -> Path:
        """Make the temporary folder in which the checkpoint of ``step`` is put together."""
        temporary = self.folder / f".writing-{step:08d}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        return temporary

    def publish(self, temporary: Path, step: int) -> None:
        """Flush the temporary folder to the disk, give it its name, and remove what is older than ``keep``."""
        for path in sorted(temporary.rglob("*")):
            if path.is_file():
                _flush(path)
        target = self.path(step)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        _flush(self.folder)
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.path(old), ignore_errors=True)

    def discard(self) -> None:
        """Remove what an interrupted write left behind."""
        for path in self.folder.glob(".writing-*"):
            shutil.rmtree(path, ignore_errors=True)

    def failure(self, error: OSError, what: str) -> RunError:
        """Say in one sentence why something could not be written and where the run can go on."""
        self.discard()
        done = self.steps()
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        kept = f"The checkpoint of step {done[-1]} is whole" if done else "There is no checkpoint yet"
        return RunError(f"could not write {what}: {reason}. {kept}; make room and repeat the command with --resume.")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def random_state() -> dict[str, Any]:
    """Return the state of every random generator of this process that a method could draw from."""
    import random

    import numpy as np

    state = np.random.get_state(legacy=False)  # noqa: NPY002 - foreign code draws from the global generator
    return {
        "python": random.getstate(),
        "numpy": {
            "key": torch.from_numpy(state["state"]["key"].astype("int64")),
            "pos": int(state["state"]["pos"]),
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put every random generator back to where :func:`random_state` saw it."""
    import random

    import numpy as np

    random.setstate(state["python"])
    numpy_state = state["numpy"]
    np.random.set_state(  # noqa: NPY002 - as above
        {
            "bit_generator": "MT19937",
            "state": {"key": numpy_state["key"].numpy().astype("uint32"), "pos": numpy_state["pos"]},
            "has_gauss": numpy_state["has_gauss"],
            "gauss": numpy_state["gauss"],
        }
    )
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
