"""Which layer to keep: a model is trained behind a head, and each layer is asked for what the loss was not about.

The pictures are handwritten digits of 8 x 8 pixels. The loss is told whether a digit is even or odd; asked for is the
digit itself. A layer near the loss has little left of it.

    python examples/vision/projection_head.py
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
    """Train on even and odd, and look for digits in every layer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
    steps = parser.parse_args().steps

    read = load_digits()
    images = list((read.images * 255 / 16).astype(np.uint8))
    digits = [{"image": image, "label": int(digit)} for image, digit in zip(images, read.target, strict=True)]
    coarse = [{"image": row["image"], "label": "odd" if row["label"] % 2 else "even"} for row in digits[:1000]]
    with tempfile.TemporaryDirectory() as folder:
        run, cut = Path(folder, "run"), Path(folder, "cut")
        settings = {"loss": "supcon", "augment": "glyph", "batch_size": 128, "steps": steps, **ENCODER}
        likewise.train("projection-head", coarse, out=run, head_size=32, **settings)
        found = likewise.use(run, "layers", data=digits[1000:], bootstrap=200, out=str(cut))
        for row in found.rows:
            print(f"{row['tap']:>7}: {row['accuracy']:.0%} of the digits, effective rank {row['effective_rank']:.0f}")
        print(f"kept: {found.figures['kept']}, {likewise.load(cut).dim} numbers")


if __name__ == "__main__":
    main()
