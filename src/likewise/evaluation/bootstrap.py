"""Bootstrap intervals: what the value would have been on other items of the same kind.

Items are drawn with replacement, as many as there are; drawn items are kept as counts, so a replicate of a mean is one
product and a replicate of a correlation needs no sorting.

The draws are a function of the number of items and of the seed alone. All models that are measured on one set of data
with one seed therefore share them, and the difference of the replicates of two models is the paired bootstrap of their
difference (Efron and Tibshirani 1993, chapter 8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation.result import LEVEL, Interval, Result

__all__ = [
    "LEVEL",
    "Floats",
    "Measured",
    "Statistic",
    "correlation_replicates",
    "interval",
    "mean_replicates",
    "mean_result",
    "mean_statistic",
    "measured",
    "replicates_of",
    "weighted_correlation",
]

_CELLS = 2_000_000
"""Counts held at a time."""

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""From how often each item counts, ``[n, items]``, to the value of each metric, ``[n, metrics]``."""


def _draws(num_items: int, replicates: int, seed: tuple[int, ...]) -> Iterator[Floats]:
    """Yield how often each item was drawn, ``[some replicates, num_items]``."""
    random = np.random.default_rng(seed)
    at_a_time = max(1, _CELLS // num_items)
    for start in range(0, replicates, at_a_time):
        number = min(at_a_time, replicates - start)
        counts = np.empty((number, num_items))
        for row in counts:
            row[:] = np.bincount(random.integers(0, num_items, num_items), minlength=num_items)
        yield counts


@dataclass(frozen=True)
class Measured:
    """Metrics with their bootstrap, as a result takes them: ``Result(..., **vars(measured(...)))``."""

    metrics: dict[str, float]
    intervals: dict[str, Interval] = field(default_factory=dict)
    replicates: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, metrics: dict[str, float], replicates: Floats | None) -> Measured:
        """Put values and replicates ``[R, metrics]`` (None: not asked for) together."""
        if replicates is None:
            return cls(metrics)
        columns = {name: np.ascontiguousarray(replicates[:, i]) for i, name in enumerate(metrics)}
        return cls(metrics, {name: interval(column) for name, column in columns.items()}, columns)


def measured(statistic: Statistic, names: Sequence[str], num_items: int, replicates: int, *seed: int) -> Measured:
    """Measure, with the bootstrap over items; value and replicates come from one definition of the metrics.

    Args:
        statistic: The metrics as a function of how often each item counts.
        names: Names of the metrics, in the order of the statistic's columns.
        num_items: How many items there are.
        replicates: How many replicates; 0: none.
        seed: Seed of the draws.
    """
    values = statistic(np.ones((1, num_items)))[0]
    drawn = replicates_of(statistic, num_items, replicates, *seed) if replicates else None
    return Measured.of(dict(zip(names, map(float, values), strict=True)), drawn)


def replicates_of(statistic: Statistic, num_items: int, replicates: int, *seed: int) -> Floats:
    """Return bootstrap replicates of a statistic.

    Args:
        statistic: From counts ``[n, items]`` to values ``[n, metrics]``.
        num_items: How many items there are.
        replicates: How many, >= 1.
        seed: Seed of the draws.

    Returns:
        ``[replicates, metrics]``.
    """
    return np.concatenate([statistic(counts) for counts in _draws(num_items, replicates, seed)])


def mean_statistic(values: Floats) -> Statistic:
    """Return the means of the columns of ``values``, ``[items, metrics]``, as a statistic."""
    return lambda counts: counts @ values / len(values)


def mean_replicates(values: Floats, replicates: int, *seed: int) -> Floats:
    """Return bootstrap replicates of the mean of each column.

    Args:
        values: ``[items, metrics]``.
        replicates: How many, >= 1.
        seed: Seed of the draws; all columns share them.

    Returns:
        ``[replicates, metrics]``.
    """
    return replicates_of(mean_statistic(values), len(values), replicates, *seed)


def correlation_replicates(x: Floats, y: Floats, replicates: int, *seed: int) -> Floats:
    """Return bootstrap replicates of the Spearman and the Pearson correlation, exactly as if each were computed anew.

    Args:
        x: ``[items]``.
        y: ``[items]``.
        replicates: How many, >= 1.
        seed: Seed of the draws.

    Returns:
        ``[replicates, 2]``: Spearman, Pearson; NaN where all drawn values of a side are equal.
    """
    x_ranks, y_ranks = _Ranks(x), _Ranks(y)
    x_values, y_values = x - x.mean(), y - y.mean()

    def both(counts: Floats) -> Floats:
        spearman = weighted_correlation(counts, x_ranks(counts), y_ranks(counts))
        return np.stack([spearman, weighted_correlation(counts, x_values, y_values)], axis=1)

    return replicates_of(both, len(x), replicates, *seed)


class _Ranks:
    """Mean ranks of values that are drawn several times each, without sorting again: ties are grouped once."""

    def __init__(self, values: Floats) -> None:
        self.order = np.argsort(values, kind="stable")
        in_order = values[self.order]
        self.first = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])  # where a group of ties begins
        self.group = np.unique(values, return_inverse=True)[1]

    def __call__(self, counts: Floats) -> Floats:
        drawn = np.add.reduceat(counts[:, self.order], self.first, axis=1)
        ranks = np.cumsum(drawn, axis=1) - (drawn - 1) / 2
        centred: Floats = ranks[:, self.group] - (counts.shape[1] + 1) / 2
        return centred


def weighted_correlation(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Return Pearson's correlation, NaN where a side has only one value.

    Args:
        counts: How often each item counts, ``[n, items]``.
        x: One side, centred so that sums stay small; ``[items]`` or ``[n, items]``.
        y: The other side, likewise.
    """
    number = counts.shape[1]

    def mean(values: Floats) -> Floats:
        found: Floats = (counts * values).sum(axis=1) / number if values.ndim == 2 else counts @ values / number
        return found

    x_mean, y_mean = mean(x), mean(y)
    covariance = mean(x * y) - x_mean * y_mean
    x_variance, y_variance = mean(x * x) - x_mean**2, mean(y * y) - y_mean**2
    # A difference of two sums: below this it is rounding, and all drawn values of the side are as good as equal.
    undefined = (x_variance <= 1e-12 * np.max(x * x)) | (y_variance <= 1e-12 * np.max(y * y))
    scale = np.sqrt(np.where(undefined, 1.0, x_variance * y_variance))
    return np.where(undefined, np.nan, np.clip(covariance / scale, -1.0, 1.0))


def mean_result(parts: Mapping[str, Result], *, data: str, fingerprint: str, items: str) -> Result:
    """Return the mean over results of several sets, each counting the same; a replicate is the mean of one of each.

    Args:
        parts: The results by the name of their set, all of the same task, model and settings.
        data: What the sets together are called.
        fingerprint: Digest of all of them.
        items: What a set is: "files", "domains".
    """
    some = next(iter(parts.values()))
    drawn = {
        name: np.mean([part.replicates[name] for part in parts.values()], axis=0)
        for name in some.metrics
        if some.replicates
    }
    return Result(
        task=some.task,
        metrics={name: float(np.mean([part.metrics[name] for part in parts.values()])) for name in some.metrics},
        intervals={name: interval(values) for name, values in drawn.items()},
        replicates=drawn,
        num_items=len(parts),
        items=items,
        data=data,
        data_fingerprint=fingerprint,
        model=some.model,
        model_fingerprint=some.model_fingerprint,
        settings=some.settings,
        parts=parts,
    )


def interval(replicates: Floats) -> Interval:
    """Return the central 95 % of the replicates of one metric; undefined ones are left out, and all undefined is NaN.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval).

    Example:
        >>> [round(end, 6) for end in interval(np.arange(1001.0))]
        [25.0, 975.0]
    """
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return (np.nan, np.nan)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(low), float(high))
