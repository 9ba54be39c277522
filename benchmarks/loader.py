"""The loader: how long a million rows take to start, in how much memory, and how long training waits for batches."""

from __future__ import annotations

import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

import likewise
from benchmarks import texts
from benchmarks.memory import Peak, in_a_process
from benchmarks.side_by_side import at_most, show_bars, threads
from benchmarks.stored import store


def run(
    rows: Annotated[int, typer.Option(help="Rows of the large file.")] = 1_000_000,
    steps: Annotated[int, typer.Option(help="Steps of the training that is watched.")] = 60,
) -> None:
    """Open a large file twice, train with one worker, print, and store."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        source = texts.pairs(20_000)
        with path.open("w", encoding="utf-8") as file:
            for number in range(rows):
                row = source[number % len(source)]
                file.write(
                    json.dumps({"query": f"{row['query']} ({number})", "positive": f"{row['positive']} {number}"})
                )
                file.write("\n")
        first = in_a_process(_start, path)
        again = in_a_process(_start, path)
    waiting = _waiting(steps)
    print({"first": first, "again": again, "waiting": waiting})
    bars = [
        at_most(f"{rows:,} rows, first time: seconds to the first batch", first["seconds"], 5.0),
        at_most(f"{rows:,} rows, first time: MB", first["peak_mb"], 500),
        at_most(f"{rows:,} rows, again: seconds to the first batch", again["seconds"], 5.0),
        at_most(f"{rows:,} rows, again: MB", again["peak_mb"], 500),
        at_most("training with 1 worker: share of the time spent waiting for batches", waiting["share"], 0.03),
    ]
    show_bars(bars)
    print(store("loader", [0], [{"first": first, "again": again, "waiting": waiting}], threads=threads(),
                bars=[bar.as_dict() for bar in bars], settings={"rows": rows, "steps": steps}))  # fmt: skip


def _start(path: Path) -> dict[str, float]:
    """Return how long it takes from the file to the first batch, and the memory above what was imported."""
    from likewise.data import open_table
    from likewise.methods import get_method
    from likewise.sampling import BatchLoader, plan_batches

    kind = get_method("pairs")
    method = kind(kind.config_type(), texts.encoder(64))
    views = method.views()
    peak = Peak()
    began = time.perf_counter()
    table = open_table(path, columns=kind.columns)
    plan = plan_batches(table, 128, seed=0, min_rows=2, keep_apart=kind.keep_apart)
    next(iter(BatchLoader(table, views, plan, workers=0)))
    return {"seconds": time.perf_counter() - began, "peak_mb": peak.megabytes()}


def _waiting(steps: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        likewise.train("pairs", texts.pairs(128 * (steps + 1)), out=out, progress=False, batch_size=128, steps=steps,
                       max_tokens=64, workers=1, checkpoint_every=steps)  # fmt: skip
        with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
            log = list(csv.DictReader(file))
    # The first batch waits for the worker to start; that is part of starting.
    waited = float(log[-1]["wait_seconds"]) - float(log[0]["wait_seconds"])
    worked = float(log[-1]["seconds"]) - float(log[0]["seconds"])
    return {"share": waited / (waited + worked), "wait_seconds": waited, "seconds": worked}
