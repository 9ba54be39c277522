"""Classes that share parts: any two of them are alike in the dimensions that a gate opens for the pair.

The pictures are handwritten digits of 8 x 8 pixels. Shown are the pairs of digits whose gates are widest open, and how
many held-out digits have a nearest neighbour of their kind.

    python examples/vision/hydra.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import likewise

SETTINGS: dict[str, Any] = {
    "encoder": "mlp-128-128",
    "image_size": 8,
    "channels": 1,
    "augment": "glyph",
    "batch_size": 128,
    "hidden": 128,
    "head_size": 32,
    "gate_embedding": 64,
    "gate_hidden": 64,
}


def main() -> None:
    """Train on digits with their names, and look at what the gates say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
    steps = parser.parse_args().steps

    read = load_digits()
    images = list((read.images * 255 / 16).astype(np.uint8))
    rows = [{"image": image, "label": int(digit)} for image, digit in zip(images, read.target, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        model = likewise.train("hydra", rows[:1000], out=run, steps=steps, **SETTINGS)
        for row in likewise.use(run, "relations", top=5).rows:
            print(f"{row['first']} and {row['second']}: {row['open']} dimensions open, mean {row['mean']:.2f}")
        vectors = model.encode(images[1000:], precision="fp32")
    nearest = (vectors @ vectors.T).fill_diagonal_(-1).argmax(dim=1).numpy()
    digits = read.target[1000:]
    print(f"{float((digits[nearest] == digits).mean()):.0%} have a neighbour of their kind")


if __name__ == "__main__":
    main()
