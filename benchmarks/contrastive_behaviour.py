"""What does the temperature do, and do hard negatives replace it? The ordinary, simple and hard losses on digits.

Arms from the same fresh weights, equal steps, paired by seed: the softmax over all negatives of the bank at four
temperatures, the loss without a softmax, and both with the 100 hardest negatives only. Data and measures are those of
``benchmarks.digits``; uniformity, tolerance and the neighbours that the paper's questions are about are those of the
projection, which the loss has seen (32 numbers). Settings were fixed beforehand.

``shows`` in the stored result says for each seed what the specification expects: uniformity falls with the temperature,
tolerance is higher at 1 than at 0.07, the hardest negatives bring at least 0.08 to the neighbours of the loss without a
softmax, and with them uniformity changes by less than 0.1 from temperature 0.3 to 1 where it changes by more than 0.2
without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.digits import ORIGIN, SHARED, TEST, TRAIN, digit_study
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import store_study

if TYPE_CHECKING:
    from likewise.studies import StudyResult

STEPS = 600
OURS: dict[str, Any] = {"head_size": 32}
METHOD = {"method": "contrastive-behaviour"}
ARMS: dict[str, dict[str, Any]] = {
    **{f"softmax, {temperature:g}": {**METHOD, "temperature": temperature} for temperature in (0.07, 0.3, 1.0, 3.0)},
    "simple": {**METHOD, "loss": "simple"},
    "hard softmax, 0.3": {**METHOD, "temperature": 0.3, "keep_top_k": 100},
    "hard softmax, 1": {**METHOD, "temperature": 1.0, "keep_top_k": 100},
    "hard simple": {**METHOD, "loss": "simple", "keep_top_k": 100},
}
PROJECTED = "neighbours of the projection"


def run(
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the study and store its figures."""
    from likewise.studies import study

    content = digit_study(
        "contrastive-behaviour on digits",
        "What does the temperature do to the space, and do the hardest negatives alone make up for a high one?",
        ARMS,
        baseline="softmax, 0.3",
        steps=STEPS,
        seeds=seeds,
        **OURS,
    )
    projected = {"task": "knn", "data": TEST, "train": TRAIN, "name": PROJECTED, "k": 10, "space": "projection"}
    content["evaluate"] = [projected, *content["evaluate"]]
    content["space"] = {"data": TEST, "space": "projection"}
    made = study(content, work / "contrastive-behaviour", runs=work / "runs", workers=workers, say=print)
    settings = {**SHARED, **OURS, "steps": STEPS, "arms": ARMS}
    path = store_study("contrastive-behaviour", made, settings=settings, data=ORIGIN, shows=shows(made))
    print(made.report, path)


def shows(made: StudyResult) -> list[dict[str, Any]]:
    """What each seed says of the specification's expectations."""
    figures = {(row["arm"], row["seed"], row["figure"]): row["value"] for row in made.found.geometry}
    neighbours = {one.arm: one.values for one in made.found.of(PROJECTED, "accuracy")}
    found = []
    for place, seed in enumerate(made.found.plan.config.seeds):

        def of(arm: str, figure: str, seed: int = seed) -> float:
            value: float = figures[arm, seed, figure]
            return value

        course = [of(f"softmax, {temperature:g}", "uniformity") for temperature in (0.07, 0.3, 1.0, 3.0)]
        rise = neighbours["hard simple"][place] - neighbours["simple"][place]
        hard = of("hard softmax, 1", "uniformity") - of("hard softmax, 0.3", "uniformity")
        found.append(
            {
                "seed": seed,
                "less even with the temperature": course == sorted(course),
                "more tolerant at 1 than at 0.07": of("softmax, 1", "tolerance") > of("softmax, 0.07", "tolerance"),
                "hard simple over simple": rise,
                "uniformity from 0.3 to 1, hard": hard,
                "uniformity from 0.3 to 1": course[2] - course[1],
                "all": course == sorted(course)
                and of("softmax, 1", "tolerance") > of("softmax, 0.07", "tolerance")
                and rise >= 0.08
                and abs(hard) < 0.1
                and course[2] - course[1] > 0.2,
            }
        )
    return found
