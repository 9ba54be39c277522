"""Figures that a training run asks for every few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from likewise.data import RetrievalData, Table, open_table
from likewise.evaluation.result import Result
from likewise.evaluation.retrieval import retrieval, retrieval_subset
from likewise.evaluation.similarity import SIMILARITY_COLUMNS, similarity

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
            data: Rows with ``score``, ``sentence1``, ``sentence2``; several files count as one set.
            best: "spearman" or "pearson".
            rename: The file's name of a column by ours, where they differ.
            **options: Further arguments of :func:`similarity`.
        """
        table = data if isinstance(data, Table) else open_table(data, columns=SIMILARITY_COLUMNS, rename=rename)

        def measure(embedder: Embedder) -> Result:
            return similarity(embedder, table, bootstrap=0, **options)

        return cls(measure, best=best)

    def __call__(self, embedder: Embedder) -> dict[str, float]:
        """Return the value of each metric by its name, the one that tells which checkpoint to keep first."""
        metrics = self.measure(embedder).metrics
        return {self.best: metrics[self.best], **metrics}
