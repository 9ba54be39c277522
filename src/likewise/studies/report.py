"""The page of a study: what was compared, what came out and how sure it is, for a reader who was not there."""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from likewise.geometry import FIGURES
from likewise.geometry.space import SpaceRows
from likewise.report import Fragment, Page, plots
from likewise.studies.compare import Comparison, Measured, seed_interval
from likewise.studies.config import UNTRAINED
from likewise.studies.disagreement import Disagreement, disagreements
from likewise.studies.measures import SpaceMeasure
from likewise.studies.tables import COSTS, TABLE, cost_row, table_row
from likewise.versions import installed_versions

__all__ = ["write_report"]

GEOMETRY = (
    "uniformity",
    "alignment",
    "positive_cosine",
    "tolerance",
    "effective_rank",
    "mean_cosine",
    "hubness",
    "effective_negatives",
    "false_negative_rows",
    "length_bias",
)
"""Figures of the space that the page shows, where they were measured."""
EXAMPLES = 6
"""Rows shown for each arm where it disagrees with the baseline."""
FEW_ARMS = 12
"""Curves of more arms than this are not drawn into one figure."""


def write_report(found: Comparison, path: Path) -> None:
    """Write the page.

    Args:
        found: What the runs say.
        path: The HTML file; one that is there is replaced.
    """
    config = found.plan.config
    page = Page(config.name, config.about)
    _answer(page, found)
    _compared(page, found)
    _tables(page, found)
    _sweeps(page, found)
    _curves(page, found)
    _geometry(page, found)
    _disagreements(page, found)
    _cost(page, found)
    _repeat(page, found)
    page.write(path)


def _answer(page: Page, found: Comparison) -> None:
    page.section("The short answer")
    baseline = found.plan.config.baseline
    for evaluation, metric in found.main_metrics().items():
        rows = found.of(evaluation, metric)
        sign = 1 if rows[0].higher_is_better else -1
        best = max(rows, key=lambda one: sign * one.mean if not math.isnan(one.mean) else -math.inf)
        told = {
            word: [one.arm for one in rows if one.verdict == word]
            for word in ("better", "worse", "not told apart", "undefined")
        }
        base = next((one for one in rows if one.arm == baseline), None)
        said = f"{evaluation} ({metric}): {best.arm} has the best mean, {best.mean:.4f}"
        said += f"; the baseline '{baseline}' has {base.mean:.4f}. " if base and base is not best else ". "
        parts = [
            f"{len(arms)} {'arm is' if len(arms) == 1 else 'arms are'} {word}"
            + (f" ({', '.join(arms)})" if len(arms) <= 4 else "")
            for word, arms in told.items()
            if arms
        ]
        page.text(said + f"Against the baseline, {'; '.join(parts)}." if parts else said)
    comparisons = sum(not math.isnan(one.difference) for one in found.measured)
    page.soft(
        "Better and worse are said only where the 95 % interval of the difference keeps clear of 0 both over seeds and "
        f"over test items. Among {comparisons} comparisons in this study, some do so by chance: about one in twenty of "
        "those without any difference would by one of the two intervals alone."
    )


def _compared(page: Page, found: Comparison) -> None:
    plan, config = found.plan, found.plan.config
    page.section("What was compared")
    page.text(
        f"Every arm starts from the same weights ({plan.start['name']}, fingerprint {plan.start['fingerprint'][:12]}), "
        f"trains on the same {plan.data['rows']:,} rows of {Path(str(plan.data['name'])).name} and gets "
        f"{config.budget}; each was run with {len(config.seeds)} {'seed' if len(config.seeds) == 1 else 'seeds'} "
        f"({', '.join(map(str, config.seeds))}). Differences are to '{config.baseline}'; '{UNTRAINED}' is the encoder "
        "before any training."
    )
    shared = _shared_settings(found)
    page.table(
        ("arm", "method", "its own settings", "steps"),
        [
            (
                arm.name,
                arm.method,
                ", ".join(f"{k} {v}" for k, v in arm.settings.items() if shared.get(k, _NONE) != v) or "its defaults",
                plan.steps[arm.name],
            )
            for arm in config.arms
        ],
        numbers=("steps",),
    )
    if shared:
        page.soft("All arms: " + ", ".join(f"{name} {value}" for name, value in shared.items()) + ".")


_NONE = object()


def _shared_settings(found: Comparison) -> dict[str, Any]:
    arms = found.plan.config.arms
    return {
        name: value
        for name, value in arms[0].settings.items()
        if all(arm.settings.get(name, _NONE) == value for arm in arms)
    }


def _tables(page: Page, found: Comparison) -> None:
    page.section("Results")
    main = found.main_metrics()
    for evaluation, metric in main.items():
        rows = found.of(evaluation, metric)
        page.heading(f"{evaluation}: {metric}", 3)
        baseline = found.plan.config.baseline
        page.table(
            TABLE,
            [table_row(one) for one in rows],
            numbers=("mean", "difference"),
            emphasise=lambda row: row[-1] in ("better", "worse"),
        )
        compared = [one for one in rows if not math.isnan(one.difference)]
        if compared:
            page.figure(
                plots.intervals(
                    [_widest(one) for one in compared], x=f"difference of {metric} from {baseline}", zero=True
                ),
                caption=f"Difference from {baseline}: mean over seeds, with the wider of the two 95 % intervals.",
                alt="; ".join(f"{one.arm} {one.difference:+.4f}, {one.verdict}" for one in compared),
            )
        others = [one.metric for one in found.measured if (one.evaluation, one.arm) == (evaluation, rows[0].arm)]
        folded = Fragment()
        for other in others:
            if other != metric:
                folded.heading(other, 4)
                folded.table(
                    TABLE, [table_row(one) for one in found.of(evaluation, other)], numbers=("mean", "difference")
                )
        if len(others) > 1:
            page.details(f"More figures of {evaluation}: {', '.join(others[1:])}", folded)


def _widest(one: Measured) -> tuple[str, float, float, float]:
    ends = [e for e in (one.difference_over_seeds, one.difference_over_items) if not math.isnan(e[0])]
    low, high = max(ends, key=lambda e: e[1] - e[0]) if ends else (one.difference, one.difference)
    return one.arm, one.difference, min(low, one.difference), max(high, one.difference)


def _sweeps(page: Page, found: Comparison) -> None:
    """Draw every arm with a grid over its first setting that is a number, a line for each value of the others."""
    families: dict[str, list[Any]] = defaultdict(list)
    for arm in found.plan.config.arms:
        if arm.varied:
            families[arm.family].append(arm)
    drawn = {name: axis for name, arms in families.items() if (axis := _axis(arms)) is not None}
    if not drawn:
        return
    page.section("Over the grid")
    for family, axis in drawn.items():
        arms = families[family]
        for evaluation, metric in found.main_metrics().items():
            values = {one.arm: one.values for one in found.of(evaluation, metric)}
            _sweep(page, f"{family}, {evaluation}", metric, axis, arms, values)
        for figure in GEOMETRY:
            by_arm = _geometry_values(found, figure)
            if any(arm.name in by_arm for arm in arms):
                _sweep(page, f"{family}, space: {FIGURES[figure].about}", figure, axis, arms, by_arm)


def _axis(arms: Sequence[Any]) -> str | None:
    for setting in arms[0].varied:
        values = {arm.varied[setting] for arm in arms}
        if len(values) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            return str(setting)
    return None


def _sweep(
    page: Page, title: str, figure: str, axis: str, arms: Sequence[Any], values: Mapping[str, Sequence[float]]
) -> None:
    lines: dict[str, list[tuple[float, Sequence[float]]]] = defaultdict(list)
    for arm in arms:
        if arm.name in values:
            others = ", ".join(f"{name} {value}" for name, value in arm.varied.items() if name != axis)
            lines[others or figure].append((float(arm.varied[axis]), values[arm.name]))
    curves = []
    for name, points in lines.items():
        points.sort(key=lambda point: point[0])
        ends = [_band(each) for _, each in points]
        curves.append(
            plots.Curve(
                name,
                [x for x, _ in points],
                [float(np.mean(each)) for _, each in points],
                [low for low, _ in ends],
                [high for _, high in ends],
            )
        )
    places = [x for curve in curves for x in curve.x]
    page.figure(
        plots.curves(curves, x=axis, y=figure, log_x=min(places) > 0 and max(places) / min(places) >= 10),
        caption=f"{title}. Mean over seeds and its 95 % interval.",
        alt="; ".join(
            f"{curve.name}: " + ", ".join(f"{y:.3f} at {x:g}" for x, y in zip(curve.x, curve.y, strict=True))
            for curve in curves
        ),
    )


def _band(values: Sequence[float]) -> tuple[float, float]:
    low, high = seed_interval(list(values))
    return (min(values), max(values)) if math.isnan(low) else (low, high)


def _curves(page: Page, found: Comparison) -> None:
    page.section("Learning curves")
    arms = [arm.name for arm in found.plan.config.arms]
    shown = _few(found, arms)
    wanted = [("metrics", "loss")]
    wanted += sorted({(row["source"], row["figure"]) for row in found.curves if row["source"] == "validation"})
    wanted += [("geometry", name) for name in ("uniformity", "effective_rank", "alignment")]
    for source, figure in wanted:
        curves = [curve for arm in shown if (curve := _curve(found, arm, source, figure)) is not None]
        if curves:
            page.figure(
                plots.curves(curves, x="step", y=f"{figure}" if source == "metrics" else f"{source}: {figure}"),
                caption=f"{figure} while training: mean over seeds and its 95 % interval"
                + (
                    "; losses of different methods or temperatures are not comparable in height."
                    if figure == "loss"
                    else "."
                )
                + (
                    f" {len(shown)} of {len(arms)} arms are drawn; curves.parquet has all."
                    if len(shown) < len(arms)
                    else ""
                ),
                alt="; ".join(f"{curve.name} ends at {curve.y[-1]:.4g}" for curve in curves),
            )


def _few(found: Comparison, arms: Sequence[str]) -> list[str]:
    """Return the arms that are drawn where there are too many: baseline and best first, spread over the rest."""
    if len(arms) <= FEW_ARMS:
        return list(arms)
    ranked = list(arms)
    for evaluation, metric in list(found.main_metrics().items())[:1]:
        rows = sorted(found.of(evaluation, metric), key=lambda one: one.mean, reverse=True)
        ranked = [one.arm for one in rows if one.arm != UNTRAINED]
    step = (len(ranked) - 1) / (FEW_ARMS - 2)
    chosen = {found.plan.config.baseline, *(ranked[round(i * step)] for i in range(FEW_ARMS - 1))}
    return [arm for arm in arms if arm in chosen]


def _curve(found: Comparison, arm: str, source: str, figure: str) -> plots.Curve | None:
    steps: dict[int, list[float]] = defaultdict(list)
    for row in found.curves:
        if (row["arm"], row["source"], row["figure"]) == (arm, source, figure):
            steps[row["step"]].append(row["value"])
    if not steps:
        return None
    places = sorted(steps)
    ends = [_band(steps[place]) for place in places]
    return plots.Curve(
        arm,
        places,
        [float(np.mean(steps[place])) for place in places],
        [low for low, _ in ends],
        [high for _, high in ends],
    )


def _geometry_values(found: Comparison, figure: str) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for row in found.geometry:
        if row["figure"] == figure and row["value"] is not None:
            values[row["arm"]].append(row["value"])
    return values


def _geometry(page: Page, found: Comparison) -> None:
    page.section("The space before and after")
    by_figure = {figure: values for figure in GEOMETRY if (values := _geometry_values(found, figure))}
    page.table(
        ("arm", *by_figure),
        [
            (arm, *(f"{np.mean(values[arm]):.3f}" if arm in values else None for values in by_figure.values()))
            for arm in found.plan.arms
        ],
        numbers=tuple(by_figure),
        caption="Means over seeds; the first row is the encoder before training.",
    )
    meanings = Fragment()
    meanings.table(("figure", "what it is", "worst", "best"), [(figure, *FIGURES[figure]) for figure in by_figure])
    page.details("What these figures say", meanings)
    shown = [UNTRAINED, *_few(found, [arm.name for arm in found.plan.config.arms])]
    spectra = [
        plots.Curve(arm, range(1, len(content["spectrum"]) + 1), content["spectrum"])
        for arm, content in found.spaces.items()
        if arm in shown
    ]
    page.figure(
        plots.curves(spectra, x="direction, strongest first", y="share of the strongest"),
        caption="Spectrum of the vectors (first seed): a line that falls to 0 early is a space of few directions.",
        alt="; ".join(f"{curve.name}: half as strong from direction {_half(curve.y)} on" for curve in spectra),
    )
    folded = Fragment()
    for arm, content in found.spaces.items():
        if arm in shown and content["histograms"]:
            folded.heading(arm, 4)
            folded.figure(
                plots.histograms(
                    [
                        plots.Histogram(name, one["edges"], _shares(one["counts"]))
                        for name, one in content["histograms"].items()
                    ],
                    x="cosine",
                    y="share",
                ),
                caption=f"Cosines in the space of {arm} (first seed).",
                alt=f"Histograms of cosines of {arm}",
            )
    page.details("Cosines of positives, negatives and nearest negatives", folded)
    findings = [(arm, one["message"]) for arm, content in found.spaces.items() for one in content["findings"]]
    if findings:
        page.heading("Warnings", 3)
        page.table(("arm", "warning"), findings)


def _half(values: Any) -> int:
    """Return the first direction (from 1) whose value is below half of the first."""
    return next((i for i, value in enumerate(values, 1) if value < values[0] / 2), len(values))


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _disagreements(page: Page, found: Comparison) -> None:
    space = next(one for one in found.plan.measures.values() if isinstance(one, SpaceMeasure)).opened()
    baseline = found.plan.config.baseline
    if baseline not in found.neighbours:
        return
    page.section("Where the methods disagree")
    page.soft(
        f"Rows on whose neighbours an arm and '{baseline}' disagree most (first seed of each)"
        + (
            ": those whose own positive moved furthest in rank."
            if space.positives
            else ": those whose nearest neighbours have the fewest in common."
        )
    )
    for arm in (arm.name for arm in found.plan.config.arms if arm.name in found.neighbours):
        if arm != baseline:
            folded = Fragment()
            _examples(
                folded, disagreements(found.neighbours[baseline], found.neighbours[arm], EXAMPLES), arm, baseline, space
            )
            page.details(f"{arm} against {baseline}", folded)


def _examples(fragment: Fragment, found: Iterable[Disagreement], arm: str, baseline: str, space: SpaceRows) -> None:
    candidates = space.positives or space.first
    for one in found:
        own = f" (its own positive: {space.positives[one.row]})" if space.positives else ""
        fragment.heading(f"{space.first[one.row]}{own}", 4)
        if one.ranks is not None:
            fragment.soft(f"Rank of its own positive: {one.ranks[0]} with {baseline}, {one.ranks[1]} with {arm}.")
        fragment.table(
            (f"nearest with {baseline}", f"nearest with {arm}"),
            [
                tuple(f"{candidates[i]} ({cosine:.2f})" if i >= 0 else None for i, cosine in pair)
                for pair in zip(one.first, one.second, strict=True)
            ],
        )


def _cost(page: Page, found: Comparison) -> None:
    page.section("What it cost")
    page.table(
        COSTS,
        [cost_row(found, arm) for arm in found.plan.arms],
        numbers=COSTS[1:],
        caption="Means over seeds. An encoder pass is one row through the encoder in training; seconds are those in "
        "training steps on this machine; peak memory is what a run took above what its process held before.",
    )
    failed = [(row["arm"], row["seed"], row["failure"]) for row in found.runs if row["failure"]]
    if failed:
        page.heading("Failed runs", 3)
        page.table(("arm", "seed", "why"), failed)


def _repeat(page: Page, found: Comparison) -> None:
    plan = found.plan
    page.section("To repeat it")
    page.text(
        f"Written {datetime.datetime.now(tz=datetime.UTC).date().isoformat()}. study.json beside this page holds the "
        "study, plan.json its runs; the Parquet files hold every value: runs, results, differences, curves, geometry."
    )
    page.table(
        ("what", "fingerprint or version"),
        [
            ("training data", plan.data["fingerprint"]),
            ("encoder", plan.start["fingerprint"]),
            *((name, getattr(measure, "fingerprint", "")) for name, measure in plan.measures.items()),
            *installed_versions().items(),
        ],
    )
