"""A pass in parts of an eighth of the batch: time and memory against the whole pass and against the Cached loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer

from benchmarks import texts
from benchmarks.memory import Peak, in_a_process
from benchmarks.side_by_side import as_results, at_least, at_most, show, show_bars, take_turns, threads
from benchmarks.stored import store
from likewise.encoders.precision import resolve_precision
from likewise.methods import get_method

MAX_TOKENS, TEMPERATURE = 64, 0.05
OURS = {"whole": None, "in parts": 8, "whole fp32": None, "in parts fp32": 8}


def run(
    rounds: Annotated[int, typer.Option(help="Timings of each contender.")] = 3,
    batch: Annotated[int, typer.Option(help="Rows of a batch.")] = 1024,
) -> None:
    """Time a forward and backward pass over one batch, measure its memory, print, and store."""
    rows = texts.pairs(batch)
    contenders: dict[str, Callable[[], object]] = {name: _ours(rows, name) for name in OURS}
    contenders["sentence-transformers whole"] = _theirs(rows, None)
    contenders["sentence-transformers cached"] = _theirs(rows, batch // 8)
    case = take_turns({"form": "forward and backward", "batch": batch, "part": batch // 8}, contenders, rounds=rounds)
    show("a pass in parts", [case], of="whole")
    megabytes = {name: in_a_process(_peak, name, batch) for name in (*OURS, "cached")}
    print("activations, MB:", {name: round(value) for name, value in megabytes.items()})
    bars = [
        at_most("an eighth of the batch at a time: times the whole pass", case.ratio("in parts", "whole"), 1.35),
        at_most("the same in fp32", case.ratio("in parts fp32", "whole fp32"), 1.35),
        at_most("activation memory: share of the whole pass", megabytes["in parts"] / megabytes["whole"], 0.2),
        at_least(
            "an eighth at a time: Cached loss of sentence-transformers / likewise",
            case.ratio("sentence-transformers cached", "in parts"),
            1.5,
        ),
        at_least(
            "the same in fp32",
            case.ratio("sentence-transformers cached", "in parts fp32"),
            1.5,
        ),
    ]
    show_bars(bars)
    path = store(
        "micro_batch",
        [0],
        as_results([case]),
        threads=threads(),
        bars=[bar.as_dict() for bar in bars],
        activation_mb=megabytes,
        tokens={name: texts.lengths([row[name] for row in rows], MAX_TOKENS) for name in ("query", "positive")},
    )
    print(path)


def _ours(rows: list[dict[str, str]], name: str) -> Callable[[], object]:
    """Return a pass of ``pairs`` as the training loop makes it."""
    import numpy as np

    kind = get_method("pairs")
    method = kind(kind.config_type(temperature=TEMPERATURE), texts.encoder(MAX_TOKENS)).train()
    parts = OURS[name]
    method.encoder.micro_batch = len(rows) // parts if parts else None
    views, random = method.views(), np.random.default_rng(0)
    batch = views.collate([views(row, random) for row in rows], list(range(len(rows))))
    low = "fp32" not in name and resolve_precision("auto", "cpu") == "bf16"

    def step() -> None:
        method.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            output = method(batch)
        output.loss.backward()

    return step


def _theirs(rows: list[dict[str, str]], mini_batch: int | None) -> Callable[[], object]:
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )

    model = texts.peer(MAX_TOKENS).train()
    made: Any = (
        CachedMultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE, mini_batch_size=mini_batch)
        if mini_batch
        else MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
    )
    features = [model.preprocess([row[name] for row in rows]) for name in ("query", "positive")]

    def step() -> None:
        model.zero_grad(set_to_none=True)
        made([dict(feature) for feature in features], torch.zeros(len(rows))).backward()

    return step


def _peak(name: str, batch: int) -> float:
    """Return the peak of a pass above the weights and their gradients, in MB."""
    rows = texts.pairs(batch)
    step = _theirs(rows, batch // 8) if name == "cached" else _ours(rows, name)
    small = _theirs(rows[:16], 2) if name == "cached" else _ours(rows[:16], name)
    small()  # what a first pass sets up
    peak = Peak()
    step()
    weights = 22.7e6 * 4 / 2**20  # the gradients that the pass leaves
    return peak.megabytes() - weights
