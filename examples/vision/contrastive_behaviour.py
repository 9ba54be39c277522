"""What the temperature does to a space of pictures, and what is different when only hard negatives count.

The pictures are handwritten digits of 8 x 8 pixels. Shown is, for a low and a high temperature, how evenly the held-out
ones are spread (uniformity; lower is more even) and how near each other those of one digit lie (tolerance): with all
negatives, and with the hundred hardest only.

    python examples/vision/contrastive_behaviour.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import likewise
from likewise.geometry import tolerance, uniformity

ENCODER: dict[str, Any] = {"encoder": "mlp-128-128", "image_size": 8, "channels": 1}


def main() -> None:
    """Train at two temperatures with all negatives and with the hardest, and look at the space."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
    steps = parser.parse_args().steps

    read = load_digits()
    images = list((read.images * 255 / 16).astype(np.uint8))
    rows = [{"image": image} for image in images[:1300]]
    settings = {**ENCODER, "augment": "glyph", "head_size": 32, "steps": steps, "progress": False}
    with tempfile.TemporaryDirectory() as folder:
        for keep in (None, 100):
            for temperature in (0.1, 1.0):
                out = Path(folder, f"run-{keep}-{temperature}")
                own: dict[str, Any] = {"temperature": temperature, "keep_top_k": keep}
                likewise.train("contrastive-behaviour", rows, out=out, **settings, **own)
                seen = likewise.load(out, space="projection").encode(images[1300:], precision="fp32")
                digits = read.target[1300:].tolist()
                kept = f"the {keep} hardest" if keep else "all"
                print(
                    f"temperature {temperature}, {kept} negatives: uniformity {uniformity(seen):.2f}, "
                    f"tolerance {tolerance(seen, digits):.2f}"
                )


if __name__ == "__main__":
    main()
