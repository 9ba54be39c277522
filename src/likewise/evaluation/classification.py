"""Figures of a classification, with the bootstrap over its items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation.bootstrap import Floats, Statistic, measured

__all__ = ["CLASSIFICATION_METRICS", "classification_figures", "macro_f1_statistic"]

CLASSIFICATION_METRICS = ("accuracy", "macro_f1")
"""What every classification is measured by, the one to quote first."""

Ints = NDArray[np.int64]


def classification_figures(
    truth: Sequence[int] | Ints,
    predicted: Sequence[int] | Ints,
    *,
    bootstrap: int,
    seed: int,
    hits: dict[str, Floats] | None = None,
    items: str = "texts",
) -> dict[str, Any]:
    """Measure predictions; returns fields of a ``Result``.

    Args:
        truth: Class of each item, ``[items]``, >= 0.
        predicted: Predicted class of each item.
        bootstrap: Replicates for the intervals; 0: none.
        seed: Seed of the replicates.
        hits: Further figures that are means over items, by name: 1 where an item is right, else 0.
        items: What the items are called.

    Returns:
        ``accuracy``, ``macro_f1`` (mean over the classes that occur in truth or predictions, as scikit-learn does) and
        the further ones: ``metrics``, ``intervals``, ``replicates``, ``per_item``, ``num_items``, ``items``.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    per_item: dict[str, Floats] = {"accuracy": (truth == predicted).astype(np.float64), **(hits or {})}
    means = np.stack(list(per_item.values()), axis=1)
    f1 = macro_f1_statistic(truth, predicted)

    def statistic(counts: Floats) -> Floats:
        shares = counts @ means / len(means)
        return np.concatenate([shares[:, :1], f1(counts), shares[:, 1:]], axis=1)

    names = [*CLASSIFICATION_METRICS, *(hits or {})]
    return {
        **vars(measured(statistic, names, len(truth), bootstrap, seed)),
        "per_item": per_item,
        "num_items": len(truth),
        "items": items,
    }


def macro_f1_statistic(truth: Ints, predicted: Ints) -> Statistic:
    """Return the mean of the F1 of each class, ``2 tp / (truth + predicted)``, as a statistic ``[n, 1]``."""
    from scipy import sparse

    items, classes = len(truth), int(max(truth.max(), predicted.max())) + 1

    def one_hot(of: Ints, weight: Floats) -> Any:
        return sparse.csr_array((weight, (np.arange(items), of)), shape=(items, classes))

    right = one_hot(truth, (truth == predicted).astype(np.float64))
    either = one_hot(truth, np.ones(items)) + one_hot(predicted, np.ones(items))

    def statistic(counts: Floats) -> Floats:
        occurring = counts @ either
        present = occurring > 0
        f1 = np.where(present, 2 * (counts @ right) / np.where(present, occurring, 1.0), 0.0)
        mean: Floats = (f1.sum(axis=1) / present.sum(axis=1))[:, None]
        return mean

    return statistic
