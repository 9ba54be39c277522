"""Training ``pairs`` against the trainer of sentence-transformers: the same model, rows, batch, loss and steps.

Both get definitions and words of their natural lengths, cut at 64 tokens. Speed is rows a second of wall time between
the end of the first steps, which warm up, and the end of the last one; checkpoints and measurements lie outside. Then
both models look up held-out definitions.
"""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import likewise
from benchmarks import texts
from benchmarks.side_by_side import Case, as_results, at_least, show, show_bars, threads
from benchmarks.stored import mean_and_spread, store
from likewise.data import open_retrieval
from likewise.encoders import TextEncoder
from likewise.evaluation import Validation

BATCH, MAX_TOKENS, LR, TEMPERATURE, WARM_UP_STEPS = 128, 64, 1e-4, 0.05, 5
ARMS = {
    "likewise": {"precision": "auto"},
    "likewise fp32": {"precision": "fp32"},
    "sentence-transformers": {"bf16": False},
    "sentence-transformers bf16": {"bf16": True},
}


def run(
    seeds: Annotated[int, typer.Option(help="How many seeds, from 0; each is a round.")] = 3,
    steps: Annotated[int, typer.Option(help="Steps of every run.")] = 60,
) -> None:
    """Train every arm once a seed, measure, print, and store."""
    rows = texts.pairs(BATCH * (steps + 1) * 2)
    held_out = Validation.retrieval(open_retrieval("demo:wordnet:dev"))
    untrained = held_out(texts.encoder(MAX_TOKENS))
    print("untrained", untrained)
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    figures: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        names = list(ARMS)
        for arm in [*names[seed % len(names) :], *names[: seed % len(names)]]:
            train = _ours if arm.startswith("likewise") else _theirs
            took, model = train(rows, steps, seed, **ARMS[arm])
            seconds[arm].append(took / (steps - WARM_UP_STEPS))
            figures[arm].append(held_out(model))
            print(arm, seed, f"{BATCH / seconds[arm][-1]:.1f} rows/s", figures[arm][-1])
    case = Case({"form": "a step", "batch": BATCH, "most tokens": MAX_TOKENS}, seconds)
    show("seconds a step", [case], of="likewise")
    bars = [
        at_least("training: rows/s, times sentence-transformers", case.ratio("sentence-transformers", "likewise"), 4.0),
        at_least(
            "training: rows/s, times sentence-transformers in bf16",
            case.ratio("sentence-transformers bf16", "likewise"),
            2.0,
        ),
    ]
    show_bars(bars)
    path = store(
        "training",
        list(range(seeds)),
        as_results([case]),
        packages=("accelerate",),
        threads=threads(),
        bars=[bar.as_dict() for bar in bars],
        untrained=untrained,
        held_out=figures,
        summary={arm: mean_and_spread(runs) for arm, runs in figures.items()},
        tokens={name: texts.lengths([row[name] for row in rows], MAX_TOKENS) for name in ("query", "positive")},
        settings={"batch_size": BATCH, "max_tokens": MAX_TOKENS, "lr": LR, "temperature": TEMPERATURE, "steps": steps},
    )
    print(path)


def _ours(rows: list[dict[str, str]], steps: int, seed: int, precision: str) -> tuple[float, TextEncoder]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        model = likewise.train(
            "pairs",
            rows,
            out=out,
            progress=False,
            batch_size=BATCH,
            steps=steps,
            seed=seed,
            lr=LR,
            warmup=0.0,
            weight_decay=0.0,
            temperature=TEMPERATURE,
            max_tokens=MAX_TOKENS,
            precision=precision,
            checkpoint_every=steps,
        )
        with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
            wall = [float(row["seconds"]) + float(row["wait_seconds"]) for row in csv.DictReader(file)]
    return wall[-1] - wall[WARM_UP_STEPS - 1], model


def _theirs(rows: list[dict[str, str]], steps: int, seed: int, bf16: bool) -> tuple[float, Any]:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    torch.manual_seed(seed)
    model = texts.peer(MAX_TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            max_steps=steps,
            learning_rate=LR,
            warmup_steps=0,
            weight_decay=0.0,
            bf16=bf16,
            use_cpu=True,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
        )
        trainer = SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            loss=MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE),
            callbacks=[Clock()],
        )
        trainer.train()
    return ends[-1] - ends[WARM_UP_STEPS - 1], TextEncoder(model.eval(), "sentence-transformers")
