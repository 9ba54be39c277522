"""What do neighbours from a clustered memory bring, and what does alignment with few examples? BECLR, on digits.

Training: arms from the same fresh weights, with equal steps and paired by seed: ``no neighbours`` (a slow teacher and
pushing apart alone), ``anchored`` (this library's) and ``code`` (the official code's). The memory has 20 clusters of 10
rows; neighbours begin after a third of the run. Data and measures are those of ``benchmarks.digits``, and 5-way tasks
with one example; the memory is small enough that no picture's own older views are in it for long.

Parts, each figure a mean over seeds. Memory: of the models without neighbours, the vectors of the training digits enter
two memories in batches of 64, shared out at the least distance and at the largest (as the
official code has it). ``purity``: the share of rows that are of the most frequent digit of their cluster, from when the
memory is full. Alignment: SimCLR on the digits 0 to 4, then 5-way tasks on the digits 5 to 9, the same episodes with
and without ``align``; 15 items of each digit, or 28, 20, 12, 8 and 7 (``uneven``).

Batch size and a first number of steps, 300, were settled after a look at a few runs on the same test digits; nothing
else was. That study is stored as ``beclr-300-steps``. Neighbours brought nothing there, so the arms were trained three
times as long, once, whatever would come of it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from torch.nn import functional as F

import likewise
from benchmarks.digits import ORIGIN, SHARED, TEST, digit_study
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import mean_and_spread, store, store_study
from likewise.data import Column, Image, Label, open_table
from likewise.evaluation import few_shot
from likewise.evaluation.tasks.clustering import open_labelled
from likewise.memory import ClusteredQueue, KeyQueue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from likewise.encoders import Embedder

BATCH, STEPS, TRAINING_ROWS = 64, 1000, 1300
CLUSTERS, ROWS = 20, 200
SETTINGS: dict[str, Any] = {
    **SHARED, "batch_size": BATCH, "hidden": 128, "head_size": 64, "prototypes": CLUSTERS,
    "memory_scale": ROWS // CLUSTERS, "neighbours": 5, "momentum": 0.95,
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {
    "no neighbours": {"method": "beclr", "neighbours": 0},
    "anchored": {"method": "beclr"},
    "code": {"method": "beclr", "positives": "code"},
}
KNOWN = 5
"""Digits below this are trained on where tasks are made of the others."""
SIMCLR: dict[str, Any] = {**SHARED, "batch_size": BATCH, "temperature": 0.5}
SIMCLR_STEPS = 200
"""About 20 epochs of the digits 0 to 4."""
EVEN, UNEVEN = 15, (28, 20, 12, 8, 7)
"""Items of a class that are to be told in an episode."""
PASSES = 10
"""How often the training digits enter a memory whose clusters are looked at."""
DRAWS = 25
"""Sets of pictures with uneven classes; an episode of one differs from another in its examples."""


def run(
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
    steps: Annotated[int, typer.Option(help="Optimiser steps of every arm; fewer to see that it runs.")] = STEPS,
    episodes: Annotated[int, typer.Option(help="Episodes of each kind of task, at least 25.")] = 200,
) -> None:
    """Run the study and the parts, and store their figures."""
    from likewise.studies import study

    epochs = steps * BATCH / TRAINING_ROWS
    settings = {**SETTINGS, "memory_start": epochs / 3, "cluster_every": epochs / 3, "momentum_epochs": epochs}
    content = digit_study(
        "beclr on digits",
        "What do neighbours from a clustered memory bring?",
        ARMS,
        baseline="no neighbours",
        steps=steps,
        seeds=seeds,
        **{name: value for name, value in settings.items() if SHARED.get(name) != value},
    )
    one = {"task": "few_shot", "data": TEST, "ways": 5, "shots": 1, "episodes": episodes}
    content["evaluate"] += [
        {**one, "name": "one example"},
        {**one, "align": True, "name": "one example, aligned"},
    ]
    content["keep_models"] = True
    made = study(content, work / "beclr", runs=work / "runs", workers=workers, say=print)
    about = {"steps": steps, "arms": ARMS}
    print(made.report, store_study("beclr", made, settings={**settings, **about}, data=ORIGIN))

    found: list[dict[str, Any]] = []
    for seed in range(seeds):
        model = likewise.load(made.found.plan.runs["no neighbours", seed].model)
        found.append({"seed": seed, "memory": purities(model, seed), "alignment": alignment(seed, episodes)})
        print(found[-1], flush=True)
    path = store(
        "beclr-parts",
        list(range(seeds)),
        found,
        settings={"memory": settings, "simclr": SIMCLR, "simclr_steps": SIMCLR_STEPS, "episodes": episodes, **about},
        data=ORIGIN,
        memory=_spreads([one["memory"] for one in found]),
        alignment=_spreads([one["alignment"] for one in found]),
        summary={
            arm: {figure: float(np.mean([one["alignment"][arm][figure] for one in found])) for figure in figures}
            for arm, figures in found[0]["alignment"].items()
        },
    )
    print(path)


def purities(model: Embedder, seed: int) -> dict[str, dict[str, float]]:
    """Return how pure the clusters of a memory are, by how rows are shared out, on a model's vectors."""
    rows = _rows("train")
    vectors = model.encode([row["image"] for row in rows], precision="fp32")
    digits = torch.tensor([int(row["label"]) for row in rows])
    ways = (("least distance", False), ("largest distance", True))
    return {name: {"purity": _purity(vectors, digits, seed, farthest=farthest)} for name, farthest in ways}


def _purity(vectors: Tensor, digits: Tensor, seed: int, *, farthest: bool) -> float:
    torch.manual_seed(seed)
    memory = ClusteredQueue(ROWS, vectors.shape[1], CLUSTERS, farthest=farthest)
    beside = KeyQueue(ROWS, 1, {"digit": torch.int64})  # its rows have the same places
    found = []
    for _ in range(PASSES):
        for batch in torch.randperm(len(vectors)).split(BATCH):
            ready = memory.ready
            memory.push(vectors[batch])
            beside.push(vectors[batch, :1], digit=digits[batch])
            if ready:
                together = F.one_hot(memory.clusters, CLUSTERS).T @ F.one_hot(beside.column("digit"), 10)
                found.append(float(together.amax(dim=1).sum() / len(memory)))
    return float(np.mean(found))


def alignment(seed: int, episodes: int) -> dict[str, dict[str, float]]:
    """Return the accuracy of tasks on digits that were not trained on, with and without alignment."""
    with tempfile.TemporaryDirectory() as folder:
        known = [row for row in _rows("train") if int(row["label"]) < KNOWN]
        settings = {**SIMCLR, "steps": SIMCLR_STEPS, "seed": seed}
        model = likewise.train("simclr", known, out=Path(folder) / "run", progress=False, **settings)
        others = [row for part in ("train", "test") for row in _rows(part) if int(row["label"]) >= KNOWN]
        return {
            name: {figure: _accuracy(model, others, seed, episodes, how, figure) for figure in FIGURES}
            for name, how in WAYS.items()
        }


FIGURES: Mapping[str, tuple[int, bool]] = {
    "1 example": (1, True), "5 examples": (5, True), "1 example, uneven": (1, False), "5 examples, uneven": (5, False),
}  # fmt: skip
"""Examples of a class, and whether classes have equally many items."""


WAYS: Mapping[str, dict[str, Any]] = {
    "means of examples": {},
    "aligned": {"align": True},
    "aligned, regression": {"align": True, "nearest": "logistic"},
}
"""How a class is told."""


def _accuracy(
    model: Embedder, rows: list[dict[str, Any]], seed: int, episodes: int, how: dict[str, Any], figure: str
) -> float:
    shots, even = FIGURES[figure]
    shared: dict[str, Any] = {**how, "shots": shots, "bootstrap": 0, "precision": "fp32", "seed": seed}
    if even:
        given: dict[str, Any] = {"ways": 5, "queries": EVEN, "episodes": episodes}
        return 100 * few_shot(model, open_labelled(rows), **given, **shared).metrics["accuracy"]
    given = {"ways": 0, "queries": 0, "episodes": max(1, episodes // DRAWS)}  # all rows of all classes are asked
    found = [few_shot(model, open_labelled(some), **given, **shared) for some in _uneven(rows, seed, shots)]
    return 100 * float(np.mean([one.metrics["accuracy"] for one in found]))


def _uneven(rows: list[dict[str, Any]], seed: int, shots: int) -> Iterator[list[dict[str, Any]]]:
    """Draw pictures of five classes in uneven numbers, anew each time which class is large."""
    random = np.random.default_rng(seed)
    labels = np.array([row["label"] for row in rows])
    for _ in range(DRAWS):
        classes = random.permutation(np.unique(labels))
        yield [
            rows[place]
            for label, number in zip(classes, UNEVEN, strict=True)
            for place in random.choice(np.flatnonzero(labels == label), number + shots, replace=False)
        ]


def _rows(part: str) -> list[dict[str, Any]]:
    return list(open_table(f"demo:digits:{part}", columns=[Column("image", Image), Column("label", Label)]))


def _spreads(runs: list[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    return {arm: mean_and_spread([one[arm] for one in runs]) for arm in runs[0]}
