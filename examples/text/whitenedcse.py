"""Sentence embeddings that use the whole space: views of a sentence whitened in shuffled groups.

The sentences come from a small grammar. Shown is how alike the encoder finds sentences that share nothing (a space that
is a narrow cone finds everything alike) and sentences that say nearly the same, before and after training.

    python examples/text/whitenedcse.py
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
WHEN = ("today", "every summer")


def likeness(encoder: Embedder, some: list[str], others: list[str]) -> float:
    """Return the mean cosine of sentence i of the one list with sentence i of the other."""
    return float((encoder.encode(some) * encoder.encode(others)).sum(dim=1).mean())


def main() -> None:
    """Train on sentences, and look at pairs of them before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps")
    steps = parser.parse_args().steps

    sentences = [" ".join(words) + "." for words in itertools.product(WHO, WHAT, WHICH, WHEN)]
    sailor = [f"the old sailor {what} a small boat" for what in WHAT]
    seaman = [f"an old seaman {what} a little boat" for what in WHAT]
    teacher = [f"our teacher {what} the winter coat" for what in (*WHAT[3:], *WHAT[:3])]
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes.txt")
        notes.write_text("\n".join(sentences), encoding="utf-8")
        untrained = load_text_encoder(TextEncoderConfig(encoder_layers=2))
        settings = {"steps": steps, "batch_size": 64, "groups": 64, "encoder_layers": 2, "lr": 1e-4}
        trained = likewise.train("whitenedcse", notes, out=Path(folder, "run"), **settings)
        for name, encoder in (("before", untrained), ("after", trained)):
            unlike, alike = (likeness(encoder, sailor, others) for others in (teacher, seaman))
            print(f"{name}: sentences that share nothing {unlike:.2f}, that say nearly the same {alike:.2f}")


if __name__ == "__main__":
    main()
