"""Does a gate make any pair of classes a fit positive? On digits, against pairs of one class and against no gate.

Arms from the same fresh weights, equal steps, paired by seed: ``identical, open`` pulls pictures of one class together,
``arbitrary, open`` pictures of any two classes in all dimensions, ``arbitrary, gate`` those in the dimensions that the
gate of the two classes opens. Data and measures are those of ``benchmarks.digits``; settings were fixed beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.digits import ORIGIN, SHARED, digit_study
from benchmarks.stored import store_study

STEPS = 200
SETTINGS = {"hidden": 256, "head_size": 64, "gate_embedding": 64, "gate_hidden": 128}
ARMS = {
    "identical, open": {"method": "hydra", "pairs": "identical", "gate": "open"},
    "arbitrary, open": {"method": "hydra", "pairs": "arbitrary", "gate": "open"},
    "arbitrary, gate": {"method": "hydra", "pairs": "arbitrary", "gate": "fused"},
}


def run(
    work: Annotated[Path, typer.Option(help="Folder for runs and reports; a second call goes on there.")],
    seeds: Annotated[int, typer.Option(help="How many seeds, from 0.")] = 3,
    workers: Annotated[int, typer.Option(help="Runs at a time.")] = 2,
) -> None:
    """Run the study and store its figures."""
    from likewise.studies import study

    content = digit_study(
        "hydra on digits",
        "Does a gate make any pair of classes a fit positive?",
        ARMS,
        baseline="identical, open",
        steps=STEPS,
        seeds=seeds,
        **SETTINGS,
    )
    made = study(content, work / "hydra", runs=work / "runs", workers=workers, say=print)
    print(made.report, store_study("hydra", made, settings={**SHARED, **SETTINGS, "steps": STEPS}, data=ORIGIN))
