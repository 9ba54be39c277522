"""Time and memory of the symmetric loss against the number of rows, drawn from the stored results."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.stored import RESULTS

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLOURS = {"likewise": "#0f766e", "dense": "#b45309", "open_clip": "#7c3aed", "four products": "#94a3b8"}


def run() -> None:
    """Write ``docs/images/time.svg`` and ``docs/images/memory.svg``."""
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = "likewise"  # so that the same figures give the same file
    _draw("time", "seconds, forward and backward", _times())
    _draw("memory", "peak MB above inputs and gradients", _memory())


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
    path = IMAGES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(path.name)
