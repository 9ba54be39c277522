"""What do the weights of attraction and of repulsion each do? CACR's stand-in, on digits of which some are rare.

Class c of the training digits keeps (c + 1) / 10 of its rows; tests are balanced. Arms from the same fresh weights,
equal steps, the same five views of each picture, paired by seed: InfoNCE over all views (SimCLR with labels for views,
temperature 0.2), and CACR with both weights, without those of positives, without those of negatives, without any (t+
1, t- 2). Measured: the vote of ten neighbours in the projection, which the loss has seen (32 numbers), and what
``benchmarks.digits`` measures of the features. Settings are those of the specification, fixed beforehand.

``shows`` in the stored result says for each seed what the specification expects: both weights over positives' weights
alone by more than 0.06 in the projection's neighbours, these over none by more than 0.08, and both weights no worse
than InfoNCE by 0.02. Of the weights of positives it tells what they do: their entropy over training (in nats; even
weights over four positives have log 4 = 1.386), and the squared distance of the farthest positive with them and
without.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.digits import ORIGIN, SHARED, TEST, TRAIN, digit_study
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import store_study

if TYPE_CHECKING:
    from likewise.studies import StudyResult

EPOCHS = 60
BATCH = 128
PARTS = 10
"""Training is told in so many parts of equal length; the first and the last are compared."""
OURS: dict[str, Any] = {"head_size": 32}
CACR: dict[str, Any] = {"method": "cacr", "positives": 4, "temperature": 0.25, "sharpness": 1.0}
FULL, WITHOUT_W1, WITHOUT_W2, NONE = "both weights", "without w+", "without w-", "no weights"
BASELINE = "InfoNCE"
ARMS: dict[str, dict[str, Any]] = {
    BASELINE: {"method": "simclr", "num_views": 5, "temperature": 0.2},
    FULL: CACR,
    WITHOUT_W1: {**CACR, "weighted": "negatives"},
    WITHOUT_W2: {**CACR, "weighted": "positives"},
    NONE: {**CACR, "weighted": "none"},
}
PROJECTED = "neighbours of the projection"


def run(
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
    epochs: Annotated[int, typer.Option(help="Epochs of every arm; 5 steps each.")] = EPOCHS,
) -> None:
    """Run the study and store its figures."""
    import likewise
    from likewise.studies import study

    upwards = [str(digit) for digit in reversed(range(10))]
    how: dict[str, Any] = {"test_share": 0.0, "imbalance": 10, "decline": "linear", "order": upwards}
    tail = work / "tail"
    made = likewise.split(TRAIN, **how)
    if not tail.exists():
        made.write(tail)
    rows = {name: count["train"] for name, count in made.how["classes"].items()}
    steps = epochs * (sum(rows.values()) // BATCH)
    content = digit_study(
        "cacr on digits of which small ones are rare",
        "What do the weights of positives and of negatives each do?",
        ARMS,
        baseline=BASELINE,
        steps=steps,
        seeds=seeds,
        data=str(tail / "train.parquet"),
        batch_size=BATCH,
        **OURS,
    )
    projected = {"task": "knn", "data": TEST, "train": TRAIN, "name": PROJECTED, "k": 10, "space": "projection"}
    content["evaluate"] = [projected, *content["evaluate"]]
    content["space"] = {"data": TEST, "space": "projection"}
    found = study(content, work / "cacr", runs=work / "runs", workers=workers, say=print)
    path = store_study(
        "cacr",
        found,
        settings={**SHARED, **OURS, "batch_size": BATCH, "steps": steps, "arms": ARMS},
        data={"origin": ORIGIN, "rows": rows},
        shows=shows(found),
        positives=positives(found),
    )
    print(found.report, path)


def shows(made: StudyResult) -> list[dict[str, Any]]:
    """What each seed says of the specification's expectations."""
    by_arm = {one.arm: one.values for one in made.found.of(PROJECTED, "accuracy")}
    found = []
    for place, seed in enumerate(made.found.plan.config.seeds):
        at = {arm: values[place] for arm, values in by_arm.items()}
        differences = {
            "both weights over w+ alone": at[FULL] - at[WITHOUT_W2],
            "w+ alone over no weights": at[WITHOUT_W2] - at[NONE],
            "both weights over InfoNCE": at[FULL] - at[BASELINE],
        }
        met = [value > floor for value, floor in zip(differences.values(), (0.06, 0.08, -0.02), strict=True)]
        found.append({"seed": seed, **differences, "all": all(met)})
    return found


def positives(made: StudyResult) -> dict[str, dict[str, list[float]]]:
    """For each arm of CACR and seed: entropy of the positives' weights and the farthest positive, at both ends."""
    found: dict[str, dict[str, list[float]]] = {}
    for arm in (FULL, WITHOUT_W1, WITHOUT_W2, NONE):
        found[arm] = {}
        for figure in ("positive_entropy", "farthest_positive"):
            first, last = [], []
            for seed in made.found.plan.config.seeds:
                rows = [
                    row
                    for row in made.found.curves
                    if (row["arm"], row["seed"], row["source"], row["figure"]) == (arm, seed, "metrics", figure)
                ]
                course = [row["value"] for row in sorted(rows, key=lambda row: row["step"])]
                part = max(1, len(course) // PARTS)
                first.append(statistics.mean(course[:part]))
                last.append(statistics.mean(course[-part:]))
            found[arm] |= {f"{figure}, first tenth": first, f"{figure}, last tenth": last}
    return found
