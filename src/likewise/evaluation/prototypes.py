"""Which class an item is told to be by a vector of each class: what an episode and a classifier do alike."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from likewise.evaluation.bootstrap import Floats

__all__ = ["Nearest", "prototype_scores"]

Nearest = Literal["euclidean", "dot", "logistic"]
"""How the class of an item is told by the mean of each class's examples."""


def prototype_scores(prototypes: Floats, items: Floats, nearest: Nearest) -> Floats:
    """Score each class for each item; the highest is what the item is told to be.

    Args:
        prototypes: A vector of each class, ``[n, D]``, n >= 2.
        items: Vectors of what is to be told, ``[m, D]``.
        nearest: "euclidean": minus the squared distance, but for what is the same for all classes of an item; "dot":
            the product, which favours classes whose examples lie close together; "logistic": the logarithm of what a
            logistic regression that was fitted on the prototypes says (L2, C = 1).

    Returns:
        ``[m, n]``.

    Source: Snell et al. 2017, arXiv 1703.05175, eq. 1-2; the regression: BECLR, arXiv 2402.02444, section 4.2.

    Example:
        >>> two = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> prototype_scores(two, np.array([[0.9, 0.1]]), "dot").round(1).tolist()
        [[0.9, 0.1]]
    """
    if nearest == "logistic":
        from sklearn.linear_model import LogisticRegression

        with warnings.catch_warnings():  # a row for each class is what is meant
            warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
            fitted = LogisticRegression(max_iter=1000).fit(prototypes, np.arange(len(prototypes)))
        told: Floats = fitted.predict_log_proba(items)
        return told
    products: Floats = items @ prototypes.T
    return products if nearest == "dot" else 2 * products - (prototypes**2).sum(axis=1)
