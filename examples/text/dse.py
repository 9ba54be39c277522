"""From a teacher that reads pairs to a student that embeds each text once: train both, compare, and rank candidates.

The pairs come from a small grammar, labelled by whether the second sentence speaks of the same person. The student gets
the teacher's scores alone, no label.

    python examples/text/dse.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import likewise

WHO = ("a doctor", "a sailor", "a waiter", "a teacher", "a farmer", "a baker")
WHAT = ("paints a boat", "waits for the train", "sells a house", "sings in the rain", "repairs a clock")


def pairs() -> list[dict[str, Any]]:
    """Return every sentence with somebody it speaks of, and with somebody else."""
    random = np.random.default_rng(0)
    made = []
    for who, what in itertools.product(WHO, WHAT):
        other = random.choice([one for one in WHO if one != who])
        made += [
            {"a": f"{who} {what}", "b": f"it is {who}", "label": 1},
            {"a": f"{who} {what}", "b": f"it is {other}", "label": 0},
        ]
    return [made[place] for place in random.permutation(len(made))]


def main() -> None:
    """Train a teacher on labels and a student on the teacher; score pairs and rank candidates with both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps of each model")
    steps = parser.parse_args().steps

    rows = pairs()
    small: dict[str, Any] = {"steps": steps, "encoder_layers": 2, "lr": 3e-4, "batch_size": 16}
    with tempfile.TemporaryDirectory() as folder:
        held_out, candidates = Path(folder, "held-out.jsonl"), Path(folder, "candidates.txt")
        held_out.write_text("".join(json.dumps(row) + "\n" for row in rows[:20]), encoding="utf-8")
        candidates.write_text("".join(f"it is {who}\n" for who in WHO), encoding="utf-8")
        teacher, student = Path(folder, "teacher"), Path(folder, "student")
        likewise.train("cross-encoder", rows[20:], out=teacher, **small)
        unlabelled = [{"a": row["a"], "b": row["b"]} for row in rows[20:]]
        likewise.train("dse", unlabelled, out=student, teacher=str(teacher), alpha=1.0, head_dims=(64,), **small)

        found = likewise.use(student, "score", data=str(held_out), teacher=str(teacher)).figures
        print(f"teacher: {found['teacher_accuracy']:.0%} of {found['pairs']} unseen pairs")
        print(f"student: {found['accuracy']:.0%}, with {found['encoder_passes']} encoder passes")
        best = likewise.use(student, "score", data=str(candidates), query="a sailor sings in the rain", k=2)
        for row in best.rows:
            print(f"{row['score']:6.2f}  {row['text']}")


if __name__ == "__main__":
    main()
