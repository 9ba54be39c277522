"""Looks at the geometry of the space while it is trained: a row of figures each, and findings said once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likewise import distributed
from likewise.geometry import Geometry, GradientShare, describe, one_line
from likewise.training.log import CsvLog
from likewise.training.step import Contrast

__all__ = ["Look", "Looks", "Space"]

Space = Callable[[float | None], Geometry]
"""Describes the space as it is now, at a temperature where there is one."""

BATCH_FIGURES = (
    "alignment",
    "positive_cosine",
    "negative_cosine",
    "hardest_negative_cosine",
    "negatives_above_positive",
    "false_negative_rows",
    "effective_negatives",
)
"""Figures of the batch that a look logs; its vectors are those of training, under dropout and before the step."""


@dataclass(frozen=True)
class Look:
    """What one look saw.

    Args:
        figures: Figures of the space by name; those of the batch begin with ``batch_``, those of the terms of the loss
            with ``gradient_``.
        news: Sentences for people that have not been said in this run.
    """

    figures: Mapping[str, float]
    news: tuple[str, ...]


class Looks:
    """The looks of one run; they are in ``geometry.csv``, and the last one whole in ``geometry.json``.

    Args:
        space: Describes the space, on every process though only the main one calls it; None: the run has no looks.
        every: Steps between looks; 0: never.
        total_steps: The last step is looked at too.
    """

    def __init__(self, space: Space | None, every: int, total_steps: int) -> None:
        self._space = space if every else None
        self._every, self._total_steps = every, total_steps
        self._said: dict[str, int] = {}
        self.last: str | None = None

    def start(self, folder: Path, resume_at: int) -> None:
        """Take up the files of an earlier part of the run, up to a step; main process only."""
        self._path = folder / "geometry.json"
        self._log = CsvLog(folder / "geometry.csv", resume_at)
        if resume_at and self._path.exists():
            document = json.loads(self._path.read_text(encoding="utf-8"))
            self._said = {name: step for name, step in document["said"].items() if step <= resume_at}
            self.last = document["line"] if document["step"] <= resume_at else None

    def follow(self, step: int) -> bool:
        """Tell whether a look follows a step."""
        return self._space is not None and (step % self._every == 0 or step == self._total_steps)

    def take(self, step: int, contrast: Contrast | None, shares: Mapping[str, GradientShare]) -> Look | None:
        """Look at the space; called on every process, the main one has the result.

        Args:
            step: The step that has just been taken.
            contrast: What the step told apart on this process.
            shares: What each term of the loss did.

        Raises:
            OSError: A file cannot be written.
        """
        batch = None if contrast is None else _of_all_processes(contrast)
        if distributed.rank() != 0 or self._space is None:
            return None
        temperature = None if batch is None else float(batch.temperature)
        try:
            geometry = self._space(temperature)
            figures = {**geometry.figures, **_of_batch(batch), **_of_gradients(shares)}
        except ValueError as error:  # a vector that is not finite or is zero: the next step's loss will tell
            return Look({}, (f"geometry at step {step}: {error}",))
        news = [finding for finding in geometry.findings if finding.name not in self._said]
        self._said |= {finding.name: step for finding in news}
        self.last = f"after step {step}, {one_line(geometry.figures)}"
        self._log.write({"step": step, **figures})
        self._write(step, geometry, figures)
        return Look(figures, tuple(f"{finding.level} at step {step}: {finding.message}" for finding in news))

    def _write(self, step: int, geometry: Geometry, figures: Mapping[str, float]) -> None:
        document: dict[str, Any] = {
            "step": step,
            "line": self.last,
            **geometry.as_dict(),
            "figures": dict(figures),
            "said": self._said,
        }
        temporary = self._path.with_name(f".{self._path.name}.writing")
        temporary.write_text(json.dumps(document, indent=2), encoding="utf-8")
        temporary.replace(self._path)


def _of_all_processes(contrast: Contrast) -> Contrast:
    query, key = (distributed.gather_rows(side, with_grad=False) for side in (contrast.query, contrast.key))
    return Contrast(query, key, contrast.temperature)


def _of_batch(batch: Contrast | None) -> dict[str, float]:
    """Return how the batch itself was: how near its positives were, and which of its negatives pushed."""
    if batch is None:
        return {}
    figures = describe(batch.query, batch.key, temperature=float(batch.temperature)).figures
    return {f"batch_{name}": figures[name] for name in BATCH_FIGURES}


def _of_gradients(shares: Mapping[str, GradientShare]) -> dict[str, float]:
    return {
        f"gradient_{figure}_{name}": value
        for name, share in shares.items()
        for figure, value in share._asdict().items()
    }
