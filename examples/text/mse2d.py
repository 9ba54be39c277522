"""One model, every size: train on pairs once, then run fewer layers and keep fewer numbers of each embedding.

The pairs come from a small grammar that says a thing in two ways. Shown is how often the nearest of all texts is the
right one, at each depth and width, before and after training.

    python examples/text/mse2d.py
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import likewise
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder

WHO = {"the doctor": "a physician", "my neighbour": "the man next door", "our teacher": "the lady who gives lessons"}
WHAT = {"repairs": "mends", "buys": "pays for", "cannot find": "is looking in vain for", "paints": "brings colour to"}
WHICH = {"the car": "an automobile", "a couch": "the sofa", "the lamp": "a light", "a bike": "the bicycle"}


def found(model: TextEncoder, rows: list[dict[str, str]], layers: int, dims: int) -> float:
    """Return the share of rows whose positive is the nearest of all."""
    small = model.truncated(layers, dims)
    query, positive = (small.encode([row[side] for row in rows]) for side in ("query", "positive"))
    return float(((query @ positive.T).argmax(1).cpu() == query.new_tensor(range(len(rows)))).float().mean())


def main() -> None:
    """Train on half of the pairs, and look at the other half in several sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="optimiser steps")
    steps = parser.parse_args().steps

    ways = itertools.product(WHO.items(), WHAT.items(), WHICH.items())
    rows = [{"query": " ".join(way[0] for way in one), "positive": " ".join(way[1] for way in one)} for one in ways]
    train, test = rows[::2], rows[1::2]
    untrained = load_text_encoder(TextEncoderConfig(encoder_layers=4))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        likewise.train("2dmse", train, out=out, steps=steps, encoder_layers=4, batch_size=12, lr=1e-4, progress=False)
        model = load_text_encoder(out)
        for layers, dims in itertools.product((1, 2, 4), (16, 384)):
            before, after = (found(one, test, layers, dims) for one in (untrained, model))
            print(f"{layers} layers, {dims:3} numbers: right {before:.2f} before, {after:.2f} after training")


if __name__ == "__main__":
    main()
