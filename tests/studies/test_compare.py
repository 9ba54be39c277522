"""What runs say, against numbers worked out by hand: paired differences, intervals, verdicts, tables."""

import json
import math

import numpy as np
import pytest
from pyarrow import parquet

from likewise.studies.compare import collect, seed_interval
from likewise.studies.config import read_study
from likewise.studies.measures import SpaceMeasure, TaskMeasure
from likewise.studies.plan import Plan
from likewise.studies.runs import TRAINING, RunRequest
from likewise.studies.tables import arm_costs, markdown, shown_interval, write_tables

VALUES = {
    "untrained": [0.40, 0.40, 0.40],
    "base": [0.50, 0.51, 0.52],
    "good": [0.60, 0.61, 0.62],
    "noisy": [0.40, 0.70, 0.50],
}


def write(folder, measure, content, arrays):
    (folder / "measures").mkdir(parents=True, exist_ok=True)
    (folder / "measures" / f"{measure.id}.json").write_text(json.dumps(content))
    np.savez(folder / "measures" / f"{measure.id}.npz", **arrays)


@pytest.fixture
def plan(tmp_path):
    """Three arms and three seeds whose figures are known; replicates are the value plus the same noise for all."""
    arms = {name: {"method": "simcse", "temperature": t} for name, t in (("base", 0.05), ("good", 0.1), ("noisy", 0.2))}
    config = read_study(
        {
            "name": "by hand",
            "data": "x.txt",
            "arms": arms,
            "budget": {"steps": 4},
            "seeds": 3,
            "evaluate": [{"task": "similarity", "data": "sts.tsv"}],
        }
    )
    task = TaskMeasure("similarity", "sts", "sts.tsv", "f", (), "error", ())
    space = SpaceMeasure("x.txt", "f", (), 10)
    noise = np.linspace(-0.05, 0.05, 101)
    runs = {}
    for arm, values in VALUES.items():
        for seed, value in enumerate(values):
            key = "untrained" if arm == "untrained" else f"{arm}{seed}"
            folder = tmp_path / key
            request = RunRequest(key, folder, {}, arm != "untrained", 0.05, (task, space), False)
            content = {
                "task": "similarity",
                "metrics": {"spearman": value, "pearson": None},
                "num_items": 30,
                "intervals": {"spearman": [value - 0.0475, value + 0.0475]},
            }
            write(folder, task, content, {"spearman": value + noise})
            geometry = {"figures": {"uniformity": -2.0 + seed}, "spectrum": [1.0], "histograms": {}, "findings": []}
            write(
                folder,
                space,
                geometry,
                {"index": np.zeros((2, 1), int), "cosine": np.ones((2, 1)), "rank": np.empty(0)},
            )
            if request.trained:
                cost = {"steps": 4, "seconds": 2.0 + seed, "encoded": 64, "peak_memory_mb": None}
                (folder / TRAINING).write_text(json.dumps(cost))
                (folder / "train").mkdir()
                (folder / "train" / "metrics.csv").write_text("step,epoch,loss\n1,0.5,3\n2,1,2\n")
            runs[arm, seed] = request
    return Plan(
        config,
        runs,
        dict.fromkeys(arms, 4),
        dict.fromkeys(arms, 16),
        {"name": "x.txt", "rows": 9, "fingerprint": "f"},
        {"name": "tower", "fingerprint": "s"},
        {"sts": task, "space": space},
    )


def of(found, arm, metric="spearman"):
    return next(one for one in found.measured if (one.arm, one.metric) == (arm, metric))


def test_differences_are_paired_by_seed_and_by_item(plan):
    good = of(collect(plan, {}), "good")
    assert good.mean == pytest.approx(0.61)
    assert good.difference == pytest.approx(0.1)
    # every seed differs by exactly .1, and so does every replicate: pairing takes all of the noise away
    assert good.difference_over_seeds == pytest.approx((0.1, 0.1))
    assert good.difference_over_items == pytest.approx((0.1, 0.1))
    assert good.over_items == pytest.approx((0.61 - 0.0475, 0.61 + 0.0475))
    assert good.verdict == "better"


def test_what_seeds_do_not_bear_out_is_not_told_apart(plan):
    noisy = of(collect(plan, {}), "noisy")
    differences = [-0.10, 0.19, -0.02]
    mean, deviation = np.mean(differences), np.std(differences, ddof=1)
    half = 4.302653 * deviation / math.sqrt(3)  # Student's t with two degrees of freedom
    assert noisy.difference_over_seeds == pytest.approx((mean - half, mean + half), rel=1e-6)
    assert noisy.verdict == "not told apart"
    assert of(collect(plan, {}), "untrained").verdict == "worse"


def test_the_baseline_is_compared_with_nothing_and_what_is_undefined_stays_so(plan):
    found = collect(plan, {})
    assert of(found, "base").verdict == "baseline"
    assert math.isnan(of(found, "base").difference)
    assert math.isnan(of(found, "good", "pearson").mean)
    assert of(found, "good", "pearson").verdict == "undefined"
    assert of(found, "base", "pearson").verdict == "baseline"


def test_arms_without_a_seed_in_common_are_not_compared(plan):
    found = collect(plan, {("good", 0): "x", ("base", 1): "y", ("base", 2): "z"})
    assert of(found, "good").values == (0.61, 0.62)
    assert of(found, "good").verdict == "undefined"


def test_a_failed_run_is_left_out_of_both_sides_and_named(plan):
    found = collect(plan, {("base", 2): "the loss is not finite"})
    assert of(found, "base").values == (0.50, 0.51)
    assert of(found, "good").difference == pytest.approx(0.1)
    assert len(of(found, "good").values) == 3
    assert "- base, seed 2: the loss is not finite" in markdown(found)
    assert sum(row["failure"] is not None for row in found.runs) == 1


def test_one_seed_has_no_interval_over_seeds():
    assert all(map(math.isnan, seed_interval([0.5])))
    assert shown_interval(seed_interval([0.5])) == "-"


def test_tables_hold_one_fact_a_row_and_costs_are_means(plan, tmp_path):
    found = collect(plan, {})
    write_tables(found, tmp_path)
    results = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert len(results) == 4 * 3 * 2
    assert {"arm": "good", "seed": 1, "metric": "spearman", "value": 0.61}.items() <= results[14].items()
    curves = parquet.read_table(tmp_path / "curves.parquet").to_pylist()
    assert [row["value"] for row in curves if (row["arm"], row["seed"]) == ("base", 0)] == [3.0, 2.0]
    geometry = parquet.read_table(tmp_path / "geometry.parquet").to_pylist()
    assert [row["value"] for row in geometry if row["arm"] == "noisy"] == [-2.0, -1.0, 0.0]
    assert arm_costs(found, "base") == {"steps": 4.0, "encoded": 64.0, "seconds": 3.0, "peak_memory_mb": None}
    assert parquet.read_table(tmp_path / "differences.parquet").num_rows == 4 * 2


def test_the_markdown_table_says_what_the_numbers_say(plan):
    text = markdown(collect(plan, {}))
    assert "| good | 0.6100 | 0.6000 0.6100 0.6200 | 0.5625 to 0.6575 | +0.1000 |" in text
    assert "| better |" in text
    assert "Every arm gets 4 optimiser steps" in text
