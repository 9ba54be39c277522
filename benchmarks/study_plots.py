"""Stored studies as pictures: every arm a row, every seed a dot, the baseline a line to compare with."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.drawing import written
from benchmarks.stored import RESULTS, stored_arms

METHOD, BASELINE, OTHER = "#0f766e", "#b45309", "#64748b"
"""Colours of what a page is about, of what it is compared with, and of the rest."""
FEW = {"labels of a class: 1": "one label of a class, %", "labels of a class: 5": "five labels of a class, %"}
NEIGHBOURS = {"nearest neighbours": "nearest neighbours, all labels, %"}


@dataclass(frozen=True)
class Dots:
    """A picture with a panel for each figure and a row for each arm.

    Args:
        panels: Names of stored figures, and what is written above each.
        baseline: The arm whose mean is drawn through the panel.
        highlighted: Arms in the method's colour.
        source: Name of the stored result, and of its part where that holds the arms; that of the picture where not
            given.
        scale: What values are multiplied by.
    """

    panels: Mapping[str, str]
    baseline: str
    highlighted: Sequence[str]
    source: tuple[str, str] | None = None
    scale: float = 100.0


PICTURES = {
    "simclr": Dots({**FEW, **NEIGHBOURS}, "untrained", ["simclr"]),
    "mochi": Dots({**FEW, **NEIGHBOURS}, "MoCo", ["MoCHi (64, 32, 0)", "MoCHi (64, 32, 16)"]),
    "cacr": Dots(
        {"neighbours of the projection": "nearest neighbours of the projection, %", **FEW}, "InfoNCE", ["both weights"]
    ),
    "hydra": Dots({**FEW, **NEIGHBOURS}, "identical, open", ["arbitrary, gate"]),
    "hydra-claim": Dots(
        {"loss": "loss, nats", "gated cosine of class means": "gated cosine of means of two classes"},
        "identical, open", ["arbitrary, gate"], source=("hydra", "claim"), scale=1,
    ),
    "projection-head": Dots(
        {"digit, before the head": "digit told before the head, %", "digit, behind it": "digit told behind it, %"},
        "none", ["mlp"],
    ),
    "bacon": Dots(
        {"All": "all digits, %", "Old": "known ones, %", "New": "new ones, %"}, "contrastive", ["bacon"], scale=1
    ),
    "sepclr": Dots(
        {
            "digit by salient": "digit (targets alone) by salient, %",
            "digit by common": "digit by common, %",
            "pattern by common": "pattern (both) by common, %",
            "pattern by salient": "pattern by salient, %",
        },
        "simclr", ["sepclr, leakage 0.1"], scale=1,
    ),
    "pictures": Dots({**FEW, **NEIGHBOURS}, "simclr", ["supcon", "hydra"]),
    "beclr": Dots({**FEW, **NEIGHBOURS}, "no neighbours", ["anchored"]),
    "beclr-parts": Dots(
        {
            "1 example": "1 example, even classes, %",
            "5 examples": "5 examples, even, %",
            "1 example, uneven": "1 example, uneven, %",
            "5 examples, uneven": "5 examples, uneven, %",
        },
        "means of examples", ["aligned"], source=("beclr-parts", "alignment"), scale=1,
    ),
}  # fmt: skip
"""What is drawn of each study of pictures."""


def draw() -> Iterator[str]:
    """Write a picture of each study into ``docs/images``, and say which."""
    for name, picture in PICTURES.items():
        yield _dots(name, picture)
    yield _temperatures()
    yield _row_temperatures()


def _dots(name: str, picture: Dots) -> str:
    from matplotlib import patheffects
    from matplotlib import pyplot as plt

    arms = stored_arms(*(picture.source or (name, "results")))
    places = {arm: -row for row, arm in enumerate(arms)}
    size = (1.6 + 2.7 * len(picture.panels), 1.0 + 0.36 * len(arms))
    figure, panels = plt.subplots(1, len(picture.panels), figsize=size, layout="constrained", sharey=True)
    for axes, (wanted, title) in zip(panels, picture.panels.items(), strict=True):
        for arm, figures in arms.items():
            values = [picture.scale * value for value in figures.get(wanted, [])]
            if not values:
                continue
            colour = METHOD if arm in picture.highlighted else BASELINE if arm == picture.baseline else OTHER
            mean = statistics.mean(values)
            axes.scatter(values, [places[arm]] * len(values), s=14, color=colour, alpha=0.45, linewidths=0)
            axes.scatter([mean], [places[arm]], s=52, color=colour, edgecolors="white", linewidths=0.8, zorder=3)
            axes.annotate(
                _shown(mean), (mean, places[arm]), (0, 6), textcoords="offset points", ha="center", fontsize=7.5,
                color=colour, path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip
            if arm == picture.baseline:
                axes.axvline(mean, color=BASELINE, linestyle="--", linewidth=0.9, alpha=0.7, zorder=0)
        axes.set_title(title, fontsize=9)
        _bare(axes)
        axes.margins(x=0.12)
        axes.set_ylim(min(places.values()) - 0.6, 0.8)
    panels[0].set_yticks(list(places.values()), list(places), fontsize=9)
    return written(figure, f"study-{name}")


def _shown(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _temperatures() -> str:
    """Evenness, tolerance and neighbours over the temperature, with all negatives and with hard ones alone."""
    from matplotlib import pyplot as plt

    arms = stored_arms("contrastive-behaviour")
    titles = {
        "uniformity": "uniformity (lower is more even)",
        "tolerance": "tolerance (cosine within a class)",
        "neighbours of the projection": "nearest neighbours, %",
    }
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.1), layout="constrained")
    for axes, (wanted, title) in zip(panels, titles.items(), strict=True):
        scale = 100 if title.endswith("%") else 1
        for kind, label, colour in (("softmax", "all negatives", BASELINE), ("hard softmax", "hard ones", METHOD)):
            points = {
                float(arm.removeprefix(f"{kind}, ")): [scale * value for value in figures[wanted]]
                for arm, figures in arms.items()
                if arm.startswith(f"{kind}, ")
            }
            _line(axes, points, label, colour)
        axes.set_xscale("log")
        ticks = sorted({float(arm.split(", ")[1]) for arm in arms if ", " in arm})
        axes.set_xticks(ticks, [f"{one:g}" for one in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("temperature", fontsize=9)
        axes.set_title(title, fontsize=9)
        _bare(axes)
    panels[0].legend(frameon=False, fontsize=8)
    return written(figure, "study-contrastive-behaviour")


def _row_temperatures() -> str:
    """How near small batches come to the whole gradient, and the temperatures of frequent and of rare rows."""
    from matplotlib import pyplot as plt

    content = json.loads((RESULTS / "isogclr.json").read_text(encoding="utf-8"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.3), layout="constrained", width_ratios=(3, 2))
    kinds = (("batch", "the batch alone (InfoNCE)", BASELINE), ("global", "with kept averages (sogclr)", METHOD))
    for kind, label, colour in kinds:
        points: dict[float, list[float]] = {}
        for one in content["estimator"]:
            points.setdefault(one["temperature"], []).append(one[kind])
        _line(left, points, label, colour)
    left.set_xscale("log")
    ticks = sorted({one["temperature"] for one in content["estimator"]})
    left.set_xticks(ticks, [f"{one:g}" for one in ticks])
    left.set_xticks([], minor=True)
    left.set_xlabel("temperature", fontsize=9)
    left.set_title("cosine of a batch's gradient with the whole one", fontsize=9)
    left.legend(frameon=False, fontsize=8, loc="lower right")
    _bare(left)
    for one in content["temperatures"]:
        right.plot([0, 1], [one["head"], one["tail"]], "-o", color=METHOD, markersize=5, alpha=0.8)
        right.annotate(
            f"seed {one['seed']}: Spearman {one['spearman']:.2f}", (0.98, 0.96 - 0.08 * one["seed"]),
            xycoords="axes fraction", ha="right", va="top", fontsize=7.5, color=OTHER,
        )  # fmt: skip
    right.set_xticks([0, 1], ["frequent digits", "rare digits"], fontsize=9)
    right.set_xlim(-0.3, 1.3)
    right.set_title("mean temperature of rows (isogclr)", fontsize=9)
    _bare(right)
    return written(figure, "study-isogclr")


def _line(axes: Any, points: Mapping[float, Sequence[float]], label: str, colour: str) -> None:
    places = sorted(points)
    axes.plot(places, [statistics.mean(points[x]) for x in places], color=colour, label=label, linewidth=1.8)
    seeds = [(x, value) for x in places for value in points[x]]
    axes.scatter(*zip(*seeds, strict=True), s=12, color=colour, alpha=0.6, linewidths=0)


def _bare(axes: Any) -> None:
    """Leave out what says nothing: the frame and ticks of rows."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="both", alpha=0.2)
