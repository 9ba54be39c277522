"""One model for two domains that mean different things by "alike": an expert each, named when a text is encoded.

The same texts belong to both domains. In one of them two texts are alike where the fruit is the same, in the other
where the colour is.

    python examples/text/moe_cocitation.py
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import likewise

FRUIT = ("apple", "pear", "plum", "cherry", "grape", "lemon")
COLOURS = ("red", "green", "blue", "yellow")


def pairs() -> list[dict[str, str]]:
    """Return pairs of texts that belong together, in each domain."""
    rows = []
    for (number, fruit), (place, colour) in itertools.product(enumerate(FRUIT), enumerate(COLOURS)):
        text = f"a {colour} {fruit}"
        recoloured = f"a {COLOURS[(place + 1) % len(COLOURS)]} {fruit}"
        other = f"a {colour} {FRUIT[(number + 1) % len(FRUIT)]}"
        rows.append({"first": text, "second": recoloured, "domain": "fruit"})
        rows.append({"first": text, "second": other, "domain": "colour"})
    return rows


def main() -> None:
    """Train on both domains, and ask each what is like a red apple."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="optimiser steps")
    steps = parser.parse_args().steps

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        likewise.train(
            "moe-cocitation",
            pairs(),
            out=out,
            steps=steps,
            encoder_layers=2,
            batch_size=12,
            head="none",
            normalise=True,
            temperature=0.05,
        )
        for domain in ("fruit", "colour"):
            model = likewise.load(out, domain=domain)
            apple, green_apple, red_lemon = model.encode(["a red apple", "a green apple", "a red lemon"])
            print(f"{domain}: a green apple {apple @ green_apple:.2f}, a red lemon {apple @ red_lemon:.2f}")


if __name__ == "__main__":
    main()
