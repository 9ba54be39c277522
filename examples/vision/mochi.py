"""Embeddings of pictures with negatives that are mixed of the hardest keys of a queue.

The pictures are handwritten digits of 8 x 8 pixels. Shown is how many of the held-out ones have a nearest neighbour, by
cosine, that is the same digit: before training, and after.

    python examples/vision/mochi.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import likewise
from likewise.encoders import Embedder, ImageEncoderConfig, load_image_encoder

ENCODER: dict[str, Any] = {"encoder": "mlp-128-128", "image_size": 8, "channels": 1}
SHORT: dict[str, Any] = {"queue_size": 512, "momentum": 0.9, "batch_size": 64}  # for some hundred steps
MIXED: dict[str, Any] = {"hardest": 64, "pairs": 32, "with_query": 16, "plain_epochs": 1.0}


def found(encoder: Embedder, images: list[np.ndarray], digits: np.ndarray) -> float:
    """Return the share of pictures whose nearest other picture shows the same digit."""
    vectors = encoder.encode(images, precision="fp32")
    cosines = (vectors @ vectors.T).fill_diagonal_(-1)
    return float((digits[cosines.argmax(dim=1).numpy()] == digits).mean())


def main() -> None:
    """Train on pictures without their labels, and look at the neighbours of others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
    steps = parser.parse_args().steps

    read = load_digits()
    images = list((read.images * 255 / 16).astype(np.uint8))
    rows = [{"image": image} for image in images[:1300]]
    with tempfile.TemporaryDirectory() as folder:
        untrained = load_image_encoder(ImageEncoderConfig(**ENCODER))
        settings = {**ENCODER, **SHORT, **MIXED, "augment": "glyph", "steps": steps}
        model = likewise.train("mochi", rows, out=Path(folder, "run"), **settings)
        for name, encoder in (("before", untrained), ("after", model)):
            print(f"{name}: {found(encoder, images[1300:], read.target[1300:]):.0%} have a neighbour of their kind")


if __name__ == "__main__":
    main()
