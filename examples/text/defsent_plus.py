"""A reverse dictionary of one's own terms: from a description in other words to the term, and new terms untrained.

The glossary is written in the file; a real one has thousands of entries. One definition of each term is trained on, and
the terms are looked up by descriptions that were not. Then two terms are added to the trained model.

    python examples/text/defsent_plus.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import likewise

GLOSSARY = """\
churn\tthe share of customers who leave within a month
cold start\tthe time in which nothing is known about a new user
backlog\twork that is agreed on and has not been begun
burn rate\thow much money a company spends in a month
canary release\ta new version that only a few users get at first
dark pattern\ta page that is made to mislead those who use it
dogfooding\tusing one's own product in daily work
feature flag\ta switch that turns a part of a program on without a new version
greenfield project\twork that begins without anything old to respect
hot fix\ta small change that is published at once because something is broken
lead time\tdays between an order and its delivery
long tail\tthe many things that are asked for only rarely
mean time to recovery\thow long it takes on average until a failed service works again
on call\tready to be woken at night if a service fails
paywall\twhat keeps articles from readers who have not paid
runway\tmonths until the money of a company is spent
single point of failure\ta part whose breakdown stops everything
technical debt\tshortcuts in a program that make later changes slow
vendor lock-in\tbeing unable to leave a supplier without great cost
walled garden\ta service that lets nothing in from outside
"""
ASKED = {
    "how many clients we lose every month": "churn",
    "shortcuts in the code that slow us down later": "technical debt",
    "how long the company can go on before its money is spent": "runway",
    "a change published at once since something broke": "hot fix",
    "a new version for a few of the users at first": "canary release",
}
NEW = """\
bus factor\thow many people may leave before nobody knows how things work
yak shaving\tsmall tasks that have to be done before the real one can begin
"""


def main() -> None:
    """Train on a glossary, look things up, and add two terms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps")
    steps = parser.parse_args().steps

    with tempfile.TemporaryDirectory() as folder:
        glossary, new, model = Path(folder, "glossary.txt"), Path(folder, "new.txt"), Path(folder, "model")
        glossary.write_text(GLOSSARY, encoding="utf-8")
        new.write_text(NEW, encoding="utf-8")
        likewise.train(
            "defsent-plus", f"dictionary:{glossary}", out=model, steps=steps, batch_size=10, encoder_layers=3
        )
        for description, term in ASKED.items():
            found = [row["entry"] for row in likewise.use(model, "lookup", text=description, k=3).rows]
            print(f"{description}: {', '.join(found)} (meant: {term})")
        added = likewise.use(model, "add-entries", file=f"dictionary:{new}").figures
        asked = "the number of people who may go until no one knows it all"
        nearest = likewise.use(model, "lookup", text=asked, k=1).rows[0]
        print(f"{added['entries']} terms; one that was added: {nearest['entry']}")


if __name__ == "__main__":
    main()
