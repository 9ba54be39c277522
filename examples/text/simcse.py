"""Sentence embeddings from bare sentences: the same sentence twice, told apart by dropout alone.

The sentences come from a small grammar. The encoder is the first two layers of the packaged one: as such a stump puts
all sentences into a narrow cone, it shows what the objective does, which is to spread them out.

    python examples/text/simcse.py
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import likewise
from likewise import geometry
from likewise.encoders import TextEncoderConfig, load_text_encoder

WHO = ("the old sailor", "a young doctor", "my neighbour", "the whole village", "a tired waiter", "our teacher")
WHAT = ("repairs", "paints", "sells", "remembers", "waits for", "photographs")
WHICH = ("a small boat", "the last train", "an empty house", "the market square", "a red bicycle", "the winter coat")
WHEN = ("every morning", "after the storm", "without a word", "for very little money")


def main() -> None:
    """Train on sentences, and look at the space and at neighbours before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="optimiser steps")
    steps = parser.parse_args().steps

    sentences = [" ".join(words) + "." for words in itertools.product(WHO, WHAT, WHICH, WHEN)]
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes.txt")
        notes.write_text("\n".join(sentences[::2]), encoding="utf-8")
        unseen = sentences[1::2]
        untrained = load_text_encoder(TextEncoderConfig(encoder_layers=2))
        model = likewise.train("simcse", notes, out=Path(folder, "run"), steps=steps, encoder_layers=2, lr=1e-4)
        for name, encoder in (("before", untrained), ("after", model)):
            vectors = encoder.encode(unseen)
            print(f"{name}: {geometry.one_line(geometry.summary(vectors))}")
            nearest = (vectors @ encoder.encode(["the physician is fixing her bike."])[0]).topk(3).indices
            for number in nearest.tolist():
                print(f"  {unseen[number]}")


if __name__ == "__main__":
    main()
