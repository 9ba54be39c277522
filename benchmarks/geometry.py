"""Time and peak memory of describing a space, on a sample of its rows and on all pairs; and the cost of a look.

Each measurement is a process of its own. What is counted is the largest resident memory while the space is described,
above what was resident before it (the vectors included).
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.memory import Peak, in_a_process
from benchmarks.side_by_side import at_most, show_bars, threads
from benchmarks.stored import store

DIM = 384
SAMPLE = 10_000
"""Rows that figures over pairs are computed on, unless all are asked for."""


def run(
    largest: Annotated[int, typer.Option(help="Most rows, figures over pairs on a sample of them.")] = 100_000,
    whole: Annotated[int, typer.Option(help="Most rows of which all pairs are looked at.")] = 100_000,
) -> None:
    """Describe random rows and the space of an encoder, print, and store."""
    results: list[dict[str, Any]] = []
    peaks: dict[str, float] = {}
    table = Table("rows", "pairs of", "seconds", "peak MB")
    for rows, max_rows in ((largest, SAMPLE), (whole, whole)):
        seconds, megabytes = in_a_process(_describe, rows, max_rows)
        case = {"form": "describe", "rows": rows, "pairs of rows": max_rows}
        results.append({"case": case, "seconds": {"likewise": [seconds]}})
        peaks[f"{rows} rows, pairs of {max_rows}"] = megabytes
        table.add_row(f"{rows:,}", f"{max_rows:,}", f"{seconds:.1f}", f"{megabytes:,.0f}")
    looked = in_a_process(_look, 1000)
    results.append({"case": {"form": "a look in training", "pairs": 1000}, "seconds": {"likewise": [looked]}})
    table.add_row("1,000 pairs of WordNet, encoded", "1,000", f"{looked:.1f}", "-")
    Console().print(table)
    vectors, scores = largest * DIM * 4 / 2**20, whole * whole * 4 / 2**20
    bars = [
        at_most(f"describe, {largest:,} rows, pairs of {SAMPLE:,}: peak MB above the vectors, for each MB of them",
                peaks[f"{largest} rows, pairs of {SAMPLE}"] / vectors, 5),
        at_most(f"describe, {whole:,} rows, all pairs: peak MB above the vectors (the scores: {scores:,.0f})",
                peaks[f"{whole} rows, pairs of {whole}"], 400),
    ]  # fmt: skip
    show_bars(bars)
    print(store("geometry", [0], results, threads=threads(), peak_mb=peaks, bars=[bar.as_dict() for bar in bars],
                settings={"dim": DIM, "encoder": "all-MiniLM-L6-v2"}))  # fmt: skip


def _rows(count: int) -> Tensor:
    """Vectors in groups, so that neighbours are near."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(count // 20, DIM, generator=random)
    return centres[torch.arange(count) % len(centres)] + torch.randn(count, DIM, generator=random)


def _describe(count: int, max_rows: int) -> tuple[float, float]:
    from likewise.geometry import describe

    describe(_rows(100))  # what a first call sets up
    rows = _rows(count)
    peak = Peak()
    began = time.perf_counter()
    describe(rows, max_rows=max_rows)
    return time.perf_counter() - began, peak.megabytes()


def _look(count: int) -> float:
    """Return the seconds of a look at a space of pairs: encoding and describing."""
    import likewise
    from likewise.data import Column, Text, open_table
    from likewise.geometry.space import SpaceRows

    table = open_table("demo:wordnet", columns=(Column("query", Text), Column("positive", Text)))
    model = likewise.load("all-MiniLM-L6-v2")
    rows = SpaceRows.draw(table, ("query", "positive"), roles={}, rows=count, seed=0)
    rows.described(*rows.encode(model), temperature=0.05)
    began = time.perf_counter()
    rows.described(*rows.encode(model), temperature=0.05)
    return time.perf_counter() - began
