"""Checkpoints: written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from likewise.errors import RunError

__all__ = ["Checkpoints", "random_state", "set_random_state"]


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
