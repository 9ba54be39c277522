"""Pictures without labels, some kinds of them rare: attraction and repulsion, with weights and without.

The pictures are handwritten digits of 8 x 8 pixels, of which the small ones are rare: a tenth of the zeros is there, a
fifth of the ones, and so on. Shown is how many of the held-out digits are told by the vote of their ten nearest
neighbours, after training without any weights and with both, in the tower's features and in the space behind the head,
which the loss has seen.

    python examples/vision/cacr.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import likewise
from likewise.evaluation.tasks.knn import knn
from likewise.evaluation.tasks.probe import open_labelled_split

SMALL: dict[str, Any] = {"encoder": "mlp-128-128", "image_size": 8, "channels": 1, "augment": "glyph"}
UPWARDS = [str(digit) for digit in reversed(range(10))]


def main() -> None:
    """Make a long tail, train on it, and measure on digits of all kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps")
    steps = parser.parse_args().steps

    with tempfile.TemporaryDirectory() as folder:
        tail = Path(folder, "tail")
        made = likewise.split(
            "demo:digits:train", out=tail, test_share=0.0, imbalance=10, decline="linear", order=UPWARDS
        )
        rows = str(tail / "train.parquet")
        counts = {name: count["train"] for name, count in made.how["classes"].items()}
        print(f"pictures to train on, of each digit: {counts}")
        labelled = open_labelled_split("demo:digits:test", train="demo:digits:train")
        for weighted in ("none", "both"):
            out = Path(folder, weighted)
            likewise.train(
                "cacr",
                rows,
                out=out,
                **SMALL,
                head_size=32,
                weighted=weighted,
                batch_size=64,
                steps=steps,
                progress=False,
            )
            for space in ("features", "projection"):
                found = knn(likewise.load(out, space=space), labelled, k=10, bootstrap=0)
                print(f"weights {weighted}, {space}: {found.metrics['accuracy']:.0%} are told by their neighbours")


if __name__ == "__main__":
    main()
