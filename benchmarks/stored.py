"""How a measured result is stored: with everything that is needed to repeat it, and to doubt it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likewise.studies.tables import arm_costs
from likewise.versions import installed_versions

if TYPE_CHECKING:
    from likewise.studies import StudyResult
    from likewise.studies.compare import Comparison

RESULTS = Path(__file__).parent / "results"


def store(name: str, seeds: Sequence[int], results: Any, *, packages: Sequence[str] = (), **about: Any) -> Path:
    """Write ``benchmarks/results/NAME.json``.

    Args:
        name: Name of the benchmark.
        seeds: The seeds that were run, all of them.
        results: Every repetition, and what is made of them.
        packages: Packages beside our own whose versions matter.
        **about: Anything else that the result depends on: settings, data and where they come from.

    Returns:
        The file.
    """
    content = {
        "name": name,
        "command": shlex.join(["python", "-m", "benchmarks", *_without_paths(sys.argv[1:])]),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "versions": installed_versions(*packages),
        "processor": _processor(),
        "seeds": list(seeds),
        **about,
        "results": results,
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def store_study(name: str, made: StudyResult, **about: Any) -> Path:
    """Write what a study found: the figure to quote of each evaluation, the geometry, and what each arm cost.

    Args:
        name: Name of the file.
        made: The study.
        **about: Anything else that the result depends on, and where data come from.

    Returns:
        The file.
    """
    found, main = made.found, made.found.main_metrics()
    arms = {arm.name: arm for arm in found.plan.config.arms}
    content = made.as_dict()
    results = [
        {
            "arm": name,
            "method": arms[name].method if name in arms else None,
            "varied": dict(arms[name].varied) if name in arms else {},
            "measured": [
                {key: value for key, value in one.items() if key != "arm"}
                for one in content["measured"]
                if one["arm"] == name and one["metric"] == main[one["evaluation"]]
            ],
            "geometry": {
                figure: [row["value"] for row in found.geometry if (row["arm"], row["figure"]) == (name, figure)]
                for figure in sorted({row["figure"] for row in found.geometry if row["arm"] == name})
            },
            "loss": _first_and_last(found, name),
            "cost": arm_costs(found, name),
        }
        for name in found.plan.arms
    ]
    return store(
        name,
        found.plan.config.seeds,
        results,
        title=found.plan.config.name,
        budget=content["budget"],
        baseline=content["baseline"],
        start={**content["start"], "name": _without_paths([content["start"]["name"]])[0]},
        **about,
    )


def _first_and_last(found: Comparison, arm: str) -> dict[str, float]:
    """Return the loss of the first and the last step of an arm, as means over seeds; nothing if it is not trained."""
    steps: dict[int, list[float]] = {}
    for row in found.curves:
        if (row["arm"], row["source"], row["figure"]) == (arm, "metrics", "loss"):
            steps.setdefault(row["step"], []).append(row["value"])
    ends = {"first": min(steps), "last": max(steps)} if steps else {}
    return {name: sum(steps[step]) / len(steps[step]) for name, step in ends.items()}


def mean_over_sets(made: StudyResult, *, leave_out: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the figure of papers on sentence similarity: Spearman x 100, mean over the sets, one a seed.

    Args:
        made: A study.
        leave_out: Evaluations that are no such sets.

    Returns:
        For each arm ``mean`` and ``values``; and where it is compared with the baseline, ``over_BASELINE`` (the
        differences), in how many seeds it is ``better``, and ``sign_test_p``.
    """
    from scipy.stats import binomtest

    found, baseline = made.found, made.found.plan.config.baseline
    sets = [one for one in found.main_metrics().items() if one[0] not in leave_out]
    by_arm: dict[str, list[float]] = {}
    for arm in found.plan.arms:
        values = [next(o for o in found.of(*one) if o.arm == arm).values for one in sets]
        by_arm[arm] = [100 * sum(of_seed) / len(of_seed) for of_seed in zip(*values, strict=True)]
    figures: dict[str, dict[str, Any]] = {}
    for arm, values in by_arm.items():
        figures[arm] = {"mean": sum(values) / len(values), "values": values}
        if arm != baseline and len(values) == len(by_arm[baseline]):
            differences = [ours - theirs for ours, theirs in zip(values, by_arm[baseline], strict=True)]
            better = sum(difference > 0 for difference in differences)
            p = float(binomtest(better, len(differences)).pvalue)
            figures[arm] |= {f"over_{baseline}": differences, "better": better, "sign_test_p": p}
    return figures


def mean_and_spread(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean, lowest and highest of each figure over runs."""
    return {
        figure: {
            "mean": sum(run[figure] for run in runs) / len(runs),
            "lowest": min(run[figure] for run in runs),
            "highest": max(run[figure] for run in runs),
        }
        for figure in runs[0]
    }


def stored_arms(name: str, part: str = "results") -> dict[str, dict[str, list[float]]]:
    """Read what was stored of each arm, whatever form its command stores.

    Args:
        name: Name of the benchmark.
        part: Where in the file the arms are: "results", "claim" (a figure a key beside arm and seed), or "alignment"
            (all arms of a seed in one entry of the results).

    Returns:
        Figures of each arm by name, a value a seed; one value alone for an untrained arm that has no seeds.
    """
    content = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    arms: dict[str, dict[str, list[float]]] = {}
    if "untrained" in content:
        arms["untrained"] = {figure: [value] for figure, value in content["untrained"]["figures"].items()}
    for one in content["results" if part == "alignment" else part]:
        if "measured" in one:
            arms[one["arm"]] = {of["evaluation"]: of["values"] for of in one["measured"]} | one["geometry"]
            continue
        if part == "alignment":
            of_seed = one["alignment"]
        else:
            of_seed = {one["arm"]: one.get("figures", {k: v for k, v in one.items() if isinstance(v, float)})}
        for arm, figures in of_seed.items():
            for figure, value in figures.items():
                arms.setdefault(arm, {}).setdefault(figure, []).append(value)
    return arms


def _without_paths(words: Sequence[str]) -> list[str]:
    """Replace folders of this machine by their last part."""
    return [Path(word).name if os.sep in word else word for word in words]


def _processor() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, {os.cpu_count()} cores"
