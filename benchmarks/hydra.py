"""Does a gate make any pair of classes a fit positive? On digits, against pairs of one class and against no gate.

Arms from the same fresh weights, equal steps, paired by seed: ``identical, open`` pulls pictures of one class together,
``arbitrary, open`` pictures of any two classes in all dimensions, ``arbitrary, gate`` those in the dimensions that the
gate of the two classes opens. Data and measures are those of ``benchmarks.digits``; settings were fixed beforehand.

``claim`` asks the paper's question on classes that share parts by construction: 16 classes, each with three of six
attributes; an attribute is a template of eight pixels, sixteen more are noise. 2,000 pictures, 60 epochs, no other
views than the pictures themselves, the same arms. Told are the loss at the end, and how alike the means of two classes
are behind the gate of the pair, as the mean cosine over all pairs of different classes.
"""

from __future__ import annotations

import csv
import itertools
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from benchmarks.digits import ORIGIN, SHARED, digit_study
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import store_study

STEPS = 200
SETTINGS: dict[str, Any] = {"hidden": 256, "head_size": 64, "gate_embedding": 64, "gate_hidden": 128}
EPOCHS = 60
PARTS: dict[str, Any] = {"batch_size": 200, "augment": "none", "head_size": 32}
"""Settings of the claim in the place of others."""
ARMS: dict[str, dict[str, Any]] = {
    "identical, open": {"method": "hydra", "pairs": "identical", "gate": "open"},
    "arbitrary, open": {"method": "hydra", "pairs": "arbitrary", "gate": "open"},
    "arbitrary, gate": {"method": "hydra", "pairs": "arbitrary", "gate": "fused"},
}


def run(
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
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
    claimed = [{"seed": seed, "arm": arm, **claim(arm, seed)} for seed in range(seeds) for arm in ARMS]
    settings = {**SHARED, **SETTINGS, "steps": STEPS, "of the claim": PARTS}
    print(made.report, store_study("hydra", made, settings=settings, data=ORIGIN, claim=claimed))


def attributes(seed: int, *, pictures: int = 2000, classes: int = 16, noise: float = 0.5) -> list[dict[str, Any]]:
    """Return rows of pictures of 8 x 8 pixels whose classes are choices of three of six attributes."""
    random = np.random.default_rng(seed)
    templates = random.normal(size=(6, 8))
    choices = list(itertools.combinations(range(6), 3))
    chosen = random.permutation(len(choices))[:classes]
    rows = []
    for number in range(pictures):
        label = number % classes
        shown = np.zeros((8, 8))
        has = list(choices[chosen[label]])
        shown[has] = templates[has]
        shown += noise * random.normal(size=(8, 8))
        rows.append({"image": (128 + 32 * shown).clip(0, 255).astype(np.uint8), "label": f"class {label:02d}"})
    return rows


def claim(arm: str, seed: int) -> dict[str, float]:
    """Train an arm on classes that share attributes; return its last loss and how alike gated class means are."""
    import likewise
    from likewise.artefact import load_model
    from likewise.heads import MLPProjector, PairGate
    from likewise.state import read_state

    rows = attributes(seed)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {**SHARED, **SETTINGS, **PARTS, **{k: v for k, v in ARMS[arm].items() if k != "method"}}
        steps = EPOCHS * len(rows) // PARTS["batch_size"]
        settings |= {"checkpoint_every": steps, "steps": steps, "seed": seed}
        tower = likewise.train("hydra", rows, out=out, progress=False, **settings)
        with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
            course = [float(row["loss"]) for row in csv.DictReader(file)]
        weights = read_state(out / "checkpoints" / f"step-{steps:08d}", "method")
        kept = load_model(out).kept
        features = tower.features([row["image"] for row in rows], precision="fp32")
    size = PARTS["head_size"]
    projector = torch.nn.Sequential(
        MLPProjector(features.shape[1], SETTINGS["hidden"], size, layers=3), torch.nn.LayerNorm(size)
    )
    start = "projector."
    projector.load_state_dict({key.removeprefix(start): one for key, one in weights.items() if key.startswith(start)})
    with torch.no_grad():
        projected = projector.eval()(features)
        labels = torch.tensor([kept["classes"].index(row["label"]) for row in rows])
        means = torch.stack([projected[labels == place].mean(0) for place in range(len(kept["classes"]))])
        one, other = torch.combinations(torch.arange(len(means))).T
        gate = PairGate.of(kept["gate"])(one, other)
        alike = cosine_similarity(gate * means[one], gate * means[other], dim=1)
    return {"loss": statistics.mean(course[-10:]), "gated cosine of class means": alike.mean().item()}
