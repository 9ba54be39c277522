"""Getting many runs done: a few worker processes, progress for people, and nothing lost when it is interrupted."""

from __future__ import annotations

import csv
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from likewise.errors import RunError
from likewise.studies.runs import RunRequest
from likewise.training.stopping import asked_to_stop

__all__ = ["Job", "run_all"]

WAIT_S = 0.5
"""Time between looks at how far a run is, and before a run is asked for again that another process is at."""
GIVE_UP_S = 600.0
"""Longest wait for workers to write their checkpoints after an interrupt."""


@dataclass(frozen=True)
class Job:
    """A run with what progress calls it and how long it is."""

    name: str
    request: RunRequest
    steps: int


def run_all(jobs: Sequence[Job], *, workers: int, show_progress: bool) -> dict[str, str]:
    """Execute every run that is not done yet.

    Args:
        jobs: The runs, in the order in which they are begun.
        workers: Processes at a time, >= 1; each has its share of the processor's cores.
        show_progress: Show progress on stderr.

    Returns:
        What went wrong with each run that failed, by the name of its job; the others are done.

    Raises:
        RunError: Interrupted (Ctrl-C, SIGTERM); every run under way has written a checkpoint.
    """
    waiting = [job for job in jobs if not job.request.done]
    reused = len(jobs) - len(waiting)
    if not waiting:
        return {}
    pool = _Pool(waiting, min(workers, len(waiting)))
    with _Progress(jobs, reused, show_progress) as progress, asked_to_stop() as stop:
        pool.start()
        asked = False
        while pool.under_way():
            progress.look(pool.current())
            try:
                job, status, message = pool.ended.get(timeout=WAIT_S)
                progress.end(job, status, message)
            except queue.Empty:
                pass
            if stop.is_set() and not asked:
                asked = True
                progress.say("stopping: every run finishes its step and writes a checkpoint ...")
                pool.stop()
    if stop.is_set():
        left = sum(not job.request.done for job in jobs)
        raise RunError(f"stopped; {len(jobs) - left} of {len(jobs)} runs are done. Repeat the command to go on.")
    return pool.failures


class _Pool:
    """Threads that each own a worker process and take runs from one list."""

    def __init__(self, waiting: Sequence[Job], workers: int) -> None:
        self.ended: queue.Queue[tuple[Job, str, str]] = queue.Queue()
        self.failures: dict[str, str] = {}
        self._waiting = list(waiting)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._current: dict[int, Job] = {}
        self._processes: dict[int, subprocess.Popen[str]] = {}
        threads = max(1, (os.cpu_count() or 1) // workers)
        # Threads of two processes that wait for each other by spinning cost far more than they bring.
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        self._threads = [threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(workers)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def under_way(self) -> bool:
        return any(thread.is_alive() for thread in self._threads) or not self.ended.empty()

    def current(self) -> list[Job]:
        with self._lock:
            return list(self._current.values())

    def stop(self) -> None:
        """Ask every worker to finish its step and write a checkpoint."""
        with self._lock:
            self._stopping.set()
            for process in self._processes.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)

    def _work(self, number: int) -> None:
        process: subprocess.Popen[str] | None = None
        try:
            while (job := self._next(number)) is not None:
                if process is None or process.poll() is not None:
                    process = self._start(number)
                    if process is None:
                        break
                status, message = _ask(process, job)
                with self._lock:
                    self._current.pop(number, None)
                    if status == "busy":
                        self._waiting.append(job)
                    elif status != "done":
                        self.failures[job.name] = message
                if status == "busy":
                    time.sleep(WAIT_S)
                else:
                    self.ended.put((job, status, message))
        finally:
            if process is not None:
                _end(process)

    def _next(self, number: int) -> Job | None:
        with self._lock:
            if self._stopping.is_set() or not self._waiting:
                return None
            job = self._waiting.pop(0)
            self._current[number] = job
            return job

    def _start(self, number: int) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            self._processes[number] = subprocess.Popen(
                [sys.executable, "-m", "likewise.studies.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches this process alone, which then asks for a checkpoint once
            )
            return self._processes[number]


def _ask(process: subprocess.Popen[str], job: Job) -> tuple[str, str]:
    """Send a run to a worker and wait for its answer."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a worker has no pipes")
    try:
        process.stdin.write(json.dumps(job.request.as_dict()) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        code = process.wait()
        if code == -signal.SIGTERM:
            return "interrupted", "stopped"
        killed = " (killed, perhaps because memory ran out: try a smaller micro_batch)" if code == -9 else ""
        return "failed", f"its process ended with exit code {code}{killed}"
    answer: dict[str, Any] = json.loads(line)
    return answer["status"], answer.get("message", "")


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(timeout=GIVE_UP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Progress:
    """How far a study is: a live bar with time left in a terminal, a line for every run that ends elsewhere."""

    def __init__(self, jobs: Sequence[Job], done: int, show: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, quiet=not show)
        self._bar = Progress(
            TextColumn("runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (show and self._console.is_terminal),
        )
        self._total, self._done, self._began = len(jobs), done, time.monotonic()
        self._task = self._bar.add_task("runs", total=len(jobs), completed=done, now="")
        if done:
            self.say(f"{done} of {len(jobs)} runs are done already and are used again.")

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def look(self, current: Sequence[Job]) -> None:
        """Show how far the runs under way are."""
        shares = [(job, _step(job) / max(job.steps, 1)) for job in current]
        now = "  ".join(f"{job.name} {share:.0%}" for job, share in shares)
        self._bar.update(self._task, completed=self._done + sum(share for _, share in shares), now=now)

    def end(self, job: Job, status: str, message: str) -> None:
        """Count a run that has ended and say so."""
        self._done += status == "done"
        said = "done" if status == "done" else f"{status}: {message}"
        self.say(f"[{self._done}/{self._total}] {job.name}: {said}  ({time.monotonic() - self._began:.0f} s)")


def _step(job: Job) -> int:
    """Return the last step that a run has logged."""
    path = job.request.model / "metrics.csv"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 2048))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return 0
    row = next(csv.reader(lines[-1:]), ["0"])
    return int(row[0]) if row and row[0].isdigit() else 0
