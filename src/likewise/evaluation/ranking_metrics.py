"""Metrics of a ranked list, computed for all queries at once.

All of them see the same three things. ``gains [Q, K]``: the grade of the document at each rank, 0 where it is not
relevant or where the list has ended; ``ideal [Q, P]``: the grades of all relevant documents of a query in falling
order, filled up with 0; ``k``: how many ranks count. All return float64 ``[Q]`` in [0, 1], as ``trec_eval`` does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from likewise.errors import InputError, unknown

__all__ = ["FAMILIES", "average_precision", "hit", "ndcg", "parse_metric", "precision", "recall", "reciprocal_rank"]

Floats = NDArray[np.float64]


def _discounted(gains: Floats, k: int) -> Floats:
    gains = gains[:, :k]
    total: Floats = gains @ (1 / np.log2(np.arange(2, gains.shape[1] + 2)))
    return total


def ndcg(gains: Floats, ideal: Floats, k: int) -> Floats:
    """Normalised discounted cumulative gain: ``sum_r gain_r / log2(r + 1)`` over the same of the best possible list.

    The gain of a document is its grade itself (not ``2^grade - 1``), as in trec_eval and BEIR.

    Source: Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4).

    Example:
        >>> ndcg(np.array([[0.0, 1.0]]), np.array([[1.0]]), 10).round(4)  # 1 / log2(3)
        array([0.6309])
    """
    return _discounted(gains, k) / _discounted(ideal, k)


def reciprocal_rank(gains: Floats, ideal: Floats, k: int) -> Floats:
    """One over the rank of the first relevant document, 0 where none is among the first ``k``; the mean is MRR@k."""
    relevant = gains[:, :k] > 0
    first = np.argmax(relevant, axis=1)
    found: Floats = relevant.any(axis=1) / (first + 1.0)
    return found


def recall(gains: Floats, ideal: Floats, k: int) -> Floats:
    """Share of the relevant documents that are among the first ``k``."""
    found: Floats = (gains[:, :k] > 0).sum(axis=1) / (ideal > 0).sum(axis=1)
    return found


def precision(gains: Floats, ideal: Floats, k: int) -> Floats:
    """Share of the first ``k`` documents that are relevant; ranks behind the end of a short list count as misses."""
    found: Floats = (gains[:, :k] > 0).sum(axis=1) / k
    return found


def hit(gains: Floats, ideal: Floats, k: int) -> Floats:
    """1 where at least one relevant document is among the first ``k``, else 0 (also known as success or accuracy)."""
    found: Floats = np.asarray((gains[:, :k] > 0).any(axis=1), dtype=np.float64)
    return found


def average_precision(gains: Floats, ideal: Floats, k: int) -> Floats:
    """Sum of the precisions at the ranks of the relevant documents among the first ``k``, over all relevant ones.

    Relevant documents that were not found count as 0, also where there are more of them than ``k``.
    """
    relevant = gains[:, :k] > 0
    precisions = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    found: Floats = (precisions * relevant).sum(axis=1) / (ideal > 0).sum(axis=1)
    return found


FAMILIES: dict[str, Callable[[Floats, Floats, int], Floats]] = {
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
    "recall": recall,
    "hit": hit,
    "map": average_precision,
    "precision": precision,
}
"""What may stand before the @ in a metric's name."""


def parse_metric(name: str) -> tuple[str, int]:
    """Read the name of a metric.

    Raises:
        InputError: There is no such metric, or what follows the @ is no number of ranks.

    Example:
        >>> parse_metric("ndcg@10")
        ('ndcg', 10)
    """
    family, _, ranks = name.partition("@")
    if family not in FAMILIES:
        raise unknown("metric", family, FAMILIES)
    if not (ranks.isascii() and ranks.isdigit() and int(ranks) > 0):
        raise InputError(f"metric '{name}' does not say how many ranks count; write for example '{family}@10'.")
    return family, int(ranks)
