"""Which pictures are rare: each picture learns a temperature, without labels.

The pictures are handwritten digits of 8 x 8 pixels, many zeros and few nines. Shown is the mean temperature of each
digit beside how often it is there, and the rank correlation of the two.

    python examples/vision/isogclr.py
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import likewise

ENCODER: dict[str, Any] = {"encoder": "mlp-128-128", "image_size": 8, "channels": 1}


def main() -> None:
    """Train on a long tail of digits, and ask for the temperatures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps")
    steps = parser.parse_args().steps

    read = load_digits()
    images, rows = (read.images * 255 / 16).astype(np.uint8), []
    for digit in range(10):
        kept = np.flatnonzero(read.target == digit)[: int(130 * 20 ** (-digit / 9))]
        rows += [{"image": images[i], "label": digit} for i in kept]
    settings = {"augment": "glyph", "temperature": 0.3, "rho": 0.3, "batch_size": 32, "steps": steps}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        likewise.train("isogclr", rows, out=out, **settings, **ENCODER)
        table = likewise.use(out, "temperatures", show=len(rows))
        sizes = Counter(row["label"] for row in table.rows)
        for digit, size in sizes.most_common():
            own = [row["temperature"] for row in table.rows if row["label"] == digit]
            print(f"{digit}: {size:3d} pictures, mean temperature {np.mean(own):.3f}")
        print("rank correlation:", table.figures.get("spearman", "none yet"))


if __name__ == "__main__":
    main()
