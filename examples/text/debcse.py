"""Sentence embeddings from a corpus that says things twice: words in common are no proof of meaning.

The corpus comes from a small grammar in which every thought is said in two ways, and many thoughts share their words.
Shown are the pairs that were drawn, and how far words in common sway the model: 0 where they do not matter beyond what
the sentences mean.

    python examples/text/debcse.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import likewise
from likewise.encoders import TextEncoderConfig, load_text_encoder

WHO = (("The old sailor", "A seaman of many years"), ("My neighbour", "The person next door"),
       ("The young doctor", "A physician of few years"), ("The waiter", "The man who serves"))  # fmt: skip
DOES = (("buys", "pays for"), ("sells", "gives away for money"), ("paints", "puts colour on"), ("repairs", "mends"))
WHAT = (("a small boat", "a little ship"), ("a house", "a home"), ("a bicycle", "a bike"))


def main() -> None:
    """Train on the corpus, show pairs, and measure the bias before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps")
    steps = parser.parse_args().steps

    thoughts = list(itertools.product(WHO, DOES, WHAT))
    said = [[" ".join(part[way] for part in thought) + "." for thought in thoughts] for way in (0, 1)]
    scored = [
        {"score": sum(a == b for a, b in zip(one, other, strict=True)), "sentence1": said[0][i], "sentence2": side[j]}
        for (i, one), (j, other) in itertools.product(enumerate(thoughts[:12]), enumerate(thoughts))
        for side in said
    ]
    with tempfile.TemporaryDirectory() as folder:
        corpus, pairs, run = Path(folder, "corpus.txt"), Path(folder, "pairs.jsonl"), Path(folder, "run")
        corpus.write_text("\n".join([*said[0], *said[1]]), encoding="utf-8")
        pairs.write_text("".join(json.dumps(row) + "\n" for row in scored), encoding="utf-8")
        untrained = Path(folder, "untrained")
        load_text_encoder(TextEncoderConfig(encoder_layers=2)).served().save(untrained)
        likewise.train("debcse", corpus, out=run, steps=steps, batch_size=32, encoder_layers=2, lr=1e-4)
        for line in (run / "prepared" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[:3]:
            row = json.loads(line)
            print(f"{row['text']}  + {row['positive']}  - {row['negative']}")
        for name, model in (("before", untrained), ("after", run)):
            figures = likewise.use(model, "bias", data=str(pairs)).figures
            print(f"{name}: quality {figures['spearman']:.2f}, bias of shared words {figures['overlap']:.2f}")


if __name__ == "__main__":
    main()
