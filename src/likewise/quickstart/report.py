"""The page that shows what the quickstart did."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from likewise.report import Page, plots

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from likewise.quickstart.run import Quickstart
    from likewise.search import Hit

__all__ = ["next_commands", "write_report"]

_MEANING = {
    "recall@1": "share of a definition's words that come first",
    "recall@10": "share of a definition's words among the first ten",
    "mrr@10": "mean of 1 / rank of the first right word, 0 beyond the tenth",
}


def write_report(made: Quickstart, metrics: Path) -> None:
    """Write ``made.report``.

    Args:
        made: What the quickstart made.
        metrics: The run's ``metrics.csv``, for the training curve.
    """
    page = Page(
        "A reverse dictionary, before and after training",
        f"{made.num_queries:,} held-out definitions, each looking for its word among all {made.num_words:,} words of "
        f"WordNet. No held-out word, and no synonym of one, was in training. {made.seconds:.0f} seconds in all.",
    )
    page.section("Found")
    page.table(
        ["figure", "before", "after", "meaning"],
        [[name, f"{made.before[name]:.3f}", f"{made.after[name]:.3f}", _MEANING[name]] for name in made.before],
        numbers=["before", "after"],
    )
    page.section("Training curve")
    page.figure(
        _curve(metrics),
        caption="Loss of each step's batch, and the mean over nine steps around it.",
        alt="Loss of the training batches over the steps of training.",
    )
    page.section("Asked")
    for query, hits in made.queries.items():
        page.heading(f"“{query}”", level=3)
        page.table(
            ["word", "definition", "score"],
            [[hit.text, _first_definition(hit), f"{hit.score:.3f}"] for hit in hits],
            numbers=["score"],
        )
    page.section("The space in one line")
    page.table(["", "space"], list(made.geometry.items()))
    page.section("Next")
    page.code("\n".join(next_commands(made)))
    page.write(made.report)


def next_commands(made: Quickstart) -> tuple[str, str, str]:
    """Return the three commands to try next."""
    return (
        f'likewise search {made.index} "someone who steals from ships"',
        "likewise train pairs --data my.jsonl --columns query=question positive=answer --out runs/faq",
        f"likewise evaluate {made.model} --task retrieval --data demo:wordnet:dev",
    )


def _first_definition(hit: Hit) -> str:
    first, more, _ = str(hit.metadata["definitions"]).partition("; ")
    return f"{first}; ..." if more else first


def _curve(metrics: Path) -> Figure:
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    losses = [float(row["loss"]) for row in rows]
    series = [
        plots.Curve("loss", steps, losses, dash="dot"),
        plots.Curve("mean of 9", steps, _running_mean(losses, window=9)),
    ]
    return plots.curves(series, x="step", y="loss (nats)")


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    half = window // 2
    parts = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]
