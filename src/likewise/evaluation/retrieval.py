"""Retrieval: how far up the relevant documents come when each query is compared with the whole corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from likewise import pairwise
from likewise.data import RetrievalData
from likewise.errors import InputError
from likewise.evaluation.bootstrap import LEVEL, mean_statistic, measured
from likewise.evaluation.ranking_metrics import FAMILIES, parse_metric
from likewise.evaluation.result import Result

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.encoders import Embedder

__all__ = ["DEFAULT_METRICS", "retrieval", "retrieval_subset"]

DEFAULT_METRICS = ("ndcg@10", "mrr@10", "recall@1", "recall@10", "recall@100", "hit@1", "hit@10", "map@100")
"""What is measured unless metrics are named."""

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]


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
    parsed = {name: parse_metric(name) for name in metrics}
    if not parsed:
        raise InputError("no metric was asked for; name at least one, for example 'ndcg@10'.")

    def encode(texts: Mapping[str, str], role: Any) -> Tensor:
        return embedder.encode(
            list(texts.values()), role=role, batch_size=batch_size, precision=precision, progress=progress
        )

    query = encode(data.queries, "query") if query_embeddings is None else query_embeddings
    corpus = encode(data.corpus, "document") if corpus_embeddings is None else corpus_embeddings
    query = _directions(query, list(data.queries), "query")
    corpus = _directions(corpus, list(data.corpus), "document")
    if query.shape[1] != corpus.shape[1]:
        raise ValueError(
            f"retrieval: queries have {query.shape[1]} dimensions but documents {corpus.shape[1]}; they must agree. "
            "Encode both with one model."
        )
    depth = max(k for _, k in parsed.values())
    gains, ideal = _judged_ranking(data, query, corpus, depth, ignore_same_id)
    per_item = {name: FAMILIES[family](gains, ideal, k) for name, (family, k) in parsed.items()}
    values = np.stack(list(per_item.values()), axis=1)
    return Result(
        task="retrieval",
        **vars(measured(mean_statistic(values), list(parsed), len(values), bootstrap, seed)),
        num_items=len(data.queries),
        items="queries",
        data=data.name,
        data_fingerprint=data.fingerprint,
        model=embedder.name,
        model_fingerprint=embedder.fingerprint,
        settings={
            "score": "cosine",
            "documents": len(data.corpus),
            "precision": precision,
            "ignore_same_id": ignore_same_id,
            "bootstrap": bootstrap,
            "level": LEVEL,
            "seed": seed,
        },
        per_item=per_item,
    )


def _directions(embeddings: Tensor, ids: list[str], side: str) -> Tensor:
    """Check vectors and put them on the unit sphere, where a product is a cosine."""
    if embeddings.ndim != 2 or len(embeddings) != len(ids):
        raise ValueError(
            f"retrieval: the {side} embeddings have shape {list(embeddings.shape)} but there are {len(ids)} texts; one "
            "row a text is accepted. Give the vectors in the order of the data."
        )
    bad = (~torch.isfinite(embeddings).all(dim=1)).nonzero()
    if len(bad):
        raise InputError(
            f"the vector of {side} '{ids[int(bad[0])]}' is not finite ({len(bad)} of {len(ids)} are not); a model "
            "that gives finite numbers is needed. Look at its training curve."
        )
    return normalize(embeddings.float(), dim=1)


def _judged_ranking(
    data: RetrievalData, query: Tensor, corpus: Tensor, depth: int, ignore_same_id: bool
) -> tuple[Floats, Floats]:
    """Return ``gains [Q, depth]`` of the ranked documents and ``ideal [Q, P]``, the grades of all relevant ones."""
    place = {document: number for number, document in enumerate(data.corpus)}
    grades = [
        {place[one]: float(data.grades.get(name, {}).get(one, 1)) for one in data.relevant[name]}
        for name in data.queries
    ]
    own = [place.get(name, -1) if ignore_same_id else -1 for name in data.queries]
    own_index = np.array([-1 if mine in judged else mine for mine, judged in zip(own, grades, strict=True)])
    wanted = min(depth + int((own_index >= 0).any()), len(corpus))
    ranking = pairwise.topk(query, corpus, wanted)[1].numpy()  # [Q, wanted], best first
    keep = ranking != own_index[:, None]
    ranking = np.take_along_axis(
        ranking, np.argsort(~keep, axis=1, kind="stable"), axis=1
    )  # the query itself goes last
    listed = np.arange(wanted)[None, :] < keep.sum(axis=1)[:, None]
    gains = np.where(listed, _look_up(ranking, grades, len(corpus)), 0.0)[:, :depth]
    ideal = np.zeros((len(grades), max(map(len, grades))))
    for row, judged in zip(ideal, grades, strict=True):
        row[: len(judged)] = sorted(judged.values(), reverse=True)
    return gains, ideal


def _look_up(ranking: NDArray[np.int64], grades: Sequence[Mapping[int, float]], num_documents: int) -> Floats:
    """Return the grade of every ranked document, 0 where it is not judged, without a Python step a document."""
    keys = np.array([query * num_documents + one for query, judged in enumerate(grades) for one in judged])
    values = np.array([value for judged in grades for value in judged.values()])
    order = np.argsort(keys)
    keys, values = keys[order], values[order]
    wanted = ranking + np.arange(len(ranking))[:, None] * num_documents
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[found] == wanted, values[found], 0.0)


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
