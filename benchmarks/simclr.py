"""What do views alone teach a small tower, and what do labels add? The baselines for pictures, on digits.

Arms from the same fresh weights, equal steps, paired by seed: ``simclr`` (two views of each picture, no labels) at
three temperatures, and ``supcon`` (views of a class, with labels). Both start from weights that were never trained, so
``untrained`` is what the network's shape alone gives. Data and measures are those of ``benchmarks.digits``; settings
were fixed beforehand.
"""

from __future__ import annotations

from benchmarks.digits import ORIGIN, SHARED, digit_study
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import store_study

STEPS = 400
ARMS = {
    "simclr": {"method": "simclr", "temperature": 0.5},
    "simclr, temperature 0.2": {"method": "simclr", "temperature": 0.2},
    "simclr, temperature 1": {"method": "simclr", "temperature": 1.0},
    "supcon": {"method": "supcon", "temperature": 0.1},
}


def run(
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the study and store its figures."""
    from likewise.studies import study

    content = digit_study(
        "simclr and supcon on digits",
        "What do views alone teach a small tower, and what do labels add?",
        ARMS,
        baseline="simclr",
        steps=STEPS,
        seeds=seeds,
    )
    made = study(content, work / "simclr", runs=work / "runs", workers=workers, say=print)
    print(made.report, store_study("simclr", made, settings={**SHARED, "steps": STEPS, "arms": ARMS}, data=ORIGIN))
