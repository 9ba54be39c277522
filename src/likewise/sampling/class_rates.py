"""Rows kept by the rate of their class: frequent classes give away most of theirs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["class_rates", "kept_by_rate"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def class_rates(counts: Floats, power: float) -> Floats:
    """Return the rate at which rows of each class are kept, ``(min counts / counts_c)^power``.

    Args:
        counts: How many rows each class has, > 0.
        power: 0 keeps all, 1 makes all classes alike, >= 0.

    Example:
        >>> class_rates(np.array([60, 30, 10]), 0.5).round(4)
        array([0.4082, 0.5774, 1.    ])
    """
    shares = counts.min() / np.asarray(counts, dtype=np.float64)
    rates: Floats = shares**power
    return rates


def kept_by_rate(classes: Ints, confidence: Floats, rates: Floats, random: np.random.Generator) -> NDArray[np.bool_]:
    """Draw how many rows of each class are kept, and keep its most confident ones.

    Args:
        classes: Class that each row is taken for.
        confidence: How sure that is.
        rates: Rate of each class, in [0, 1].
        random: Draws a binomial number a class, in the order of classes.

    Example:
        >>> kept_by_rate(np.array([0, 0, 1]), np.array([0.5, 0.9, 0.4]), np.array([0.0, 1.0]), np.random.default_rng(0))
        array([False, False,  True])
    """
    kept = np.zeros(len(classes), dtype=bool)
    for number in range(len(rates)):
        members = np.flatnonzero(classes == number)
        count = int(random.binomial(len(members), rates[number]))
        kept[members[np.argsort(-confidence[members], kind="stable")[:count]]] = True
    return kept
