"""What the figures of geometry are in healthy spaces: the packaged encoder, and its first two layers, not yet trained.

Rows: 3,000 definitions of WordNet, each with one of its words as positive, drawn by a seed; the same for both.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.stored import store
from likewise.data import Column, Text, open_table
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder
from likewise.geometry.space import SpaceRows

ROWS = 3000
SEEDS = (0, 1, 2)
TEMPERATURES = (0.01, 0.05, 0.1, 0.5, 1.0)
SPACES = {
    "all-MiniLM-L6-v2": TextEncoderConfig(),
    "its first two layers, untrained": TextEncoderConfig(encoder_layers=2, pooling="mean"),
}


def run() -> None:
    """Describe both spaces once a seed, and store."""
    table = open_table("demo:wordnet", columns=(Column("query", Text), Column("positive", Text)))
    results: list[dict[str, Any]] = []
    for name, config in SPACES.items():
        encoder = load_text_encoder(config).served()
        for seed in SEEDS:
            rows = SpaceRows.draw(table, ("query", "positive"), roles={}, rows=ROWS, seed=seed)
            results.append({"arm": name, "seed": seed, "figures": _figures(encoder, rows)})
        print(name, {k: round(v, 3) for k, v in results[-1]["figures"].items()})
    means = {
        name: {
            figure: statistics.mean(run["figures"][figure] for run in results if run["arm"] == name)
            for figure in results[0]["figures"]
        }
        for name in SPACES
    }
    print(store("spaces", list(SEEDS), results, summary=means, settings={"rows": ROWS}, data={"origin": "WordNet 3.1"}))


def _figures(encoder: TextEncoder, rows: SpaceRows) -> dict[str, float]:
    """Return every figure, and those of the temperature at each of several."""
    sides = rows.encode(encoder, precision="fp32")
    figures = dict(rows.described(*sides).figures)
    for temperature in TEMPERATURES:
        at = rows.described(*sides, temperature=temperature).figures
        for name in ("effective_negatives", "effective_negatives_share"):
            figures[f"{name} at {temperature:g}"] = at[name]
    return figures
