"""Scores of pairs by reading both texts at once: does the second sentence say of whom the first one speaks?

The pairs come from a small grammar: who does what, and "it is WHO". Whether that is true cannot be told from either
sentence alone. Shown is how many unseen pairs are judged rightly, before and after.

    python examples/text/cross_encoder.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np

import likewise

WHO = ("a doctor", "a sailor", "a waiter", "a teacher", "a farmer", "a baker")
WHAT = ("paints a boat", "waits for the train", "sells a house", "sings in the rain", "repairs a clock")


def pairs() -> list[dict[str, str | int]]:
    """Return every sentence with somebody it speaks of, and with somebody else."""
    random = np.random.default_rng(0)
    made: list[dict[str, str | int]] = []
    for who, what in itertools.product(WHO, WHAT):
        other = random.choice([one for one in WHO if one != who])
        made += [
            {"a": f"{who} {what}", "b": f"it is {who}", "label": 1},
            {"a": f"{who} {what}", "b": f"it is {other}", "label": 0},
        ]
    return [made[place] for place in random.permutation(len(made))]


def main() -> None:
    """Train on some pairs, and judge the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
    steps = parser.parse_args().steps

    rows = pairs()
    with tempfile.TemporaryDirectory() as folder:
        held_out = Path(folder, "held-out.jsonl")
        held_out.write_text("".join(json.dumps(row) + "\n" for row in rows[:20]), encoding="utf-8")
        for name, some in (("before", 1), ("after", steps)):
            out = Path(folder, name)
            likewise.train("cross-encoder", rows[20:], out=out, steps=some, encoder_layers=2, lr=3e-4, batch_size=16)
            figures = likewise.use(out, "score", data=str(held_out)).figures
            print(f"{name}: {figures['accuracy']:.0%} of {figures['pairs']} unseen pairs")


if __name__ == "__main__":
    main()
