"""The public list of tasks; each is loaded when it is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from likewise.errors import InputError, unknown

if TYPE_CHECKING:
    from likewise.data import Column
    from likewise.encoders import Embedder
    from likewise.evaluation.definition import Definition
    from likewise.evaluation.result import Result
    from likewise.settings import Setting

__all__ = ["TASKS", "Task", "get_task"]


@dataclass(frozen=True)
class Task:
    """One way of measuring a model, the same for the command line, for validation and for studies.

    Args:
        name: Name of the task: "knn".
        summary: What it measures, in half a line.
        where: Module that holds its ``DEFINITION``, loaded when it is first needed.
        argument: For a family of tasks: which of them (``mteb:NAME``).

    Example:
        >>> task = get_task("similarity")
        >>> task.main_metric, [column.name for column in task.columns]
        ('spearman', ['score', 'sentence1', 'sentence2'])
    """

    name: str
    summary: str
    where: str
    argument: str | None = None

    @property
    def definition(self) -> Definition:
        """What the task's file says about it."""
        module = importlib.import_module(self.where)
        found: Definition = module.DEFINITION if self.argument is None else module.definition(self.argument)
        return found

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a row of its data must bring, and may bring; empty where it brings its own data."""
        return self.definition.columns

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it measures under its default settings, the one to quote first."""
        return self.definition.metrics

    @property
    def main_metric(self) -> str:
        """The figure to quote."""
        return self.metrics[0]

    @property
    def lower_is_better(self) -> frozenset[str]:
        """Metrics of which a lower value is better: errors."""
        return self.definition.lower_is_better

    @property
    def best_metric(self) -> str:
        """The first metric of which a higher value is better: what tells which checkpoint to keep."""
        return next(name for name in self.metrics if name not in self.lower_is_better)

    @property
    def reads_data(self) -> bool:
        """Whether it is measured on data that are given; a benchmark's task brings its own."""
        return self.argument is None

    @property
    def repeatable(self) -> bool:
        """Whether it can be repeated every few steps of a training."""
        return self.reads_data

    def options(self) -> dict[str, tuple[Setting, ...]]:
        """Return its settings: "data" are those of :meth:`open`, "settings" those of :meth:`measure`."""
        from likewise.settings import settings_of

        definition = self.definition
        return {"data": settings_of(definition.opening), "settings": settings_of(definition.settings)}

    def open(
        self,
        data: Any = None,
        *,
        rename: Mapping[str, str] | None = None,
        bad_rows: Literal["error", "skip"] = "error",
        **options: Any,
    ) -> Any:
        """Open what is measured on and check it once.

        Args:
            data: A file, folder, pattern, name, rows or table; nothing for a task that brings its own data.
            rename: The file's name of a column by ours, where they differ.
            bad_rows: "error" refuses the first row that cannot be used; "skip" leaves such rows out.
            **options: The settings that :meth:`options` lists under "data", by name.

        Returns:
            What :meth:`measure` takes, for any number of models; it has a ``name`` and a ``fingerprint``.

        Raises:
            InputError: Something cannot be used; the message says what, where, and what to do.
        """
        from likewise.settings import build_settings

        if self.reads_data and data is None:
            raise InputError(f"{self.name} was given no data; give a file or rows.")
        definition = self.definition
        built = vars(build_settings(definition.opening, options, of=self.name))
        return definition.open(data, rename=rename, bad_rows=bad_rows, **built)

    def measure(
        self,
        embedder: Embedder,
        opened: Any,
        *,
        batch_size: int = 256,
        precision: str = "auto",
        bootstrap: int = 1000,
        seed: int = 0,
        progress: bool = False,
        **settings: Any,
    ) -> Result:
        """Measure a model.

        Args:
            embedder: The model.
            opened: What :meth:`open` returned.
            batch_size: Texts encoded at a time.
            precision: How texts are encoded: "auto", "bf16" or "fp32".
            bootstrap: Replicates for the 95 % intervals; 0: no intervals.
            seed: Seed of the replicates, and of what else the task draws.
            progress: Show progress on stderr while encoding.
            **settings: The settings that :meth:`options` lists under "settings", by name.

        Raises:
            InputError: An unknown setting (the nearest is named), or something cannot be measured.
        """
        from likewise.settings import build_settings

        definition = self.definition
        built = vars(build_settings(definition.settings, settings, of=self.name))
        return definition.measure(
            embedder,
            opened,
            batch_size=batch_size,
            precision=precision,
            bootstrap=bootstrap,
            seed=seed,
            progress=progress,
            **built,
        )


def _task(name: str, summary: str) -> Task:
    return Task(name, summary, f"likewise.evaluation.tasks.{name}")


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _task("retrieval", "How far up the documents come that answer a query"),
        _task("similarity", "Whether cosines rise with the similarity that people gave pairs of texts"),
        _task("probe", "How well a linear classifier on the frozen vectors tells labels apart"),
        _task("regression", "How well a linear model on the frozen vectors predicts a number"),
        _task("knn", "How well the nearest labelled texts vote for a text's label"),
        _task("zero_shot", "How well the names of the classes alone tell a text's label"),
        _task("clustering", "How well clusters found without labels agree with the labels"),
        _task("few_shot", "How well a few labelled texts a class are enough"),
        _task("ranking", "How far up a user's next item comes among all items"),
        _task("pair_classification", "How well a cosine tells pairs that belong together from pairs that do not"),
        _task("bitext", "How well a text finds its translation"),
    )
}
"""Every task by name. Tasks of the benchmark mteb are beside it, as ``mteb:NAME``."""

MTEB = Task("mteb:NAME", "A task of the benchmark mteb, with its own data", "likewise.evaluation.tasks.mteb_tasks", "")
"""Stands for all tasks of mteb in listings."""


def get_task(name: str) -> Task:
    """Return a task by its name.

    Raises:
        InputError: No task has this name; the nearest is offered.

    Example:
        >>> get_task("mteb:STSBenchmark").name
        'mteb:STSBenchmark'
    """
    family, colon, argument = name.partition(":")
    if family == "mteb" and colon and argument:
        return Task(name, MTEB.summary, MTEB.where, argument)
    if name not in TASKS:
        raise unknown("task", name, (*TASKS, MTEB.name))
    return TASKS[name]
