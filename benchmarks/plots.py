"""Time and memory of the symmetric loss against the number of rows, and studies, as stored."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import study_plots
from benchmarks.drawing import written
from benchmarks.stored import RESULTS

COLOURS = {"likewise": "#0f766e", "dense": "#b45309", "open_clip": "#7c3aed", "four products": "#94a3b8"}

TEMPERATURE = {
    "simcse": ("mean Spearman of the sets", "uniformity", "positive_cosine"),
    "pairs": ("held-out definitions: ndcg@10", "uniformity", "tolerance"),
}
"""What is drawn over the temperature in each study."""
BATCHES = {32: "#0f766e", 128: "#b45309", 512: "#7c3aed"}


def run() -> None:
    """Write ``time.svg``, ``memory.svg``, ``temperature-*.svg`` and ``study-*.svg`` into ``docs/images``."""
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = "likewise"  # so that the same figures give the same file
    _draw("time", "seconds, forward and backward", _times())
    _draw("memory", "peak MB above inputs and gradients", _memory())
    for name, figures in TEMPERATURE.items():
        _draw_grid(f"temperature-{name}", figures)
    for name in study_plots.draw():
        print(name)


def _stored(name: str) -> Sequence[Mapping[str, Any]]:
    results: Sequence[Mapping[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["results"]
    return results


def _times() -> dict[str, dict[int, float]]:
    lines: dict[str, dict[int, float]] = {name: {} for name in COLOURS}
    for case in _stored("losses"):
        if case["case"]["form"] != "symmetric":
            continue
        n = case["case"]["N"]
        for name, seconds in case["seconds"].items():
            if name == "product":
                lines["four products"][n] = 4 * statistics.median(seconds)
            else:
                lines[name][n] = statistics.median(seconds)
    return lines


def _memory() -> dict[str, dict[int, float]]:
    lines: dict[str, dict[int, float]] = {}
    for result in _stored("memory"):
        lines.setdefault(result["contender"], {})[result["case"]["N"]] = result["peak_mb"]
    return lines


def _draw(name: str, label: str, lines: Mapping[str, Mapping[int, float]]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for line, points in lines.items():
        sizes = sorted(points)
        style = "--" if line == "four products" else "-o"
        axes.plot(sizes, [points[n] for n in sizes], style, color=COLOURS[line], label=line, markersize=4)
    ticks = sorted({n for points in lines.values() for n in points})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks], rotation=30)
    axes.set_xlabel("rows N (D = 384)")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    print(written(figure, name))


def _draw_grid(name: str, figures: Sequence[str]) -> None:
    """Draw figures of a study over its temperatures, a line a batch size: means over seeds, and every seed as a dot."""
    from matplotlib import pyplot as plt

    arms = _stored(name)
    figure, panels = plt.subplots(1, len(figures), figsize=(3.6 * len(figures), 3.4), layout="constrained")
    for axes, wanted in zip(panels, figures, strict=True):
        for batch, colour in BATCHES.items():
            points = {
                arm["varied"]["temperature"]: _values(arm, wanted)
                for arm in arms
                if arm["varied"].get("batch_size") == batch
            }
            places = sorted(points)
            axes.plot(places, [statistics.mean(points[t]) for t in places], color=colour, label=f"batch {batch}")
            axes.scatter(
                [t for t in places for _ in points[t]], [v for t in places for v in points[t]], s=8, color=colour
            )
        untrained = statistics.mean(_values(next(arm for arm in arms if arm["arm"] == "untrained"), wanted))
        axes.axhline(untrained, color="#94a3b8", linestyle="--", label="untrained")
        axes.set_xscale("log")
        axes.set_xlabel("temperature")
        axes.set_title(wanted, fontsize=10)
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False, fontsize=8)
    print(written(figure, name))


def _values(arm: Mapping[str, Any], wanted: str) -> Sequence[float]:
    """Return a figure of an arm in each seed: of its space, of an evaluation, or the mean over all evaluations."""
    if wanted in arm["geometry"]:
        return list(arm["geometry"][wanted])
    measured = {f"{one['evaluation']}: {one['metric']}": one["values"] for one in arm["measured"]}
    if wanted in measured:
        return list(measured[wanted])
    return [statistics.mean(values) for values in zip(*measured.values(), strict=True)]
