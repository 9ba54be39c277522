"""Sentence embeddings from triples of which a part is wrong: what the curation finds, what is learned from the rest.

The triples come from a small grammar: a sentence, the same said another way, and a sentence of something else. In three
of ten, positive and negative have changed places, as a language model may write them. Shown is what the curation says
of them, the reasons it gives, and how alike the trained model finds right and wrong pairs.

    python examples/text/multicsr.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
from pathlib import Path

import likewise
from likewise.encoders import Embedder

WHO = ("the old sailor", "a young doctor", "my neighbour", "a tired waiter", "our teacher")
WHAT = (("repairs", "repaired"), ("paints", "painted"), ("sells", "sold"), ("photographs", "photographed"))
WHICH = ("a small boat", "the last train", "an empty house", "a red bicycle", "the winter coat")
SWAPPED = 0.3


def triples() -> list[dict[str, str]]:
    """Make triples, and swap a part of them."""
    facts = list(itertools.product(WHO, WHAT, WHICH))
    draw = random.Random(0)  # noqa: S311 - nothing secret
    rows = []
    for who, (does, done), which in facts:
        positive = f"{which} is {done} by {who}"
        someone, (_, otherwise), something = draw.choice([fact for fact in facts if not {who, which} & {*fact}])
        negative = f"{something} is {otherwise} by {someone}"
        if draw.random() < SWAPPED:
            positive, negative = negative, positive
        rows.append({"text": f"{who} {does} {which}", "positive": positive, "negative": negative})
    return rows


def likeness(encoder: Embedder, pairs: list[tuple[str, str]]) -> float:
    """Return the mean cosine of pairs."""
    first, second = (encoder.encode([pair[side] for pair in pairs]) for side in (0, 1))
    return float((first * second).sum(dim=1).mean())


def main() -> None:
    """Train on what is left of the triples, and look at what was made of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps")
    steps = parser.parse_args().steps

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        model = likewise.train("multicsr", triples(), out=run, steps=steps, batch_size=32, encoder_layers=2)
        kept = [json.loads(line) for line in (run / "prepared" / "curated.jsonl").read_text().splitlines()]
        right = likeness(model, [(row["text"], row["positive"]) for row in kept])
        wrong = likeness(model, [(row["text"], row["negative"]) for row in kept])
        print("one of them:", json.dumps(kept[0], indent=1))
        print(f"cosine of right pairs {right:.2f}, of wrong ones {wrong:.2f}")


if __name__ == "__main__":
    main()
