"""The command line in processes of its own: ``commands.start("train", "pairs", ...)``.

What a short command does is little beside importing torch and transformers. One process imports them, once for all
tests, and every command is a fork of it: a process like any other, which can be killed, interrupted and waited for.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_STARTED = multiprocessing.get_context("forkserver")
_STARTED.set_forkserver_preload([
    "accelerate", "datasets", "likewise.api", "likewise.cli", "likewise.geometry.space", "sentence_transformers",
    "sentence_transformers.sentence_transformer.modules",
])  # fmt: skip


class Command:
    """A command that has been started.

    Args:
        words: Those behind ``likewise``.
        cwd: Its working directory.
    """

    def __init__(self, words: tuple[object, ...], cwd: Path | None) -> None:
        self._said = Path(tempfile.mkdtemp(prefix="command-"))
        files = [str(self._said / name) for name in ("out", "err")]
        for file in files:
            Path(file).touch()  # it may be killed before it opens them
        self._process = _STARTED.Process(target=_run, args=([str(word) for word in words], *files, cwd), daemon=True)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """As of :class:`subprocess.Popen`: None while it runs, a signal's number with a minus where one ended it."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.returncode is None:
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it without warning."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """Wait for its end and return what it wrote to stdout and stderr."""
        self._process.join(timeout)
        if self.returncode is None:
            self.kill()
            raise subprocess.TimeoutExpired("likewise", timeout)
        out, err = (self._said / name for name in ("out", "err"))
        said = out.read_text(), err.read_text()
        shutil.rmtree(self._said)
        return said


def start(*words: object, cwd: Path | None = None) -> Command:
    """Start ``likewise WORDS``."""
    return Command(words, cwd)


def finish(*words: object, cwd: Path | None = None) -> tuple[int | None, str, str]:
    """Run ``likewise WORDS`` to its end; return the exit code and what it wrote to stdout and stderr."""
    command = start(*words, cwd=cwd)
    out, err = command.communicate()
    return command.returncode, out, err


def wait_until(condition: Callable[[], bool], command: Command, seconds: float = 300.0) -> None:
    """Wait until a condition holds; fail where the command ends before it does, or it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        if command.returncode is not None:
            out, err = command.communicate()
            raise AssertionError(f"the command ended with {command.returncode} before that:\n{out}{err}")
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come to that within {seconds} s")
        time.sleep(0.002)


def _run(words: list[str], out: str, err: str, cwd: Path | None) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY)
        os.dup2(file, descriptor)
        os.close(file)
    if cwd is not None:
        os.chdir(cwd)
    import torch

    from likewise.cli import main

    torch.set_num_threads(1)  # several test processes share two cores
    main(words)
