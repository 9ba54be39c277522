"""What an evaluation gives back: values, how sure they are, and everything needed to repeat it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from likewise.versions import installed_versions

if TYPE_CHECKING:
    import numpy as np

    from likewise.encoders import Embedder

__all__ = ["LEVEL", "Interval", "Result"]

LEVEL = 0.95
"""Share of the replicates inside an interval."""

Interval = tuple[float, float]
"""Lower and upper end."""


class Named(Protocol):
    """Opened data."""

    @property
    def name(self) -> str:
        """What the data are called."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of the data."""
        ...


@dataclass(frozen=True)
class Result:
    """The outcome of one evaluation of one model on one set of data.

    Args:
        task: Name of the task: "similarity", "retrieval".
        metrics: Value of each metric by its name, in lower case: "spearman", "ndcg@10".
        num_items: Number of items the metrics are means or correlations over.
        data_fingerprint: Digest of the data.
        model_fingerprint: Digest of the model's weights and preprocessing.
        settings: Every setting that the values depend on.
        intervals: 95 % bootstrap interval of each metric over the items; empty where it was not asked for.
        items: What the items are: "pairs", "queries", "texts", "episodes", "files".
        data: What the data are called, for people.
        model: What the model is called, for people.
        parts: Results of the parts the data consist of (files), by name; empty where there is one part only.
        per_item: Value of each metric for every item, float64 ``[num_items]``, in the order of the data, where a metric
            is a mean over items; for paired comparisons. Not part of ``as_dict``.
        replicates: Bootstrap replicates of each metric, float64 ``[R]``; empty where ``bootstrap=0``. On one set of
            data with one seed all models share the draws, so that the difference of two results' replicates is the
            paired bootstrap of the difference: ``interval(b.replicates[name] - a.replicates[name])``. Not part of
            ``as_dict``, and not compared.
        versions: Versions of what computed the values.
    """

    task: str
    metrics: Mapping[str, float]
    num_items: int
    data_fingerprint: str
    model_fingerprint: str
    settings: Mapping[str, Any]
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    items: str = "items"
    data: str = ""
    model: str = ""
    parts: Mapping[str, Result] = field(default_factory=dict)
    per_item: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    replicates: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    versions: Mapping[str, str] = field(default_factory=installed_versions, repr=False)

    @classmethod
    def of(
        cls,
        task: str,
        embedder: Embedder,
        data: Named,
        *,
        settings: Mapping[str, Any],
        precision: str,
        bootstrap: int,
        seed: int,
        **figures: Any,
    ) -> Self:
        """Build the result of a model on opened data.

        Args:
            task: Name of the task.
            embedder: The model that was measured.
            data: What it was measured on.
            settings: The task's own settings, and what was done with the data.
            precision: How texts were encoded.
            bootstrap: Replicates of the intervals.
            seed: Seed of the replicates.
            **figures: The other fields.
        """
        shared = {"precision": precision, "bootstrap": bootstrap, "level": LEVEL, "seed": seed}
        return cls(
            task=task,
            data=data.name,
            data_fingerprint=data.fingerprint,
            model=embedder.name,
            model_fingerprint=embedder.fingerprint,
            settings={**settings, **shared},
            **figures,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything but ``per_item`` and ``replicates`` as what JSON can hold; an undefined value is None.

        Example:
            >>> result = Result("similarity", {"spearman": 0.5}, 9, "ab", "cd", {}, {"spearman": (0.1, 0.8)})
            >>> result.as_dict()["intervals"]
            {'spearman': [0.1, 0.8]}
        """
        return {
            "task": self.task,
            "metrics": {name: _number(value) for name, value in self.metrics.items()},
            "intervals": {name: [_number(end) for end in ends] for name, ends in self.intervals.items()},
            "num_items": self.num_items,
            "items": self.items,
            "data": self.data,
            "data_fingerprint": self.data_fingerprint,
            "model": self.model,
            "model_fingerprint": self.model_fingerprint,
            "settings": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.settings.items()
            },
            "versions": dict(self.versions),
            "parts": {name: part.as_dict() for name, part in self.parts.items()},
        }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
