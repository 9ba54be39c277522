"""Retrieval: how far up the relevant documents come when each query is compared with the whole corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from likewise.data import RetrievalData, open_retrieval
from likewise.data.retrieval_data import PAIR_COLUMNS
from likewise.evaluation.definition import Definition
from likewise.evaluation.ranked import directions, parse_metrics, ranking_figures
from likewise.evaluation.result import Result

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.encoders import Embedder

__all__ = ["DEFAULT_METRICS", "DEFINITION", "retrieval", "retrieval_subset"]

DEFAULT_METRICS = ("ndcg@10", "mrr@10", "recall@1", "recall@10", "recall@100", "hit@1", "hit@10", "map@100")
"""What is measured unless metrics are named."""


@dataclass(frozen=True)
class RetrievalOpening:
    """Which queries are asked."""

    split: str = "test"
    """Which judgments of a BEIR folder: qrels/SPLIT.tsv."""


@dataclass(frozen=True)
class RetrievalSettings:
    """How a retrieval is measured."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    """Metric such as ndcg@10: ndcg, mrr, recall, hit, map or precision, and how many ranks count."""
    ignore_same_id: bool = True
    """Take a document that has the query's own id out of its ranking, as BEIR does."""


def retrieval(
    embedder: Embedder,
    data: RetrievalData,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    batch_size: int = 256,
    precision: str = "auto",
    query_embeddings: Float[Tensor, "Q D"] | None = None,
    corpus_embeddings: Float[Tensor, "M D"] | None = None,
    ignore_same_id: bool = True,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Rank the whole corpus for each query by cosine, exactly, and measure the ranking.

    Args:
        embedder: Encodes the queries with role "query" and the corpus with role "document".
        data: Corpus, queries and judgments.
        metrics: Names like "ndcg@10"; before the @ stands one of ndcg, mrr, recall, hit, map, precision (each explained
            at its function in ``ranking_metrics``), behind it how many ranks count. **Which to quote**: ndcg@10 for a
            corpus like BEIR's; recall@k ("which share of the relevant documents is found") where a reader wants all of
            them; hit@k ("is one of them found") where any will do, such as a reverse dictionary in which several words
            fit a definition. With one relevant document a query, recall@k and hit@k are equal.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        query_embeddings: Vectors of the queries in the order of ``data.queries``, where they exist already.
        corpus_embeddings: Vectors of the corpus in the order of ``data.corpus``, where they exist already (for an
            index, say).
        ignore_same_id: Take a document that has the query's own id out of its ranking, as BEIR does (in ArguAna and
            Quora the queries are themselves documents); not where that document is judged relevant for the query.
        bootstrap: Replicates for the 95 % intervals over queries; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        Means over queries, in [0, 1], with intervals and the value for every query in ``per_item``. Documents at equal
        cosine rank in the order of the corpus.

    Raises:
        InputError: An unknown metric, or vectors with a value that is not finite.
        ValueError: Embeddings given that do not fit the data.

    Cost: O((Q + M) D + Q k) memory, O(Q M D) time beside encoding: scores exist one tile at a time.
    Source: the metrics are those of trec_eval; Thakur et al. 2021, arXiv 2104.08663, for the protocol.
    """
    parsed = parse_metrics(metrics)

    def encode(texts: Mapping[str, str], role: Any) -> Tensor:
        return embedder.encode(
            list(texts.values()), role=role, batch_size=batch_size, precision=precision, progress=progress
        )

    query = encode(data.queries, "query") if query_embeddings is None else query_embeddings
    corpus = encode(data.corpus, "document") if corpus_embeddings is None else corpus_embeddings
    query = directions("retrieval", query, list(data.queries), "query")
    corpus = directions("retrieval", corpus, list(data.corpus), "document")
    if query.shape[1] != corpus.shape[1]:
        raise ValueError(
            f"retrieval: queries have {query.shape[1]} dimensions but documents {corpus.shape[1]}; they must agree. "
            "Encode both with one model."
        )
    grades, left_out = _judgments(data, ignore_same_id)
    figures = ranking_figures(query, corpus, grades, left_out, parsed, bootstrap=bootstrap, seed=seed)
    return Result.of(
        "retrieval",
        embedder,
        data,
        settings={"score": "cosine", "documents": len(data.corpus), "ignore_same_id": ignore_same_id},
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        items="queries",
        **figures,
    )


def _judgments(data: RetrievalData, ignore_same_id: bool) -> tuple[list[dict[int, float]], list[list[int]]]:
    """Return the grade of each relevant document, and the documents to leave out, for every query by place."""
    place = {document: number for number, document in enumerate(data.corpus)}
    grades = [
        {place[one]: float(data.grades.get(name, {}).get(one, 1)) for one in data.relevant[name]}
        for name in data.queries
    ]
    left_out = [
        [place[name]] if ignore_same_id and name in place and place[name] not in judged else []
        for name, judged in zip(data.queries, grades, strict=True)
    ]
    return grades, left_out


def retrieval_subset(
    data: RetrievalData, *, max_queries: int, max_documents: int | None = None, seed: int = 0
) -> RetrievalData:
    """Return a smaller task of the same kind: some queries, their relevant documents, and some others as candidates.

    A smaller corpus makes the task easier, so figures compare only between models on the same subset.

    Args:
        data: The whole task.
        max_queries: Queries to keep, >= 1.
        max_documents: Documents to keep, >= 1; the relevant ones of the queries kept always stay. None: all.
        seed: Seed of the draw.

    Returns:
        The subset, in the order of the whole; ``data`` itself where it is small enough.

    Raises:
        ValueError: A limit below 1.
    """
    for name, limit in (("max_queries", max_queries), ("max_documents", max_documents)):
        if limit is not None and limit < 1:
            raise ValueError(f"retrieval_subset: {name} is {limit}; at least 1 is accepted.")
    if len(data.queries) <= max_queries and (max_documents is None or len(data.corpus) <= max_documents):
        return data
    random = np.random.default_rng(seed)
    names = list(data.queries)
    kept = [names[i] for i in sorted(random.permutation(len(names))[:max_queries].tolist())]
    relevant = {name: data.relevant[name] for name in kept}
    corpus = data.corpus
    if max_documents is not None and len(corpus) > max_documents:
        needed = set().union(*relevant.values())
        others = [one for one in corpus if one not in needed]
        more = random.permutation(len(others))[: max(0, max_documents - len(needed))]
        needed.update(others[i] for i in more.tolist())
        corpus = {one: text for one, text in corpus.items() if one in needed}
    return RetrievalData(
        corpus,
        {name: data.queries[name] for name in kept},
        relevant,
        {name: data.grades[name] for name in kept if name in data.grades},
        name=f"{data.name} ({len(kept):,} queries among {len(corpus):,})",
    )


DEFINITION = Definition(
    columns=PAIR_COLUMNS,
    metrics=DEFAULT_METRICS,
    open=open_retrieval,
    measure=retrieval,
    opening=RetrievalOpening,
    settings=RetrievalSettings,
    subset=lambda data: retrieval_subset(data, max_queries=1000, max_documents=10_000),
    while_training={"metrics": ("ndcg@10", "mrr@10", "recall@1", "recall@10")},
)
