"""What towers run instead of PyTorch's own on a processor: attention over short texts in bfloat16, and dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.side_by_side import Case, as_results, show, take_turns, threads
from benchmarks.stored import store
from likewise.encoders.dropout import dropout
from likewise.encoders.packing import packed_attention, runs_of

HEADS, WIDTH = 12, 32
"""Heads of all-MiniLM-L6-v2 and the length of a head's vectors."""


def run(rounds: Annotated[int, typer.Option(help="Timings of each contender.")] = 9) -> None:
    """Time both, print, and store."""
    cases = [
        *(
            _attention(length, texts, rounds, p)
            for p in (0.0, 0.1)
            for length, texts in ((12, 128), (32, 64), (64, 32))
        ),
        *(_dropout(dtype, rounds) for dtype in (torch.bfloat16, torch.float32)),
    ]
    show("forward and backward", cases, of="likewise")
    settings = {"heads": HEADS, "width": WIDTH, "rounds": rounds}
    print(store("kernels", [0], as_results(cases), threads=threads(), settings=settings))


def _attention(length: int, texts: int, rounds: int, probability: float) -> Case:
    """Compare texts of one length, so that both see the same tensors."""
    inputs = [torch.randn(1, HEADS, texts * length, WIDTH, dtype=torch.bfloat16).requires_grad_() for _ in range(3)]
    runs = runs_of(torch.full((texts,), length))

    def ours(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return packed_attention(nn.Module(), query, key, value, None, runs=runs, dropout=probability)[0]

    def theirs(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        parts = (x[0].unflatten(1, (texts, length)).transpose(0, 1) for x in (query, key, value))
        return F.scaled_dot_product_attention(*parts, dropout_p=probability)

    return take_turns(
        {"form": f"attention, bf16, dropout {probability}", "texts": texts, "tokens": length},
        {"likewise": _step(ours, inputs), "PyTorch": _step(theirs, inputs)},
        rounds=rounds,
        repeat=5,
    )


def _dropout(dtype: torch.dtype, rounds: int) -> Case:
    inputs = [torch.randn(1, 2048, HEADS * WIDTH, dtype=dtype).requires_grad_()]
    return take_turns(
        {"form": f"dropout, {str(dtype).removeprefix('torch.')}", "tokens": 2048, "width": HEADS * WIDTH},
        {
            "likewise": _step(lambda x: dropout(x, 0.1), inputs),
            "PyTorch": _step(lambda x: F.dropout(x, 0.1), inputs),
        },
        rounds=rounds,
        repeat=10,
    )


def _step(function: Callable[..., Tensor], inputs: list[Tensor]) -> Callable[[], object]:
    """Return a forward and backward pass."""

    def step() -> object:
        output = function(*inputs)
        return torch.autograd.grad(output, inputs, torch.ones_like(output))

    return step
