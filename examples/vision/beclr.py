"""Digits from one example each: a model that has seen pictures without labels, and pictures that are told together.

The pictures are handwritten digits of 8 x 8 pixels. Five digits are drawn, one example of each, and fifteen others of
each that are to be told; shown is how many are told right, over a hundred such tasks: by a tower that was never
trained, by the trained one, and with the examples moved to where the others lie.

    python examples/vision/beclr.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

import likewise
from likewise.encoders import ImageEncoderConfig, load_image_encoder
from likewise.evaluation import few_shot
from likewise.evaluation.tasks.clustering import open_labelled

ENCODER: dict[str, Any] = {"encoder": "mlp-128-128", "image_size": 8, "channels": 1}
SHORT: dict[str, Any] = {  # for a thousand pictures and ten epochs
    "hidden": 128, "head_size": 64, "prototypes": 20, "memory_scale": 10, "memory_start": 3.0, "momentum": 0.95,
    "momentum_epochs": 10.0, "cluster_every": 3.0, "batch_size": 64, "schedule": "constant",
}  # fmt: skip


def main() -> None:
    """Train on pictures without their labels, and tell digits by one example each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="optimiser steps")
    steps = parser.parse_args().steps

    read = load_digits()
    images = list((read.images * 255 / 16).astype(np.uint8))
    rows = [{"image": image} for image in images[:1300]]
    others = open_labelled([{"image": images[i], "label": str(read.target[i])} for i in range(1300, len(images))])
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        untrained = load_image_encoder(ImageEncoderConfig(**ENCODER))
        settings = {**ENCODER, **SHORT, "augment": "glyph", "steps": steps}
        model = likewise.train("beclr", rows, out=Path(folder, "run"), **settings)
    for name, encoder, align in (
        ("never trained", untrained, False),
        ("trained", model, False),
        ("trained, examples moved", model, True),
    ):
        found = few_shot(encoder, others, shots=1, episodes=100, align=align)
        print(f"{name}: {found.metrics['accuracy']:.0%} are told right by one example of each digit")


if __name__ == "__main__":
    main()
