"""K-means over vectors, from several starts."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from likewise.errors import InputError

__all__ = ["clusters_of"]

STARTS = 10
"""Starts of k-means, of which the best is kept."""


def clusters_of(vectors: NDArray[np.float32], number: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Put vectors into clusters by k-means.

    Args:
        vectors: ``[n, D]``.
        number: How many clusters.
        seed: Seed of the starts.

    Returns:
        The cluster of each vector, in ``[0, number)``; not all of these where vectors all but coincide.

    Raises:
        InputError: There are fewer different vectors than clusters.

    Example:
        >>> clusters_of(np.array([[0.0], [0.1], [5.0]], dtype=np.float32), 2).tolist() in ([0, 0, 1], [1, 1, 0])
        True
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    distinct = len(np.unique(vectors, axis=0))
    if distinct < number:
        raise InputError(
            f"there are {distinct} different vectors for {number} clusters; at least as many are needed. Give "
            "more data, or ask for fewer."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # vectors that rounding alone tells apart: see Returns
        found: NDArray[np.int64] = (
            KMeans(number, n_init=STARTS, random_state=seed).fit_predict(vectors).astype(np.int64)
        )
    return found
