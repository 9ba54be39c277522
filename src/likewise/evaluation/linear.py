"""A linear classifier on frozen vectors, its strength chosen on rows held out of those it is fitted to."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from likewise.errors import InputError
from likewise.evaluation.sweep import best_exponent

if TYPE_CHECKING:
    from likewise.evaluation.bootstrap import Floats

__all__ = ["fitted_classifier", "standardised"]

Ints = NDArray[np.int64]

CONSTANT = 1e-7
"""Deviation, as a share of the mean, below which all values of a dimension are one: float32 tells no smaller ones."""


def fitted_classifier(
    x: Floats,
    y: Ints,
    held: NDArray[np.bool_],
    *,
    num_classes: int,
    max_iterations: int,
    name: str,
    cells: Ints | None = None,
) -> tuple[Any, float]:
    """Fit a logistic regression to all rows, as strong as was best on the rows held out.

    Args:
        x: Vectors ``[N, D]``.
        y: Class of each, in [0, num_classes).
        held: Which rows the strengths are compared on, while they are fitted to the others.
        num_classes: How many classes there are.
        max_iterations: Most iterations of L-BFGS for one fit.
        name: What a message calls the data.
        cells: Group of each row, from 0. With them each group weighs the same in a fit, and a strength is as good as
            the accuracy in its worst group (and, where that is equal, in all rows).

    Returns:
        The classifier of scikit-learn, and the exponent of ten of its strength, ``1 / C``.

    Raises:
        InputError: The rows that are not held out are of one class.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y[~held])) < 2:
        raise InputError(
            f"{name}: the rows left to fit on while the strength is chosen have one label only; more different texts "
            "of each label are needed. Add rows."
        )

    def fitted(exponent: float, rows: Any) -> Any:
        model = LogisticRegression(C=10**-exponent, max_iter=max_iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said in the settings
            return model.fit(x[rows], y[rows], None if cells is None else _balancing(cells[rows]))

    def score(exponent: float) -> tuple[float, ...]:
        candidate = fitted(exponent, ~held)
        right = candidate.predict(x[held]) == y[held]
        if cells is not None:
            return min(float(right[cells[held] == cell].mean()) for cell in np.unique(cells[held])), float(right.mean())
        share = np.full((int(held.sum()), num_classes), 1e-12)
        share[:, candidate.classes_] += candidate.predict_proba(x[held])
        return float(right.mean()), float(np.log(share[np.arange(len(share)), y[held]]).mean())

    exponent = best_exponent(score)
    return fitted(exponent, slice(None)), exponent


def _balancing(cells: Ints) -> Floats:
    """Return weights under which every group weighs the same, of mean 1."""
    _, own, count = np.unique(cells, return_inverse=True, return_counts=True)
    weights: Floats = len(cells) / (len(count) * count[own])
    return weights


def standardised(train: Floats, *others: Floats, name: str) -> list[Floats]:
    """Bring every dimension to mean 0 and deviation 1 over the rows to fit on, and other rows likewise.

    Dimensions in which the rows to fit on are equal become 0.

    Raises:
        InputError: They are equal in all dimensions.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0)
    varies = spread > CONSTANT * np.abs(mean)
    if not varies.any():
        raise InputError(
            f"{name}: all vectors of the {len(train)} rows to fit on are equal, so nothing can be told from them; a "
            "model (or a tap of it) that gives different vectors is needed."
        )
    return [np.where(varies, (x - mean) / np.where(varies, spread, 1.0), 0.0) for x in (train, *others)]
