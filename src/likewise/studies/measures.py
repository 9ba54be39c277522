"""What is measured of a model in a study, and kept: tasks, the geometry of its space, and who is near whom in it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch

from likewise import pairwise
from likewise.geometry.space import SpaceRows, open_space
from likewise.studies.digest import digest

if TYPE_CHECKING:
    from likewise.encoders import Embedder
    from likewise.pairwise import Side

__all__ = ["Measure", "Neighbours", "SpaceMeasure", "TaskMeasure", "measure_of", "read_measure"]

BOOTSTRAP = 1000
PRECISION = "fp32"
"""How texts are encoded: a figure must not depend on what the processor computes fast."""
NEIGHBOURS = 5


@dataclass(frozen=True)
class Measure(ABC):
    """Something to measure of a model; its ``id`` is a digest of everything that the figures depend on.

    ``space`` names the space of the model that is measured, where it has several; empty: the model itself.

    The figures are two files in a folder: ``ID.json`` and, for arrays, ``ID.npz``; the first is written last, so where
    it is, the measure is whole.
    """

    kind: ClassVar[str]

    space: str = field(default="", kw_only=True)

    @property
    def id(self) -> str:
        """Digest of what is measured on what."""
        return digest(self.as_dict())

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Return what the figures depend on, as plain values."""

    @abstractmethod
    def of(self, embedder: Embedder, temperature: float | None) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        """Measure a model: what goes into JSON, and arrays by name."""

    def done(self, folder: Path) -> bool:
        """Tell whether it is in ``folder``."""
        return (folder / f"{self.id}.json").exists()

    def write(self, folder: Path, embedder: Embedder, temperature: float | None) -> None:
        """Measure, and write whole or not at all."""
        content, arrays = self.of(embedder, temperature)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{self.id}.writing"
        with temporary.open("wb") as file:
            np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]  # its other argument is a flag
        temporary.replace(folder / f"{self.id}.npz")
        temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        temporary.replace(folder / f"{self.id}.json")


@dataclass(frozen=True)
class TaskMeasure(Measure):
    """A task of ``likewise evaluate``; the arrays are the replicates of the intervals."""

    kind = "task"

    task: str
    name: str
    data: str | None
    fingerprint: str
    columns: tuple[tuple[str, str], ...]
    bad_rows: Literal["error", "skip"]
    settings: tuple[tuple[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return what it depends on; the place and the name of the data are not part of it."""
        return {
            "kind": self.kind,
            "task": self.task,
            "fingerprint": self.fingerprint,
            "settings": dict(self.settings),
            "bootstrap": BOOTSTRAP,
            "precision": PRECISION,
            **({"space": self.space} if self.space else {}),
        }

    def of(self, embedder: Embedder, temperature: float | None) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        """Measure the task."""
        from likewise.evaluation import get_task

        result = get_task(self.task).measure(
            embedder, self.opened(), precision=PRECISION, bootstrap=BOOTSTRAP, **self._options("settings")
        )
        return result.as_dict(), result.replicates

    def opened(self) -> Any:
        """Return the open data; opened once a process."""
        return _open_task(self)

    def _options(self, group: str) -> dict[str, Any]:
        """Return the settings of opening ("data") or of measuring ("settings"); an unknown one goes to the latter."""
        from likewise.evaluation import get_task

        of_data = {setting.name for setting in get_task(self.task).options()["data"]}
        return {name: value for name, value in self.settings if (name in of_data) == (group == "data")}


@lru_cache(maxsize=16)
def _open_task(measure: TaskMeasure) -> Any:
    from likewise.evaluation import get_task

    return get_task(measure.task).open(
        measure.data, rename=dict(measure.columns), bad_rows=measure.bad_rows, **measure._options("data")
    )


@dataclass(frozen=True)
class SpaceMeasure(Measure):
    """The geometry of the space, and the nearest neighbours in it."""

    kind = "space"

    data: str
    fingerprint: str
    columns: tuple[tuple[str, str], ...]
    max_rows: int

    def as_dict(self) -> dict[str, Any]:
        """Return what it depends on; the temperature in use belongs to the run."""
        return {
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "max_rows": self.max_rows,
            "neighbours": NEIGHBOURS,
            "precision": PRECISION,
            **({"space": self.space} if self.space else {}),
        }

    def of(self, embedder: Embedder, temperature: float | None) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        """Measure the geometry and find the neighbours."""
        space = self.opened()
        sides = space.encode(embedder, precision=PRECISION)
        return space.described(*sides, temperature=temperature).as_dict(), asdict(
            neighbours(sides[0], sides[1] if len(sides) > 1 else None)
        )

    def opened(self) -> SpaceRows:
        """Return the rows; opened once a process."""
        return _open_space(self.data, self.columns, self.max_rows)


@lru_cache(maxsize=4)
def _open_space(data: str, columns: tuple[tuple[str, str], ...], max_rows: int) -> SpaceRows:
    return open_space(data, rename=dict(columns), rows=max_rows)


@dataclass(frozen=True)
class Neighbours:
    """Who is near whom.

    Args:
        index: The nearest candidates of each row, nearest first, int64 ``[N, k]``; -1 where there are fewer. Candidates
            are the other rows, or the positives of all rows where rows have positives.
        cosine: Their cosines, float32 ``[N, k]``.
        rank: How many candidates lie nearer than the row's own positive, plus 1, int64 ``[N]``; empty without
            positives.
    """

    index: np.ndarray
    cosine: np.ndarray
    rank: np.ndarray


@torch.no_grad()
def neighbours(rows: torch.Tensor, positives: torch.Tensor | None = None, k: int = NEIGHBOURS) -> Neighbours:
    """Find the nearest candidates of each row; see :class:`Neighbours`.

    Args:
        rows: Vectors ``[N, D]``; compared by cosine.
        positives: Row i is the positive of row i, or None.
        k: How many.
    """
    query = torch.nn.functional.normalize(rows.float(), dim=1)
    if positives is None:
        cosine, index = pairwise.topk(query, query, k, mask_mod=_others)
        return Neighbours(index.numpy(), cosine.numpy(), np.empty(0, dtype=np.int64))
    key = torch.nn.functional.normalize(positives.float(), dim=1)
    cosine, index = pairwise.topk(query, key, k)
    own = (query * key).sum(dim=1)
    # A copy of the own positive is no nearer than it: what float32 cannot tell apart is equal.
    nearer = pairwise.sum(
        query, key, value=lambda margin: (margin > 1e-6).to(margin.dtype), score_mod=_over_own, rows=(own,)
    )
    return Neighbours(index.numpy(), cosine.numpy(), nearer.round().long().numpy() + 1)


def _others(row: Side, column: Side) -> torch.Tensor:
    return row.index != column.index


def _over_own(score: torch.Tensor, row: Side, column: Side) -> torch.Tensor:
    return score - row[0]


def measure_of(content: Mapping[str, Any]) -> Measure:
    """Build a measure from its fields, as a worker receives them."""
    fields = dict(content)
    kinds: dict[str, type[Measure]] = {"task": TaskMeasure, "space": SpaceMeasure}
    kind = kinds[fields.pop("kind")]
    for name in ("columns", "settings"):
        if name in fields:
            fields[name] = tuple((key, _hashable(value)) for key, value in fields[name])
    return kind(**fields)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def read_measure(folder: Path, measure: Measure) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what :meth:`Measure.write` wrote."""
    content: dict[str, Any] = json.loads((folder / f"{measure.id}.json").read_text(encoding="utf-8"))
    with np.load(folder / f"{measure.id}.npz") as arrays:
        return content, dict(arrays.items())
