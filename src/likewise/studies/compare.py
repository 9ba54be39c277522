"""From runs to what they say: values with intervals, differences from the baseline run by run, and what they cost."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.evaluation.bootstrap import LEVEL, interval
from likewise.evaluation.result import Interval
from likewise.studies.config import UNTRAINED
from likewise.studies.measures import SpaceMeasure, read_measure
from likewise.studies.plan import Plan
from likewise.studies.runs import read_training

__all__ = ["Comparison", "Measured", "collect", "seed_interval"]

Floats = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """A metric of an arm over all seeds, and how it compares with the baseline.

    Args:
        arm: Name of the arm.
        evaluation: Name of the evaluation.
        metric: Name of the metric.
        values: Its value in each seed.
        over_items: 95 % interval of its mean over seeds, on other items of the same kind.
        difference: Mean over seeds of (arm - baseline), paired by seed; NaN for the baseline itself, and where the
            metric is undefined or the two have no seed in common.
        difference_over_seeds: 95 % interval of that mean, on other seeds; NaN with one seed.
        difference_over_items: 95 % interval of that mean, on other items, each drawn for both alike.
        higher_is_better: Whether a higher value is better.
        is_baseline: Whether the arm is the baseline.
    """

    arm: str
    evaluation: str
    metric: str
    values: tuple[float, ...]
    over_items: Interval
    difference: float
    difference_over_seeds: Interval
    difference_over_items: Interval
    higher_is_better: bool
    is_baseline: bool

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.values))

    @property
    def verdict(self) -> str:
        """Whether it is "better" or "worse" than the baseline: no known interval holds 0; else "not told apart"."""
        known = [one for one in (self.difference_over_seeds, self.difference_over_items) if not math.isnan(one[0])]
        if self.is_baseline:
            return "baseline"
        if math.isnan(self.difference):
            return "undefined"
        if not known or any(low <= 0 <= high for low, high in known):
            return "not told apart"
        return "better" if (self.difference > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class Comparison:
    """Everything that the runs of a study say.

    Args:
        plan: The study's runs.
        measured: Every metric of every arm; the first metric of an evaluation is the one to quote.
        runs: A row for each run: arm, seed, key, steps, seconds, encoded, peak_memory_mb, failure.
        results: A row for each run, evaluation and metric: value, low, high.
        curves: A row for each run, step and figure of the training.
        geometry: A row for each run and figure of the space after training.
        spaces: Geometry of each arm's first seed, as ``Geometry.as_dict`` gives it.
        neighbours: Arrays of each arm's first seed, as :class:`likewise.studies.measures.Neighbours` names them.
    """

    plan: Plan
    measured: tuple[Measured, ...]
    runs: tuple[Row, ...]
    results: tuple[Row, ...]
    curves: tuple[Row, ...]
    geometry: tuple[Row, ...]
    spaces: Mapping[str, Mapping[str, Any]]
    neighbours: Mapping[str, Mapping[str, np.ndarray]]

    def of(self, evaluation: str, metric: str) -> list[Measured]:
        """Return one metric of every arm, in the order of the arms."""
        return [one for one in self.measured if (one.evaluation, one.metric) == (evaluation, metric)]

    def main_metrics(self) -> dict[str, str]:
        """Return the metric to quote of each evaluation."""
        found: dict[str, str] = {}
        for one in self.measured:
            found.setdefault(one.evaluation, one.metric)
        return found


def collect(plan: Plan, failures: Mapping[tuple[str, int], str]) -> Comparison:
    """Read what the runs of a plan left, and compare.

    Args:
        plan: The runs; all are done but those in ``failures``.
        failures: What went wrong, by arm and seed.
    """
    done = {place: request for place, request in plan.runs.items() if place not in failures}
    runs: list[Row] = []
    curves: list[Row] = []
    for (arm, seed), request in plan.runs.items():
        cost = read_training(request) if request.trained and (arm, seed) in done else {}
        runs.append(
            {
                "arm": arm,
                "seed": seed,
                "run": request.key,
                "steps": cost.get("steps", 0 if arm == UNTRAINED else None),
                "seconds": cost.get("seconds"),
                "encoded": cost.get("encoded"),
                "peak_memory_mb": cost.get("peak_memory_mb"),
                "failure": failures.get((arm, seed)),
            }
        )
        if request.trained and (arm, seed) in done:
            curves += _curves(arm, seed, request.model)
    read = {
        (place, name): read_measure(request.figures, measure)
        for place, request in done.items()
        for name, measure in plan.measures.items()
    }
    results: list[Row] = []
    geometry: list[Row] = []
    for ((arm, seed), name), (content, _) in read.items():
        if isinstance(plan.measures[name], SpaceMeasure):
            geometry += [
                {"arm": arm, "seed": seed, "figure": figure, "value": value}
                for figure, value in content["figures"].items()
            ]
            continue
        for metric, value in content["metrics"].items():
            low, high = content["intervals"].get(metric, (None, None))
            results.append(
                {"arm": arm, "seed": seed, "evaluation": name, "task": content["task"], "metric": metric,
                 "value": value, "low": low, "high": high, "items": content["num_items"]}
            )  # fmt: skip
    first = {arm: next((s for s in plan.config.seeds if (arm, s) in done), None) for arm in plan.arms}
    looked = {arm: read[(arm, seed), "space"] for arm, seed in first.items() if seed is not None}
    return Comparison(
        plan,
        tuple(_compare(plan, read)),
        tuple(runs),
        tuple(results),
        tuple(curves),
        tuple(geometry),
        {arm: content for arm, (content, _) in looked.items()},
        {arm: arrays for arm, (_, arrays) in looked.items()},
    )


def _compare(plan: Plan, read: Mapping[Any, tuple[dict[str, Any], dict[str, np.ndarray]]]) -> Iterable[Measured]:
    from likewise.evaluation import get_task

    tasks = {one.name: get_task(one.task) for one in plan.config.evaluate}
    for name, task in tasks.items():
        contents = {place: read[place, name] for place in plan.runs if (place, name) in read}
        metrics = list(next(iter(contents.values()))[0]["metrics"]) if contents else []
        for metric in metrics:
            for arm in plan.arms:
                seeds = [seed for seed in plan.config.seeds if (arm, seed) in contents]
                both = [seed for seed in seeds if (plan.config.baseline, seed) in contents]
                if not seeds:
                    continue
                values = [_number(contents[arm, seed][0]["metrics"][metric]) for seed in seeds]
                drawn = [contents[arm, seed][1].get(metric) for seed in seeds]
                differences = [
                    _number(contents[arm, seed][0]["metrics"][metric])
                    - _number(contents[plan.config.baseline, seed][0]["metrics"][metric])
                    for seed in both
                ]
                pairs = [
                    (contents[arm, seed][1].get(metric), contents[plan.config.baseline, seed][1].get(metric))
                    for seed in both
                ]
                is_baseline = arm == plan.config.baseline
                compared = bool(both) and not is_baseline
                yield Measured(
                    arm,
                    name,
                    metric,
                    tuple(values),
                    _items_interval(drawn),
                    float(np.mean(differences)) if compared else math.nan,
                    seed_interval(differences) if compared else (math.nan, math.nan),
                    _items_interval([None if a is None or b is None else a - b for a, b in pairs])
                    if compared
                    else (math.nan, math.nan),
                    metric not in task.lower_is_better,
                    is_baseline,
                )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _items_interval(drawn: Sequence[Floats | None]) -> Interval:
    """Return the interval of the mean over seeds: a replicate of it is the mean of one replicate a seed."""
    known = [one for one in drawn if one is not None and len(one)]
    if not known or len(known) < len(drawn):
        return (math.nan, math.nan)
    return interval(np.mean(known, axis=0))


def seed_interval(values: Sequence[float]) -> Interval:
    """Return the 95 % interval of a mean over seeds, by Student's t; NaN with fewer than two values.

    Args:
        values: One for each seed.

    Example:
        >>> [round(end, 3) for end in seed_interval([1.0, 2.0, 3.0])]  # 2 +- 4.303 / sqrt(3)
        [-0.484, 4.484]
    """
    from scipy import stats

    number = len(values)
    if number < 2 or not np.isfinite(values).all():
        return (math.nan, math.nan)
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(number)
    half = float(stats.t.ppf((1 + LEVEL) / 2, number - 1)) * error
    return (mean - half, mean + half)


def _curves(arm: str, seed: int, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows += [
                    {"arm": arm, "seed": seed, "source": path.stem, "step": int(row["step"]), "figure": figure,
                     "value": float(value)}
                    for figure, value in row.items()
                    if figure not in ("step", "epoch") and value
                ]  # fmt: skip
    return rows
