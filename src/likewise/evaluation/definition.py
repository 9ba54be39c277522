"""What a task's file says about the task, for whoever uses tasks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from likewise.data import Column
from likewise.evaluation.result import Result

__all__ = ["Definition", "NoSettings"]


@dataclass(frozen=True)
class NoSettings:
    """The settings of what has none."""


def _whole(opened: Any) -> Any:
    return opened


@dataclass(frozen=True)
class Definition:
    """What :class:`likewise.evaluation.Task` is made of.

    Args:
        columns: What a row must bring, and may bring.
        metrics: What is measured under the default settings, the one to quote first.
        open: ``open(data, *, rename, bad_rows, **opening)`` opens and checks the data.
        measure: ``measure(embedder, opened, *, batch_size, precision, bootstrap, seed, progress, **settings)``.
        opening: Dataclass of the settings of ``open``.
        settings: Dataclass of the settings of ``measure``.
        lower_is_better: Metrics of which a lower value is better.
        subset: From opened data to a part of them that is small enough to be measured every few steps of a training.
        while_training: Settings of ``measure`` that hold then, unless others are given.
    """

    columns: tuple[Column, ...]
    metrics: tuple[str, ...]
    open: Callable[..., Any]
    measure: Callable[..., Result]
    opening: type = NoSettings
    settings: type = NoSettings
    lower_is_better: frozenset[str] = frozenset()
    subset: Callable[[Any], Any] = _whole
    while_training: Mapping[str, Any] = field(default_factory=dict)
