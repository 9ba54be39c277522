"""Two languages without translations: documents are read side by side, and each language is calibrated.

The second language is English written backwards, so that no word is shared and the truth is known. Documents of either
are short descriptions; no document is said in both. Shown is how many of a hundred sentences find themselves in the
other language: as trained, and after `calibrate` (shift and scale; then turned by translations of forty others).

    python examples/text/ccp.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np

import likewise
from likewise.evaluation import get_task

SUBJECTS = ("harbour", "kitchen", "station", "garden", "library", "workshop", "forest", "school")
SAID = ("the {} lies {} of the town", "many people come to the {} {} of here", "the {} is {} of the river",
        "nobody works in the {} {} of the bridge", "on sundays the {} {} of the church is empty")  # fmt: skip
WHERE = ("north", "south", "east", "west")


def backwards(text: str) -> str:
    """Write every word from its end."""
    return " ".join(word[::-1] for word in text.split())


def main() -> None:
    """Train on documents of two languages, calibrate, and look each sentence up in the other language."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps")
    steps = parser.parse_args().steps

    random = np.random.default_rng(0)
    documents = []
    for number, (subject, where) in enumerate(itertools.product(SUBJECTS * 6, WHERE)):
        sentences = [SAID[place].format(subject, where) for place in random.permutation(len(SAID))]
        language = ("en", "ne")[number % 2]
        documents.append({"sentences": [*map(backwards, sentences)] if language == "ne" else sentences,
                          "language": language})  # fmt: skip
    texts = [said.format(*words) for said, words in itertools.product(SAID, itertools.product(SUBJECTS, WHERE))]
    texts = [texts[place] for place in random.permutation(len(texts))]
    pairs = [{"source": backwards(text), "target": text, "language": "ne"} for text in texts]
    measured, known = pairs[:100], pairs[100:140]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, anchors = folder / "documents.jsonl", folder / "anchors.jsonl"
        data.write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")
        anchors.write_text("\n".join(map(json.dumps, known)), encoding="utf-8")
        likewise.train(
            "ccp", data, out=folder / "run", steps=steps, batch_size=32, bank_size=64, encoder_layers=2, lr=1e-4
        )
        likewise.use(folder / "run", "calibrate", data=str(data), out=str(folder / "moved"))
        likewise.use(folder / "run", "calibrate", data=str(data), out=str(folder / "turned"), rotate="procrustes",
                     anchors=str(anchors))  # fmt: skip
        bitext = get_task("bitext")
        opened = bitext.open(measured)
        for what, model, source, target in (
            ("as trained", "run", None, None),
            ("shift and scale", "moved", "ne", "en"),
            ("and turned", "turned", "ne", "en"),
        ):
            found = bitext.measure(
                likewise.load(folder / model), opened, bootstrap=0, source_domain=source, target_domain=target
            )
            print(f"{what}: {found.metrics['accuracy']:.0%} of the sentences find themselves in the other language")


if __name__ == "__main__":
    main()
