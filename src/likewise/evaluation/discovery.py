"""Categories that are found: clusters matched to classes, how many rows each has, and how right that is."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

__all__ = ["class_counts", "discovery_accuracy", "matched"]

Ints = NDArray[np.int64]


def matched(scores: NDArray[np.float64]) -> Ints:
    """Return the row that each column is matched to, so that the sum of their scores is highest (Hungarian).

    Args:
        scores: ``[rows, columns]`` with at least as many rows.

    Example:
        >>> matched(np.array([[0.0, 1.0], [0.9, 0.8], [0.1, 0.2]]))
        array([1, 0])
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(scores, maximize=True)
    found: Ints = rows[np.argsort(columns)].astype(np.int64)
    return found


def class_counts(clusters: Ints, labels: Ints, num_classes: int, known: int) -> NDArray[np.float64]:
    """Estimate how many rows each class has, the known ones first, from clusters and some labels.

    Known classes are matched to clusters by the share of a cluster that their labelled rows are; a share, because large
    clusters would else take every class. The sizes of the matched clusters go to known classes by rank: the class with
    the fewest labelled rows gets the smallest; of equal ones each its own. The sizes of all other clusters follow, the
    largest first.

    Args:
        clusters: Cluster of each row, in [0, num_classes).
        labels: Class of each row, in [0, known); -1 where it has none.
        num_classes: How many classes there are in all.
        known: How many of them are known.

    Returns:
        ``[num_classes]``, at least 1 each.

    Source: Bai et al. 2023 (BaCon), arXiv 2310.01376, and its official code, where clusters without a row shift all
        numbers behind them.

    Example:
        >>> class_counts(np.array([0, 0, 0, 1, 2, 2]), np.array([-1, 0, -1, 1, -1, -1]), 3, 2)
        array([3., 1., 2.])
    """
    sizes = np.bincount(clusters, minlength=num_classes).astype(np.float64)
    has = labels >= 0
    together = np.zeros((num_classes, known))
    np.add.at(together, (clusters[has], labels[has]), 1)
    of_known = matched(together / np.maximum(sizes, 1)[:, None])
    counts = np.empty(num_classes)
    by_size = np.lexsort((sizes[of_known], np.bincount(labels[has], minlength=known)))
    counts[by_size] = np.sort(sizes[of_known])
    counts[known:] = -np.sort(-np.delete(sizes, of_known))
    return np.maximum(counts, 1.0)


def discovery_accuracy(clusters: Ints, truth: Ints, known: Collection[int]) -> dict[str, float]:
    """Return the share of rows whose cluster is that of their class, by one matching of all clusters.

    Args:
        clusters: Cluster of each row, from 0.
        truth: Class of each row, from 0.
        known: Classes that were known in training.

    Returns:
        ``all``, ``old`` (rows of known classes) and ``new`` (the others), in [0, 1]; without those that have no rows.

    Example:
        >>> discovery_accuracy(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 0]), [0])
        {'all': 0.75, 'old': 0.6666666666666666, 'new': 1.0}
    """
    size = int(max(clusters.max(), truth.max())) + 1
    together = np.zeros((size, size))
    np.add.at(together, (clusters, truth), 1)
    right = matched(together)[truth] == clusters
    old = np.isin(truth, list(known))
    parts = {"all": np.ones_like(old), "old": old, "new": ~old}
    return {name: float(right[part].mean()) for name, part in parts.items() if part.any()}
