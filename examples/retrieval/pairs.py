"""Teach an encoder the names of one house: from what people ask for to what it is called there.

No pretrained model can know that "Otter" is where holidays are booked. Each system here is asked for in several ways;
the model learns from some of them and is measured on a way of asking that it has not seen.

    python examples/retrieval/pairs.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import likewise
from likewise.data import RetrievalData
from likewise.evaluation import retrieval

SYSTEMS = {
    "Otter": ("book a holiday", "request days off"),
    "Falcon": ("hand in travel receipts", "get my expenses paid back"),
    "Heron": ("report a broken laptop", "ask for a new screen"),
    "Badger": ("open the office door", "get an access card"),
    "Lynx": ("reserve a meeting room", "find a place for twelve people"),
    "Marten": ("read my payslip", "see what I earned in March"),
    "Osprey": ("release a new version", "put code into production"),
    "Weasel": ("search old contracts", "find a signed agreement"),
    "Bison": ("order paper and pens", "get office supplies"),
    "Ibex": ("sign up for a course", "learn a language at work"),
    "Puffin": ("write to all customers", "send the newsletter"),
    "Stoat": ("see how many people visited the site", "look at web traffic"),
}
ASKING = ("Where do I {}?", "I want to {}.", "How can I {}?", "Which system lets me {}?", "{}")
HELD_OUT = "A new colleague would like to {}; what is it called here?"


def main() -> None:
    """Train on known ways of asking, measure on another one, and search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
    steps = parser.parse_args().steps

    needs = [(need, name) for name, told in SYSTEMS.items() for need in told]
    rows = [{"query": form.format(need), "positive": name} for need, name in needs for form in ASKING]
    held_out = RetrievalData(
        corpus={name: name for name in SYSTEMS},
        queries={need: HELD_OUT.format(need) for need, _ in needs},
        relevant={need: {name} for need, name in needs},
    )
    before = retrieval(likewise.load("all-MiniLM-L6-v2"), held_out, metrics=["hit@1"], bootstrap=0)
    with tempfile.TemporaryDirectory() as folder:
        model = likewise.train("pairs", rows, out=Path(folder, "run"), steps=steps, batch_size=12, lr=1e-4)
        after = retrieval(model, held_out, metrics=["hit@1"], bootstrap=0)
        print(f"right system first: {before.metrics['hit@1']:.2f} before, {after.metrics['hit@1']:.2f} after")

        index = likewise.Index.create(Path(folder, "index"), model, [{"text": name} for name in SYSTEMS])
        for hit in index.search("my keyboard does not work", k=3):
            print(f"{hit.score:.3f}  {hit.text}")


if __name__ == "__main__":
    main()
