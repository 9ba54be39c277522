"""What do mixtures of the hardest keys add to a queue, on digits? MoCo v2 against MoCHi with and without the query.

Arms from the same fresh weights, equal steps, paired by seed; a short queue, so that it is renewed every ten steps, and
a momentum that lets the slow tower move within the run. ``MoCHi (64, 32, 16)`` mixes 32 pairs of the 64 nearest keys
and 16 of them with the query. Data and measures are those of ``benchmarks.digits``; settings were fixed beforehand.
"""

from __future__ import annotations

from typing import Any

from benchmarks.digits import ORIGIN, SHARED, digit_study
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import store_study

STEPS = 400
QUEUE: dict[str, Any] = {"queue_size": 640, "momentum": 0.99, "head_size": 32, "batch_norm": True}
MIXED: dict[str, Any] = {**QUEUE, "method": "mochi", "hardest": 64, "pairs": 32, "plain_epochs": 2.0}
ARMS: dict[str, dict[str, Any]] = {
    "MoCo": {**QUEUE, "method": "moco"},
    "MoCHi (64, 32, 0)": {**MIXED, "with_query": 0},
    "MoCHi (64, 32, 16)": {**MIXED, "with_query": 16},
    "MoCo, temperature 0.5": {**QUEUE, "method": "moco", "temperature": 0.5},
    "MoCHi (64, 32, 16), temperature 0.5": {**MIXED, "with_query": 16, "temperature": 0.5},
}


def run(
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the study and store its figures."""
    from likewise.studies import study

    content = digit_study(
        "MoCo and MoCHi on digits",
        "What do mixtures of the hardest keys add to a queue?",
        ARMS,
        baseline="MoCo",
        steps=STEPS,
        seeds=seeds,
        batch_size=64,
    )
    made = study(content, work / "mochi", runs=work / "runs", workers=workers, say=print)
    settings = {**SHARED, "batch_size": 64, "steps": STEPS, "arms": ARMS}
    print(made.report, store_study("mochi", made, settings=settings, data=ORIGIN))
