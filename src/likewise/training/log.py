"""What a run tells while it goes on: CSV always, TensorBoard on request, a progress bar for people."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from likewise.extras import optional

__all__ = ["CsvLog", "Progress", "TensorBoard"]

TIMING = ("rows_per_s", "seconds", "wait_seconds")
"""Columns of the log that tell how fast this machine was; all others are a function of data and settings."""


class CsvLog:
    """A CSV file with one row a step that can be cut back to a step when a run goes on.

    Args:
        path: The file; made with the first row. Its columns are those of the first row.
        resume_at: Rows of later steps are dropped from a file that is there, so that they are written again.
    """

    def __init__(self, path: Path, resume_at: int = 0) -> None:
        self.path = path
        self._columns: list[str] | None = None
        if path.exists():
            self._cut(resume_at)

    def _cut(self, last_step: int) -> None:
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        kept = [row for row in rows[1:] if len(row) == len(rows[0]) and int(row[0]) <= last_step] if rows else []
        if not kept:
            self.path.unlink()
            return
        self._columns = rows[0]
        temporary = self.path.with_suffix(".csv.writing")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([rows[0], *kept])
        temporary.replace(self.path)

    def write(self, values: Mapping[str, float | int]) -> None:
        """Append one row; the first key must be ``step``."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if self._columns is None:
                self._columns = list(values)
                writer.writerow(self._columns)
            writer.writerow([_number(values.get(column, "")) for column in self._columns])


def _number(value: float | int | str) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


class TensorBoard:
    """TensorBoard event files in ``folder``; does nothing when not wanted.

    Raises:
        InputError: Wanted, but tensorboard is not installed.
    """

    def __init__(self, folder: Path, wanted: bool, resume_at: int = 0) -> None:
        self._writer: Any = None
        if wanted:
            optional("tensorboard", extra="tensorboard", use="draws curves", instead="leave --tensorboard out")
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=resume_at + 1)

    def write(self, values: Mapping[str, float | int], step: int) -> None:
        """Write every figure but the step itself."""
        if self._writer is not None:
            for name, value in values.items():
                if name != "step":
                    self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the files."""
        if self._writer is not None:
            self._writer.close()


class Progress:
    """Progress of a run on stderr: a live bar in a terminal, a line every tenth of the way elsewhere.

    Args:
        total: Steps of the run.
        done: Steps that an earlier part of the run has done.
        show: Whether to show anything.
    """

    def __init__(self, total: int, done: int = 0, show: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.total = total
        self._console = Console(stderr=True, quiet=not show)
        self._live = show and self._console.is_terminal
        self._bar = Bar(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._bar.add_task("training", total=total, completed=done, figures="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, step: int, figures: Mapping[str, float | int]) -> None:
        """Show the figures of a step: every loss term, rows/s; time left is the bar's."""
        shown = "  ".join(
            f"{name} {value:.4g}"
            for name, value in figures.items()
            if name not in ("step", "epoch", "encoded", "seconds", "wait_seconds")
        )
        if self._live:
            self._bar.update(self._task, completed=step, figures=shown)
        elif step == self.total or step % max(1, self.total // 10) == 0:
            left = figures.get("seconds", 0.0) / max(step, 1) * (self.total - step)
            self.say(f"step {step}/{self.total}  {shown}  about {left:.0f} s left")

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True)
