"""Embeddings of pictures with classes: all views of one class find each other.

The pictures are handwritten digits of 8 x 8 pixels. Shown is the mean cosine of held-out pictures of one digit, and of
different digits: how tightly classes lie together, and how far apart.

    python examples/vision/supcon.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import likewise

ENCODER: dict[str, Any] = {"encoder": "mlp-128-128", "image_size": 8, "channels": 1}


def main() -> None:
    """Train on pictures with their digits, and compare others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
    steps = parser.parse_args().steps

    read = load_digits()
    images = list((read.images * 255 / 16).astype(np.uint8))
    rows = [{"image": image, "label": int(digit)} for image, digit in zip(images, read.target, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        model = likewise.train("supcon", rows[:1300], out=Path(folder, "run"), augment="glyph", steps=steps, **ENCODER)
        vectors = model.encode(images[1300:], precision="fp32")
    cosines, digits = vectors @ vectors.T, read.target[1300:]
    same = digits[:, None] == digits
    print(f"same digit {float(cosines[same].mean()):.2f}, different digits {float(cosines[~same].mean()):.2f}")


if __name__ == "__main__":
    main()
