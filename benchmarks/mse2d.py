"""Does nesting keep shallow and narrow embeddings good, at what price to the whole one? 2DMSE's stand-in experiment.

The tower is the whole of all-MiniLM-L6-v2 (6 layers, mean pooling, 384 numbers), a model trained in the ordinary way,
whose lower layers were never asked for an embedding. Arms, from the same weights, with the same batches by seed, all of
them an in-batch softmax over pairs:

``last layer``  the last layer alone, at full width (the method ``pairs``);
``MRL``         the last layer, at full width and at one random width (``2dmse`` without lower layers);
``paper``       2DMSE as first published;
``improved``    as improved a week later.

Pairs: those of SICK train that entail each other (``--sick``), those of the MSR paraphrase corpus that are paraphrases
(``--msr``), and definitions and words of WordNet. Measured by Spearman x 100 at each depth and width: the first 500
pairs of SICK test, and images and headlines of STS 2014; no sentence of them is trained on. Nothing was
chosen by these figures. Seconds per depth are those of encoding the measured sentences,
one depth after the other and again from the start, on one core in float32.
"""

from __future__ import annotations

import csv
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from scipy.stats import spearmanr
from torch import Tensor

import likewise
from benchmarks.options import Seeds
from benchmarks.simcse import read_sets
from benchmarks.stored import mean_and_spread, store
from likewise.data import Column, Text, open_table
from likewise.encoders import TextEncoder, load_text_encoder
from likewise.geometry import summary
from likewise.sampling.duplicates import text_key

LAYERS, WIDTHS = (2, 3, 4, 6), (16, 64, 128, 384)
SETTINGS: dict[str, Any] = {
    "steps": 60,
    "batch_size": 32,
    "lr": 1e-4,
    "temperature": 0.05,
    "max_tokens": 32,
    "checkpoint_every": 10_000,
}
WIDTHS_ALONE = {"layer_weight": 0.0, "kl_weight": 0.0}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "last layer": ("pairs", {}),
    "MRL": ("2dmse", WIDTHS_ALONE),
    "paper": ("2dmse", {"variant": "paper"}),
    "improved": ("2dmse", {"variant": "improved"}),
}
FROM_WORDNET = 1500
FROM_SICK_TEST = 500
TIMED_ROUNDS = 5


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    sick: Annotated[Path, typer.Option(help="SICK's training file with entailment labels (tab separated).")],
    msr: Annotated[Path, typer.Option(help="The MSR paraphrase corpus's training file (tab separated).")],
    seeds: Seeds = 3,
    steps: Annotated[int, typer.Option(help="Optimiser steps of every trained arm.")] = SETTINGS["steps"],
) -> None:
    """Train every arm once a seed, measure the grid, time the depths, and store."""
    sets = read_sets(sts)
    sets = {name: sets[name] for name in ("sick-test", "2014-images", "2014-headlines")}
    sets["sick-test"] = sets["sick-test"][:FROM_SICK_TEST]
    hidden = {text_key(row[side]) for rows in sets.values() for row in rows for side in ("sentence1", "sentence2")}
    data = pairs(sick, msr, hidden)
    print(f"{len(data)} pairs, {sum(map(len, sets.values()))} measured pairs")
    untrained = _measured(load_text_encoder("all-MiniLM-L6-v2"), sets)
    _print("untrained", untrained)
    results: list[dict[str, Any]] = []
    for seed, (arm, (method, extra)) in itertools.product(range(seeds), ARMS.items()):
        settings = {**SETTINGS, **extra, "steps": steps, "seed": seed}
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            model = likewise.train(method, data, out=Path(folder) / "run", progress=False, **settings)
            seconds = time.perf_counter() - began
        results.append({"arm": arm, "seed": seed, "seconds": seconds, **_measured(model, sets)})
        _print(f"{arm} {seed} ({seconds:.0f} s)", results[-1])
    by_arm = {arm: mean_and_spread([run["figures"] for run in results if run["arm"] == arm]) for arm in ARMS}
    arms = {arm: {"method": method, **extra} for arm, (method, extra) in ARMS.items()}
    sentences = list(dict.fromkeys(row[side] for row in sets["2014-images"] for side in ("sentence1", "sentence2")))
    path = store(
        "2dmse",
        list(range(seeds)),
        results,
        settings={**SETTINGS, "steps": steps, "arms": arms},
        data={"pairs": len(data), "measured": {name: len(rows) for name, rows in sets.items()},
              "origin": "brmson/dataset-sts (STS 2014, SICK 2014, MSR paraphrase); WordNet 3.1"},
        untrained=untrained,
        summary=by_arm,
        seconds_by_depth=_timed(load_text_encoder("all-MiniLM-L6-v2"), sentences),
    )  # fmt: skip
    print(path)


def pairs(sick: Path, msr: Path, hidden: set[int]) -> list[dict[str, str]]:
    """Return pairs of texts that say the same, as rows of ``query`` and ``positive``, without ``hidden`` texts."""
    entailed = (
        (row["sentence_A"], row["sentence_B"]) for row in _tsv(sick) if row["entailment_judgment"] == "ENTAILMENT"
    )
    paraphrases = ((row["#1 String"], row["#2 String"]) for row in _tsv(msr) if row["Quality"] == "1")
    wordnet = open_table("demo:wordnet", columns=(Column("query", Text), Column("positive", Text)))
    drawn = np.random.default_rng(0).choice(len(wordnet), FROM_WORDNET, replace=False)
    defined = ((row["query"], row["positive"]) for row in wordnet.rows(drawn.tolist()))
    return [
        {"query": one, "positive": other}
        for one, other in itertools.chain(entailed, paraphrases, defined)
        if one.strip() and other.strip() and not {text_key(one), text_key(other)} & hidden
    ]


def _tsv(path: Path) -> Iterable[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


@torch.no_grad()
def _measured(model: TextEncoder, sets: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Spearman x 100 of each depth and width, as the mean over the sets; and the space at full depth."""
    model.eval()
    cells: dict[str, list[float]] = {f"layers {n}, {d}": [] for n in LAYERS for d in WIDTHS}
    whole = torch.empty(0)
    for rows in sets.values():
        first, second = (_features(model, [row[side] for row in rows]) for side in ("sentence1", "sentence2"))
        scores = [row["score"] for row in rows]
        for place, n in enumerate(LAYERS):
            for d in WIDTHS:
                cosine = torch.cosine_similarity(first[:, place, :d], second[:, place, :d])
                cells[f"layers {n}, {d}"].append(100 * float(spearmanr(cosine.numpy(), scores).statistic))
        whole = first[:, -1]
    return {
        "figures": {name: statistics.mean(values) for name, values in cells.items()},
        "geometry": summary(torch.nn.functional.normalize(whole, dim=1)),
    }


def _features(model: TextEncoder, texts: list[str]) -> Tensor:
    """Features of all depths from one pass, ``[B, K, D]``."""
    tokens = model.tokenizer(texts)
    parts = torch.arange(len(texts)).split(128)
    return torch.cat([model(tokens.select(part), return_layers=LAYERS) for part in parts])


def _timed(model: TextEncoder, sentences: list[str]) -> dict[str, Any]:
    """Seconds of encoding the sentences at each depth, several rounds, the depths in turn."""
    towers = {n: model.truncated(layers=n) for n in LAYERS}
    seconds: dict[str, list[float]] = {str(n): [] for n in LAYERS}
    for _ in range(TIMED_ROUNDS):
        for n, tower in towers.items():
            began = time.perf_counter()
            tower.encode(sentences, precision="fp32")
            seconds[str(n)].append(time.perf_counter() - began)
    whole = seconds[str(LAYERS[-1])]
    share = {n: statistics.median(a / b for a, b in zip(took, whole, strict=True)) for n, took in seconds.items()}
    return {"sentences": len(sentences), "seconds": seconds, "share_of_the_whole": share}


def _print(name: str, measured: Mapping[str, Any]) -> None:
    print(name, {cell: round(value, 1) for cell, value in measured["figures"].items()}, flush=True)
