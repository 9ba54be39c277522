"""Exact nearest neighbours: ``pairwise.topk`` against faiss, on the same threads."""

from __future__ import annotations

from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.nn import functional as F

from benchmarks.memory import Peak, in_a_process
from benchmarks.side_by_side import Case, as_results, at_most, show, show_bars, take_turns, threads
from benchmarks.stored import store
from likewise import pairwise

DIM, K = 384, 10


def run(
    rounds: Annotated[int, typer.Option(help="Timings of each contender and size.")] = 3,
    largest: Annotated[int, typer.Option(help="Most rows.")] = 100_000,
) -> None:
    """Find ten neighbours of every row among all rows, print, and store."""
    cases = [_search(n, rounds) for n in (10_000, 30_000, 100_000) if n <= largest]
    show("ten neighbours of every row", cases, of="likewise")
    megabytes = {n: in_a_process(_peak_of_topk, n) for n in (25_000, largest)}
    print("peak MB above inputs and results:", megabytes)
    last = cases[-1]
    bars = [
        at_most(f"topk, {last.case['rows']:,} rows: times faiss", last.ratio("likewise", "faiss"), 1.3),
        at_most(f"topk with a mask, {last.case['rows']:,} rows: times faiss", last.ratio("not itself", "faiss"), 1.3),
        at_most(f"topk, {largest:,} rows: peak MB", megabytes[largest], 100),
    ]
    show_bars(bars)
    print(store("neighbours", [0], as_results(cases), packages=("faiss-cpu",), threads=threads(), peak_mb=megabytes,
                bars=[bar.as_dict() for bar in bars], settings={"dim": DIM, "k": K}))  # fmt: skip


def _rows(n: int) -> Tensor:
    """Unit vectors in groups, so that neighbours are near."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(n // 20, DIM, generator=random)
    return F.normalize(centres[torch.arange(n) % len(centres)] + torch.randn(n, DIM, generator=random), dim=1)


def _not_itself(row: pairwise.Side, column: pairwise.Side) -> Tensor:
    return row.index != column.index


def _search(n: int, rounds: int) -> Case:
    import faiss

    faiss.omp_set_num_threads(threads())
    rows = _rows(n)
    index = faiss.IndexFlatIP(DIM)
    index.add(rows.numpy())
    scores, _ = pairwise.topk(rows[:2000], rows, K)
    expected, _ = index.search(rows[:2000].numpy(), K)
    torch.testing.assert_close(scores, torch.from_numpy(expected), rtol=1e-4, atol=1e-5)
    return take_turns(
        {"form": f"{K} neighbours", "rows": n, "D": DIM},
        {
            "likewise": lambda: pairwise.topk(rows, rows, K),
            "not itself": lambda: pairwise.topk(rows, rows, K, mask_mod=_not_itself),
            "faiss": lambda: index.search(rows.numpy(), K),
        },
        rounds=rounds,
        warm_up=0,
    )


def _peak_of_topk(n: int) -> float:
    pairwise.topk(_rows(1000), _rows(1000), K)
    rows = _rows(n)
    peak = Peak()
    pairwise.topk(rows, rows[: min(n, 25_000)], K)
    return peak.megabytes() - n * K * 12 / 2**20
