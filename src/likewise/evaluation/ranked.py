"""Ranking a whole corpus for every query and judging what is found: shared by retrieval and recommendation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from likewise import pairwise
from likewise.errors import InputError
from likewise.evaluation.bootstrap import Floats, mean_statistic, measured
from likewise.evaluation.ranking_metrics import FAMILIES, parse_metric

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["directions", "parse_metrics", "ranking_figures"]


def parse_metrics(names: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Read names like "ndcg@10".

    Raises:
        InputError: There is none, or one that is not known.
    """
    parsed = {name: parse_metric(name) for name in names}
    if not parsed:
        raise InputError("no metric was asked for; name at least one, for example 'ndcg@10'.")
    return parsed


def directions(task: str, embeddings: Tensor, ids: Sequence[str], side: str) -> Tensor:
    """Check vectors, given or encoded, and put them on the unit sphere, where a product is a cosine.

    Args:
        task: Name of the task, for messages.
        embeddings: ``[N, D]``.
        ids: What the rows belong to, N of them.
        side: What they are: "query".

    Raises:
        ValueError: Not one row an id.
        InputError: A value is not finite.
    """
    if embeddings.ndim != 2 or len(embeddings) != len(ids):
        raise ValueError(
            f"{task}: the {side} embeddings have shape {list(embeddings.shape)} but there are {len(ids)} of them; one "
            "row each is accepted. Give the vectors in the order of the data."
        )
    bad = (~torch.isfinite(embeddings).all(dim=1)).nonzero()
    if len(bad):
        raise InputError(
            f"the vector of {side} '{ids[int(bad[0])]}' is not finite ({len(bad)} of {len(ids)} are not); a model "
            "that gives finite numbers is needed. Look at its training curve."
        )
    return normalize(embeddings.float(), dim=1)


def ranking_figures(
    query: Float[Tensor, "Q D"],
    corpus: Float[Tensor, "M D"],
    grades: Sequence[Mapping[int, float]],
    left_out: Sequence[Collection[int]],
    metrics: Mapping[str, tuple[str, int]],
    *,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Rank the whole corpus for each query by cosine, exactly, and measure; returns fields of a ``Result``.

    Args:
        query: Directions of what is looked up.
        corpus: Directions of what is looked among; at equal cosine the earlier row ranks first.
        grades: Grade, > 0, of each relevant row of the corpus, for every query; at least one each.
        left_out: Rows of the corpus that are taken out of the ranking, for every query.
        metrics: As :func:`parse_metrics` gives them.
        bootstrap: Replicates for the intervals over queries; 0: none.
        seed: Seed of the replicates.

    Cost: O((Q + M) D + Q k) memory, where k is the depth and the rows left out; O(Q M D) time.
    """
    depth = max(k for _, k in metrics.values())
    gains = _gains(query, corpus, grades, left_out, depth)
    ideal = np.zeros((len(grades), max(map(len, grades))))
    for row, judged in zip(ideal, grades, strict=True):
        row[: len(judged)] = sorted(judged.values(), reverse=True)
    per_item = {name: FAMILIES[family](gains, ideal, k) for name, (family, k) in metrics.items()}
    values = np.stack(list(per_item.values()), axis=1)
    return {
        **vars(measured(mean_statistic(values), list(metrics), len(values), bootstrap, seed)),
        "per_item": per_item,
        "num_items": len(values),
    }


def _gains(
    query: Tensor,
    corpus: Tensor,
    grades: Sequence[Mapping[int, float]],
    left_out: Sequence[Collection[int]],
    depth: int,
) -> Floats:
    """Return the grade at each rank, ``[Q, depth]``.

    Where rows are left out, the ranking is made that much deeper. Queries that leave out about as many (up to a factor
    of two) are ranked together, so that one long list does not make all of them long.
    """
    gains = np.zeros((len(grades), depth))
    groups: dict[int, list[int]] = {}
    for i, out in enumerate(left_out):
        groups.setdefault(len(out).bit_length(), []).append(i)
    for members in groups.values():
        wanted = min(depth + max(len(left_out[i]) for i in members), len(corpus))
        ranking = pairwise.topk(query[members], corpus, wanted)[1].numpy()  # [members, wanted], best first
        taken_out = [dict.fromkeys(left_out[i], 1.0) for i in members]
        keep = _look_up(ranking, taken_out, len(corpus)) == 0
        order = np.argsort(~keep, axis=1, kind="stable")[:, :depth]  # what is left out goes last
        ranking, keep = (np.take_along_axis(one, order, axis=1) for one in (ranking, keep))
        found = _look_up(ranking, [grades[i] for i in members], len(corpus))
        gains[members, : found.shape[1]] = np.where(keep, found, 0.0)
    return gains


def _look_up(ranking: NDArray[np.int64], values: Sequence[Mapping[int, float]], num_documents: int) -> Floats:
    """Return the value of every ranked row, 0 where it has none, without a Python step a row."""
    keys = np.array([query * num_documents + one for query, known in enumerate(values) for one in known], np.int64)
    if not len(keys):
        return np.zeros(ranking.shape)
    known = np.array([value for several in values for value in several.values()])
    order = np.argsort(keys)
    keys, known = keys[order], known[order]
    wanted = ranking + np.arange(len(ranking))[:, None] * num_documents
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[found] == wanted, known[found], 0.0)
