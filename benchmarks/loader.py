"""The loader: how long a million rows take to start, in how much memory, and how long training waits for batches.

Training waits for texts, and for pictures that are decoded and changed at random twice: photographs (made here, JPEG of
500 x 375 pixels, seen at 224), pictures of 32 x 32 pixels by a small network, and digits of 8 x 8 by two layers, for
which a view costs more than the network. Each with one worker beside the process that trains.
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

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
    waiting = {
        "texts": _waiting(
            "pairs",
            texts.pairs(128 * (steps + 1)),
            steps=steps,
            batch_size=128,
            max_tokens=64,
            encoder="all-MiniLM-L6-v2",
        ),
        **_waiting_for_pictures(steps),
    }
    print({"first": first, "again": again, "waiting": waiting})
    bars = [
        at_most(f"{rows:,} rows, first time: seconds to the first batch", first["seconds"], 5.0),
        at_most(f"{rows:,} rows, first time: MB", first["peak_mb"], 500),
        at_most(f"{rows:,} rows, again: seconds to the first batch", again["seconds"], 5.0),
        at_most(f"{rows:,} rows, again: MB", again["peak_mb"], 500),
        at_most("training with 1 worker: share of the time spent waiting for batches", waiting["texts"]["share"], 0.03),
        at_most("the same, photographs by resnet18", waiting["photographs"]["share"], 0.05),
        at_most("the same, pictures of 32 x 32 by resnet18-small", waiting["small pictures"]["share"], 0.05),
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


def _waiting_for_pictures(steps: int) -> dict[str, dict[str, float]]:
    """Train SimCLR on pictures of three sizes; towers are fresh."""
    with tempfile.TemporaryDirectory() as folder:
        photographs, small = Path(folder) / "photographs", Path(folder) / "small"
        _draw(photographs, 240, (500, 375))
        _draw(small, 2560, (32, 32))
        few = max(4, steps // 6)
        large = {"encoder": "timm:resnet18", "augment": "simclr", "batch_size": 16, "steps": few}
        return {
            "photographs": _waiting("simclr", str(photographs), **large),
            "small pictures": _waiting(
                "simclr", str(small), encoder="resnet18-small", image_size=32, augment="cifar", batch_size=64, steps=few
            ),
            "digits": _waiting(
                "simclr", "demo:digits", encoder="mlp-256-256", image_size=8, channels=1, augment="glyph",
                batch_size=128, steps=steps,
            ),
        }  # fmt: skip


def _draw(folder: Path, number: int, size: tuple[int, int]) -> None:
    """Write pictures of smooth random colours with a little noise, as costly to decode as photographs."""
    folder.mkdir()
    random = np.random.default_rng(0)
    width, height = size
    for place in range(number):
        smooth = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        noisy = np.asarray(smooth, dtype=np.int16) + random.integers(-12, 13, (height, width, 3), dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{place:04d}.jpg", quality=90)


def _waiting(method: str, data: Any, *, steps: int, **settings: Any) -> dict[str, float]:
    """Train for some steps with one worker, and return how the time was spent."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        likewise.train(
            method, data, out=out, progress=False, steps=steps, workers=1, checkpoint_every=steps, **settings
        )
        with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
            log = list(csv.DictReader(file))
    # The first batch waits for the worker to start; that is part of starting.
    waited = float(log[-1]["wait_seconds"]) - float(log[0]["wait_seconds"])
    worked = float(log[-1]["seconds"]) - float(log[0]["seconds"])
    return {"share": waited / (waited + worked), "wait_seconds": waited, "seconds": worked}
