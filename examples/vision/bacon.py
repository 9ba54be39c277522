"""Known and new digits: half of the pictures of five digits have a label, all others have none.

Shown is the accuracy on other pictures: the share that is in the cluster of its digit, of all, of the five known digits
and of the five new ones.

    python examples/vision/bacon.py
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
    """Train on digits of which a quarter has a label, and sort others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=150, help="optimiser steps")
    steps = parser.parse_args().steps

    read = load_digits()
    images = (read.images * 255 / 16).astype(np.uint8)
    rows: list[dict[str, Any]] = []
    for i in range(1300):
        digit = int(read.target[i])
        rows.append({"image": images[i], "label": digit if digit < 5 and i % 2 else None})
    others = [{"image": images[i], "digit": int(read.target[i])} for i in range(1300, len(images))]
    settings = {"num_classes": 10, "hidden": 128, "head_size": 32, "augment": "glyph", "steps": steps}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        likewise.train("bacon", rows, out=run, **settings, **ENCODER)
        found = likewise.use(run, "discover", data=others, truth="digit").figures
        for name in ("all", "old", "new_accuracy"):
            print(f"{name}: {found[name]:.0%}")


if __name__ == "__main__":
    main()
