"""Is what comes before the head better than what goes out of it, and does a head without weights do as much?

The paper's experiment at the scale of these machines: a picture of 12 x 12 pixels has a handwritten digit of 8 x 8 in
its middle, and around it, also behind it, one of 20 backgrounds that are drawn once. The background is the strong
feature: it is the same in both views and tells nearly all pictures of a batch apart. What is asked is the digit. In the
first view the digit is left out with a probability (``drop``). Arms from the same fresh weights, equal steps, paired by
seed; each is cut before the head and behind it, and a probe is fitted to standardised vectors of either.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.options import Seeds, Work
from benchmarks.stored import store

if TYPE_CHECKING:
    from likewise.encoders import ImageEncoder
    from likewise.heads import TappedHead

BACKGROUNDS, SIDE, EDGE = 20, 12, 2
PRE, POST = "pre", "post"
STEPS = 200
SETTINGS: dict[str, Any] = {
    "encoder": "mlp-256-256",
    "image_size": SIDE,
    "channels": 1,
    "augment": "glyph",
    "temperature": 0.5,
    "batch_size": 128,
    "lr": 1e-3,
    "weight_decay": 0.0,
    "warmup": 0.0,
    "schedule": "constant",
    "checkpoint_every": 100_000,
    "precision": "fp32",
}
ARMS: dict[str, dict[str, Any]] = {
    "mlp": {"head": "mlp", "head_size": 64, "drop": 0.75},
    "none": {"head": "none", "drop": 0.75},
    "reweight": {"head": "reweight", "kappa": 1.1, "drop": 0.75},
    "mlp, digit in both views": {"head": "mlp", "head_size": 64, "drop": 0.0},
}
MOST_ITERATIONS = 200
"""Of a fit of the probe."""


def pictures(split: str) -> list[dict[str, Any]]:
    """Return rows of image, without (the background alone), label (the digit) and background."""
    from sklearn.datasets import load_digits

    read = load_digits()
    backgrounds = np.random.default_rng(0).integers(0, 256, (BACKGROUNDS, SIDE, SIDE))
    of = np.random.default_rng(1).integers(0, BACKGROUNDS, len(read.target))
    rows = []
    for i in range(1300) if split == "train" else range(1300, len(read.target)):
        digit = np.zeros((SIDE, SIDE))
        digit[EDGE:-EDGE, EDGE:-EDGE] = read.images[i] / 16
        behind = backgrounds[of[i]]
        image = behind * (1 - digit) + digit * (0.3 * behind + 0.7 * 255 * digit)
        rows.append(
            {
                "image": image.round().astype(np.uint8),
                "without": behind.astype(np.uint8),
                "label": int(read.target[i]),
                "background": int(of[i]),
            }
        )
    return rows


def measured(tower: ImageEncoder, head: TappedHead) -> dict[str, float]:
    """Probe what comes before the head and what goes out of it for the digit, and the former for the background."""
    from likewise.data import open_split
    from likewise.data.columns import Column, Image, Label
    from likewise.evaluation import layerwise_probe

    found = {}
    for target, taps in (("label", (PRE, POST)), ("background", (PRE,))):
        parts = [
            [{"image": row["image"], "label": row[target]} for row in pictures(split)] for split in ("train", "test")
        ]
        data = open_split(parts[1], columns=(Column("image", Image), Column("label", Label)), train=parts[0])
        sides = [head.taps(tower.features(part.inputs, precision="fp32")) for part in (data.train, data.test)]
        layers = {tap: (sides[0][tap].detach(), sides[1][tap].detach()) for tap in taps}
        for tap, report in layerwise_probe(layers, data, max_iterations=MOST_ITERATIONS, bootstrap=0).items():
            where = "before the head" if tap == PRE else "behind it"
            what = "digit" if target == "label" else target
            found[f"{what}, {where}"] = report.result.metrics["accuracy"]
            if target == "label":
                found[f"effective rank, {where}"] = report.effective_rank
    return found


def run(
    work: Work,
    seeds: Seeds = 3,
    steps: Annotated[int, typer.Option(help="Optimiser steps of every arm; 10 are an epoch.")] = STEPS,
) -> None:
    """Train every arm with every seed and store what is known before the head and behind it."""
    import torch

    import likewise
    from likewise.artefact import load_model
    from likewise.encoders import ImageEncoderConfig, load_image_encoder
    from likewise.heads import TappedHead

    results: list[dict[str, Any]] = []
    for number, (name, varied) in enumerate(ARMS.items()):
        for seed in range(seeds):
            out = work / f"{number}-{seed}"
            done = out / "figures.json"
            if not done.exists():
                likewise.train(
                    "projection-head", pictures("train"), out=out, steps=steps, seed=seed, progress=False, **SETTINGS,
                    **varied,
                )  # fmt: skip
                model = load_model(out)
                done.write_text(json.dumps(measured(model.image_encoder, TappedHead.of(model.kept["head"]))))
            results.append({"arm": name, "seed": seed, "figures": json.loads(done.read_text())})
            print(results[-1], flush=True)
    torch.manual_seed(0)
    fresh = load_image_encoder(
        ImageEncoderConfig(**{name: SETTINGS[name] for name in ("encoder", "image_size", "channels")})
    )
    print(
        store(
            "projection-head",
            seeds=list(range(seeds)),
            results=results,
            about="Accuracy of a probe for the digit and for the background, and how many directions vectors use.",
            untrained={"figures": measured(fresh, TappedHead("none", fresh.dim))},
            settings={**SETTINGS, "steps": steps, "arms": ARMS},
            data="scikit-learn's digits on 20 random backgrounds, 1,300 to train on and 497 to test",
        )
    )
