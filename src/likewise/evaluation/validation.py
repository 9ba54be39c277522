"""Figures that a training run asks for every few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from likewise.data import RetrievalData, Table
from likewise.evaluation.result import Result
from likewise.evaluation.tasks import get_task
from likewise.evaluation.tasks.retrieval import retrieval, retrieval_subset

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["Validation"]


class Validation:
    """A measurement to repeat while training: call it with the embedder, get figures by name.

    Args:
        measure: Returns the result of the embedder as it is now. Higher values of its metrics are better.
        best: Metric that tells which checkpoint to keep.

    Example:
        >>> validation = Validation(lambda embedder: Result("example", {"hit@1": 0.5}, 2, "", "", {}), best="hit@1")
        >>> validation(None)
        {'hit@1': 0.5}
    """

    def __init__(self, measure: Callable[[Embedder], Result], *, best: str) -> None:
        self.measure = measure
        self.best = best

    @classmethod
    def retrieval(
        cls,
        data: RetrievalData,
        *,
        metrics: Sequence[str] = ("ndcg@10", "mrr@10", "recall@1", "recall@10"),
        best: str = "ndcg@10",
        max_queries: int = 1000,
        max_documents: int | None = 10_000,
        seed: int = 0,
        **options: Any,
    ) -> Self:
        """Measure a retrieval, on a subset small enough to be repeated.

        Args:
            data: The held-out task, of which :func:`retrieval_subset` is drawn once.
            metrics: What to measure; see :func:`retrieval`.
            best: Metric that tells which checkpoint to keep; measured in any case.
            max_queries: Most queries.
            max_documents: Most candidates; None: all.
            seed: Seed of the draw.
            **options: Further arguments of :func:`retrieval`.
        """
        subset = retrieval_subset(data, max_queries=max_queries, max_documents=max_documents, seed=seed)
        names = tuple(dict.fromkeys((*metrics, best)))

        def measure(embedder: Embedder) -> Result:
            return retrieval(embedder, subset, metrics=names, bootstrap=0, **options)

        return cls(measure, best=best)

    @classmethod
    def similarity(
        cls,
        data: Table | str | Path | Sequence[Mapping[str, Any]],
        *,
        best: str = "spearman",
        rename: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """Measure the correlation with people's similarity.

        Args:
            data: Rows with ``score``, ``sentence1``, ``sentence2``; of several files the mean is watched.
            best: "spearman" or "pearson".
            rename: The file's name of a column by ours, where they differ.
            **options: Further arguments of :func:`similarity`.
        """
        return cls.of("similarity", data, best=best, rename=rename, **options)

    @classmethod
    def of(
        cls,
        task: str,
        data: Any,
        *,
        best: str | None = None,
        rename: Mapping[str, str] | None = None,
        opening: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Measure any task of the registry that reads data, on a subset where the whole would take long.

        Args:
            task: Name of a task: "knn".
            data: What the task's ``open`` opens.
            best: Metric that tells which checkpoint to keep; the first one of which a higher value is better where
                not given.
            rename: The file's name of a column by ours, where they differ.
            opening: Settings of the task's ``open``: ``{"train": "train.csv"}``.
            **options: Further arguments of the task's ``measure``: ``k=5, batch_size=128``.

        Raises:
            InputError: An unknown task or setting, or data that cannot be measured.
            ValueError: The task does not measure ``best``, or a lower value of it is better.
        """
        found = get_task(task)
        watched = found.best_metric if best is None else best
        if watched in found.lower_is_better:
            raise ValueError(
                f"Validation.of: a lower {watched} is better, and the model with the highest figure is kept; "
                f"{found.best_metric} is accepted. Name it as best."
            )
        opened = found.definition.subset(found.open(data, rename=rename, **(opening or {})))

        def measure(embedder: Embedder) -> Result:
            result = found.measure(embedder, opened, bootstrap=0, **{**found.definition.while_training, **options})
            if watched not in result.metrics:
                raise ValueError(
                    f"Validation.of: {task} does not measure '{watched}'; {', '.join(result.metrics)} are accepted."
                )
            return result

        return cls(measure, best=watched)

    def __call__(self, embedder: Embedder) -> dict[str, float]:
        """Return the value of each metric by its name, the one that tells which checkpoint to keep first."""
        metrics = self.measure(embedder).metrics
        return {self.best: metrics[self.best], **metrics}
