"""Sentence embeddings from bare sentences of uneven length: equal length is no likeness, earlier batches are negatives.

The sentences come from a small grammar, half of them with an ending that makes them much longer. Shown is how alike the
encoder finds sentences that have nothing in common: those of one length, and those of different length.

    python examples/text/esimcse.py
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import likewise
from likewise.encoders import Embedder, TextEncoderConfig, load_text_encoder

WHO = ("the old sailor", "a young doctor", "my neighbour", "the whole village", "a tired waiter", "our teacher")
WHAT = ("repairs", "paints", "sells", "remembers", "waits for", "photographs")
WHICH = ("a small boat", "the last train", "an empty house", "the market square", "a red bicycle", "the winter coat")
ENDINGS = ("", " for very little money, although nobody in the street has ever asked for it or said a word of thanks")


def likeness(encoder: Embedder, some: list[str], others: list[str]) -> float:
    """Return the mean cosine of each of some sentences with each of others."""
    return float((encoder.encode(some) @ encoder.encode(others).T).mean())


def main() -> None:
    """Train on sentences, and look at pairs of unrelated ones before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="optimiser steps")
    steps = parser.parse_args().steps

    sentences = [" ".join(words) + end + "." for *words, end in itertools.product(WHO, WHAT, WHICH, ENDINGS)]
    sailor = [f"the old sailor {what} a small boat" for what in WHAT]
    teacher = [f"our teacher {what} the winter coat" for what in WHAT]
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes.txt")
        notes.write_text("\n".join(sentences), encoding="utf-8")
        untrained = load_text_encoder(TextEncoderConfig(encoder_layers=2))
        model = likewise.train("esimcse", notes, out=Path(folder, "run"), steps=steps, encoder_layers=2, lr=1e-4)
        for name, encoder in (("before", untrained), ("after", model)):
            alike = likeness(encoder, sailor, teacher)
            longer = likeness(encoder, sailor, [text + ENDINGS[1] for text in teacher])
            print(f"{name}: unrelated sentences of one length {alike:.2f}, of different length {longer:.2f}")


if __name__ == "__main__":
    main()
