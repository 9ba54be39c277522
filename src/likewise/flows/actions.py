"""Actions: clusters of utterances whose vectors lie together, each with the utterances that stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from likewise.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Action", "cluster_actions", "mean_distance"]

MOST_UTTERANCES = 30_000
"""Utterances that are clustered at a time: every distance of two is held, 3.6 GB for so many."""


@dataclass(frozen=True)
class Action:
    """A cluster of utterances.

    Args:
        members: Which utterances, by their numbers, in rising order.
        nearest: The different utterances that lie nearest the centre, the nearest first.
        centre: Mean of the members' vectors, not normalised.
    """

    members: tuple[int, ...]
    nearest: tuple[str, ...]
    centre: Float[np.ndarray, "D"]


def cluster_actions(
    vectors: Float[np.ndarray, "N D"],
    utterances: Sequence[str],
    *,
    threshold: float | None = 0.6,
    number: int | None = None,
    show: int = 5,
) -> list[Action]:
    """Join utterances whose vectors point alike, from the most alike on.

    Agglomerative clustering with average linkage: at each step the two clusters are joined whose pairs of members have
    the smallest mean cosine distance, ``1 - cosine``.

    Args:
        vectors: One of each utterance; one that is zero has no direction, and is given the first axis.
        utterances: Their texts.
        threshold: Clusters are joined while that mean is smaller, in (0, 2]; what fits depends on the encoder.
        number: How many clusters to stop at, >= 1, in place of a threshold; at most as many as there are utterances.
        show: How many different utterances stand for an action, >= 1.

    Returns:
        The actions, the one with the most members first.

    Raises:
        InputError: A setting lies outside its range, or there are too many utterances.
        ValueError: There is not a text for each vector.

    Cost: O(N^2) memory and time.
    Source: Burdisso et al. 2024, arXiv 2410.18481, section 5.3; official ``extract_trajectories.py``.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> [one.nearest for one in cluster_actions(vectors, ["hi", "hello", "bye"])]
        [('hi', 'hello'), ('bye',)]
    """
    if len(vectors) != len(utterances):
        raise ValueError(
            f"cluster_actions: {len(vectors)} vectors for {len(utterances)} utterances; give one for each."
        )
    if number is None and (threshold is None or not 0 < threshold <= 2):
        raise InputError(
            f"threshold is {threshold}; it is a cosine distance, more than 0 and at most 2 (0.6 for a model of "
            "dialog2flow), or give a number of clusters."
        )
    if number is not None and number < 1:
        raise InputError(f"the number of clusters is {number}; it is at least 1.")
    if len(vectors) > MOST_UTTERANCES:
        raise InputError(
            f"there are {len(vectors)} utterances of one speaker; at most {MOST_UTTERANCES} are clustered at a time. "
            "Give fewer dialogs."
        )
    if not len(vectors):
        return []
    vectors = np.array(vectors, dtype=np.float64)
    vectors[~vectors.any(axis=1), 0] = 1
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = _clusters(directions, threshold, number)
    groups = [np.flatnonzero(found == one) for one in range(found.max() + 1)]
    groups.sort(key=lambda rows: (-len(rows), rows[0]))
    return [_action(rows, vectors, directions, utterances, show) for rows in groups]


def mean_distance(vectors: Float[np.ndarray, "N D"]) -> float:
    """Return the mean cosine distance of two vectors: the scale on which a threshold of this encoder is large or small.

    Args:
        vectors: At least two, none of them zero.

    Cost: O(N D); no pair is looked at.

    Example:
        >>> mean_distance(np.array([[1.0, 0.0], [0.0, 2.0]]))
        1.0
    """
    number = len(vectors)
    directions = np.asarray(vectors, dtype=np.float64)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return float(1 - (np.square(directions.sum(axis=0)).sum() - number) / (number * (number - 1)))


def _clusters(
    directions: Float[np.ndarray, "N D"], threshold: float | None, number: int | None
) -> np.ndarray:  # [N], from 0
    from sklearn.cluster import AgglomerativeClustering

    if len(directions) == 1:
        return np.zeros(1, dtype=np.int64)
    clustering = AgglomerativeClustering(
        n_clusters=None if number is None else min(number, len(directions)),
        distance_threshold=threshold if number is None else None,
        linkage="average",
        metric="cosine",
    )
    labels: np.ndarray = clustering.fit(directions).labels_
    return labels


def _action(
    rows: np.ndarray,
    vectors: Float[np.ndarray, "N D"],
    directions: Float[np.ndarray, "N D"],
    utterances: Sequence[str],
    show: int,
) -> Action:
    centre = vectors[rows].mean(axis=0)
    order = rows[np.argsort(-(directions[rows] @ centre), kind="stable")]
    nearest = list(dict.fromkeys(utterances[row] for row in order))[:show]
    return Action(tuple(rows.tolist()), tuple(nearest), centre)
