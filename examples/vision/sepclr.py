"""What targets have and the background has not: digits laid over patterns that are in both.

The background is one of ten patterns of 8 x 8 pixels; a target has a handwritten digit over it. Shown is what a linear
probe finds of digit and pattern in each of the two codes.

    python examples/vision/sepclr.py
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
CODES: dict[str, Any] = {"common_size": 8, "salient_size": 8, "leakage_weight": 0.1, "lr": 1e-3, "batch_size": 128}


def main() -> None:
    """Train on digits over patterns and patterns alone, and probe both codes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="optimiser steps")
    steps = parser.parse_args().steps

    read, random = load_digits(), np.random.default_rng(0)
    patterns = random.integers(0, 2, (10, 8, 8)) * 100.0
    rows = []
    for image, digit in zip(read.images, read.target, strict=True):
        pattern, is_target = int(random.integers(10)), bool(random.integers(2))
        shown = patterns[pattern] * random.uniform(0.5, 1) + is_target * 150 * image / 16
        kind = "target" if is_target else "background"
        rows.append({"image": shown.astype(np.uint8), "target": kind, "digit": int(digit), "pattern": pattern})
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        likewise.train("sepclr", rows[:1300], out=run, augment="crop", steps=steps, **CODES, **ENCODER)
        found = likewise.use(run, "salient", data=rows[1300:], labels=("digit", "pattern")).figures
        for label in ("digit", "pattern"):
            print(f"{label}: {found[f'{label} on salient']:.0%} by the salient code, ", end="")
            print(f"{found[f'{label} on common']:.0%} by the common one (chance {found[f'{label} chance']:.0%})")
        print(f"length of the background's salient code against the target's: {found['background_share']:.3f}")


if __name__ == "__main__":
    main()
