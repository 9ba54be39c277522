"""Embeddings of what utterances do, and the flow of dialogs: from labelled utterances to a graph.

The dialogs come from a small grammar of booking a taxi. The model learns from single utterances with the name of their
action; then whole dialogs without any label become a graph. Shown are the actions that are found.

    python examples/dialog/dialog2flow.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import likewise

PLACES = ("the station", "the museum", "my hotel", "the airport", "queen street")
TIMES = ("at seven", "at half past nine", "now", "tomorrow at noon", "in an hour")
SAID = {
    "greet": ["hello taxi service how can i help", "good morning this is city taxi", "hi what can i do for you"],
    "inform destination": [f"{how} {place}" for how in ("i need a taxi to", "take me to") for place in PLACES],
    "request time": ["when shall the taxi come", "what time do you need it", "for which time please"],
    "inform time": [f"{how} {time}" for how in ("i would like it", "please send it") for time in TIMES],
    "inform success": [f"your taxi is booked it is a {colour} volvo" for colour in ("red", "blue", "grey")],
    "thank you": ["thank you that is all", "great thanks a lot", "perfect thank you bye"],
}
ORDER = ("greet", "inform destination", "request time", "inform time", "inform success", "thank you")


def dialogs(number: int) -> str:
    """Write dialogs, an empty line between two; in every third the time is said at once."""
    written = []
    for i in range(number):
        actions = [one for one in ORDER if i % 3 or one != "request time"]
        turns = [SAID[one][(i * 7 + k) % len(SAID[one])] for k, one in enumerate(actions)]
        users = {"inform destination", "inform time", "thank you"}
        lines = zip(actions, turns, strict=True)
        written.append("\n".join(f"{'Customer' if one in users else 'Agent'}: {text}" for one, text in lines))
    return "\n\n".join(written)


def main() -> None:
    """Train on utterances with actions, and extract the flow of dialogs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="optimiser steps")
    steps = parser.parse_args().steps

    rows = [{"utterance": text, "label": action} for action, several in SAID.items() for text in several]
    with tempfile.TemporaryDirectory() as folder:
        run, talks = Path(folder, "run"), Path(folder, "talks.txt")
        likewise.train(
            "dialog2flow", rows, out=run, steps=steps, encoder_layers=2, batch_size=16, lr=2e-5, progress=False
        )
        talks.write_text(dialogs(30), encoding="utf-8")
        nearest = likewise.use(run, "action", utterance="Could you drive me to the cinema?", k=1).rows[0]
        print(f"'Could you drive me to the cinema?' is nearest to: {nearest['action']}")
        flow = likewise.use(run, "flow", dialogs=str(talks), out=str(Path(folder, "flow")))
        print(", ".join(f"{name} {value}" for name, value in flow.figures.items()))
        for action in json.loads(Path(folder, "flow", "actions.json").read_text(encoding="utf-8")):
            print(f"{action['action']}, {action['count']} times: {action['utterances'][0]}")


if __name__ == "__main__":
    main()
