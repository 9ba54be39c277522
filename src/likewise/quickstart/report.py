"""One self-contained page that shows what the quickstart did; opens offline."""

from __future__ import annotations

import csv
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from likewise.quickstart.run import Quickstart
    from likewise.search import Hit

__all__ = ["write_report"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #667085; --line: #d9dee7; --accent: #2563eb; --page: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #344054; --accent: #7aa2ff; --page: #12161d }
}
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 54rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p.soft, td.soft { color: var(--soft) }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top } td.number, th.number { text-align: right;
  font-variant-numeric: tabular-nums }
td.word { width: 11rem }
@media (max-width: 36rem) { td.word { width: 6rem } }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; padding: .7rem; font-size: .9rem }
strong { color: var(--accent) }
"""


def write_report(made: Quickstart, metrics: Path) -> None:
    """Write ``made.report``.

    Args:
        made: What the quickstart made.
        metrics: The run's ``metrics.csv``, for the training curve.
    """
    body = [
        "<h1>A reverse dictionary, before and after training</h1>",
        f"<p class=soft>{made.num_queries:,} held-out definitions, each looking for its word among all "
        f"{made.num_words:,} words of WordNet. No held-out word, and no synonym of one, was in training. "
        f"{made.seconds:.0f} seconds in all.</p>",
        "<h2>Found</h2>",
        _before_after(made),
        "<h2>Training curve</h2>",
        _curve(metrics),
        "<h2>Asked</h2>",
        *(_answers(query, hits) for query, hits in made.queries.items()),
        "<h2>The space in one line</h2>",
        f"<p><span class=soft>before</span> {html.escape(made.geometry['before'])}</p>",
        f"<p><span class=soft>after</span> {html.escape(made.geometry['after'])}</p>",
        "<h2>Next</h2>",
        f"<pre>{html.escape(chr(10).join(next_commands(made)))}</pre>",
    ]
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>likewise quickstart</title><style>{_STYLE}</style><body>{''.join(body)}</body></html>"
    )
    made.report.write_text(page, encoding="utf-8")


def next_commands(made: Quickstart) -> tuple[str, str, str]:
    """Return the three commands to try next."""
    return (
        f'likewise search {made.index} "someone who steals from ships"',
        "likewise train pairs --data my.jsonl --columns query=question positive=answer --out runs/faq",
        f"likewise evaluate {made.model} --task retrieval --data demo:wordnet:dev",
    )


def _before_after(made: Quickstart) -> str:
    meaning = {
        "recall@1": "share of a definition's words that come first",
        "recall@10": "share of a definition's words among the first ten",
        "mrr@10": "mean of 1 / rank of the first right word, 0 beyond the tenth",
    }
    rows = "".join(
        f"<tr><td>{name}</td><td class=soft>{meaning[name]}</td><td class=number>{made.before[name]:.3f}</td>"
        f"<td class=number><strong>{made.after[name]:.3f}</strong></td></tr>"
        for name in made.before
    )
    head = "<tr><th>figure</th><th></th><th class=number>before</th><th class=number>after</th></tr>"
    return f"<table>{head}{rows}</table>"


def _answers(query: str, hits: Iterable[Hit]) -> str:
    rows = "".join(
        f"<tr><td class=word>{html.escape(hit.text)}</td><td class=soft>{html.escape(_first_definition(hit))}</td>"
        f"<td class=number>{hit.score:.3f}</td></tr>"
        for hit in hits
    )
    return f"<p>&ldquo;{html.escape(query)}&rdquo;</p><table>{rows}</table>"


def _first_definition(hit: Hit) -> str:
    first, more, _ = str(hit.metadata["definitions"]).partition("; ")
    return f"{first}; ..." if more else first


def _curve(metrics: Path) -> str:
    import plotly.graph_objects as go

    with metrics.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    losses = [float(row["loss"]) for row in rows]
    smooth = _running_mean(losses, window=9)
    figure = go.Figure()
    figure.add_scatter(x=steps, y=losses, mode="lines", name="loss", line={"color": "rgba(37,99,235,0.3)"})
    figure.add_scatter(x=steps, y=smooth, mode="lines", name="mean of 9", line={"color": "rgb(37,99,235)"})
    grid = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False}
    figure.update_layout(
        height=320,
        margin={"l": 50, "r": 10, "t": 10, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7a8699"},
        xaxis={"title": "step", **grid},
        yaxis={"title": "loss (nats)", **grid},
        legend={"orientation": "h", "y": 1.08},
    )
    drawn: str = figure.to_html(
        full_html=False, include_plotlyjs=True, config={"displayModeBar": False, "responsive": True}
    )
    return drawn


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    half = window // 2
    parts = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]
