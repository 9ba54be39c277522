"""Peak memory of the symmetric loss, forward and backward, against the number of rows.

Each measurement is a process of its own. What is counted is the largest resident memory during the pass, above what
was resident before it (inputs included) and above the two gradients that it leaves.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.side_by_side import at_most, show_bars, threads
from benchmarks.stored import store

DIM = 384
SIZES = (1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)
WHOLE_UP_TO = 16_384
"""Most rows for the ways that hold all scores: a copy of them takes 1 GiB there and 4 GiB at the next size."""
TEMPERATURE = 0.05


def run(largest: Annotated[int, typer.Option(help="Most rows.")] = SIZES[-1]) -> None:
    """Measure every size once for each contender, print, and store."""
    results: list[dict[str, Any]] = []
    table = Table("N", "contender", "peak MB", "seconds", "one copy of the scores, MB")
    for n in (size for size in SIZES if size <= largest):
        for contender in ("likewise", "dense", "open_clip"):
            if contender != "likewise" and n > WHOLE_UP_TO:
                continue
            megabytes, seconds = in_a_process(_peak_of_loss, contender, n)
            results.append({"case": {"N": n, "D": DIM}, "contender": contender, "peak_mb": megabytes, "s": seconds})
            table.add_row(f"{n:,}", contender, f"{megabytes:,.0f}", f"{seconds:.2f}", f"{n * n * 4 / 2**20:,.0f}")
            print(results[-1])
    Console().print(table)
    last = next(r for r in reversed(results) if r["contender"] == "likewise")
    bars = [at_most(f"symmetric, N {last['case']['N']:,}, D {DIM}: peak MB above inputs and gradients",
                    last["peak_mb"], 500)]  # fmt: skip
    show_bars(bars)
    print(store("memory", [0], results, packages=("open_clip_torch",), threads=threads(),
                bars=[bar.as_dict() for bar in bars], settings={"dim": DIM, "temperature": TEMPERATURE}))  # fmt: skip


def in_a_process(function: Any, *arguments: Any) -> Any:
    """Call a function of a module in a fresh process and return what it returns."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__}{arguments} ended without a result") from None
    finally:
        process.join()


def _answer(connection: Connection, function: Any, arguments: tuple[Any, ...]) -> None:
    connection.send(function(*arguments))


class Peak:
    """The largest resident memory since this was made, above what was resident then (Linux)."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        self._before = _status("VmRSS")

    def megabytes(self) -> float:
        """Return the peak so far."""
        return (_status("VmHWM") - self._before) / 1024


def _status(name: str) -> int:
    """Return a figure of this process in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _peak_of_loss(contender: str, n: int) -> tuple[float, float]:
    import time

    import torch
    from torch.nn import functional as F

    from benchmarks.losses import dense
    from likewise.losses import info_nce

    def loss(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        if contender == "likewise":
            return info_nce(query, key, temperature=TEMPERATURE, symmetric=True).mean()
        if contender == "dense":
            return dense(query, key, symmetric=True)
        from open_clip.loss import ClipLoss

        result: torch.Tensor = ClipLoss()(query, key, torch.tensor(1 / TEMPERATURE))
        return result

    def rows(number: int, seed: int) -> torch.Tensor:
        made = torch.randn(number, DIM, generator=torch.Generator().manual_seed(seed))
        return F.normalize(made, dim=1).requires_grad_()

    loss(rows(64, 0), rows(64, 1)).backward()  # what a first call sets up
    query, key = rows(n, 0), rows(n, 1)
    peak = Peak()
    began = time.perf_counter()
    loss(query, key).backward()
    seconds = time.perf_counter() - began
    return peak.megabytes() - 2 * n * DIM * 4 / 2**20, seconds
