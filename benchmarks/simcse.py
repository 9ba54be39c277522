"""SimCSE's stand-in experiment: does dropout alone make a better sentence space, and do labels make it better still?

The tower is the first two layers of all-MiniLM-L6-v2 with mean pooling: no contrastive training reached that output.
Arms, same starting weights, same steps: untrained; no dropout (both views are equal: only the push apart remains);
unsupervised SimCSE; supervised SimCSE on SICK's entailment pairs with contradictions as hard negatives.

Data: a folder of similarity sets (``--sts``: ``YEAR-SET.tsv`` and ``sick-*.tsv`` with score, sentence1, sentence2) and
SICK's training file with its entailment labels (``--sick``). Unlabelled sentences: SICK train and STS 2012, 2013, 2015
without any sentence of the measured sets. Settings were chosen on sick-dev and 2014-images alone.
"""

from __future__ import annotations

import csv
import itertools
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

import likewise
from benchmarks.options import Seeds
from benchmarks.stored import mean_and_spread, store
from likewise.data import open_table
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder
from likewise.evaluation import SIMILARITY_COLUMNS, similarity
from likewise.geometry import summary

BASE = {"encoder_layers": 2, "pooling": "mean", "max_tokens": 32}
SETTINGS = {**BASE, "steps": 60, "batch_size": 64, "lr": 2e-4, "warmup": 0.0, "temperature": 0.05}
POOL = ("2012", "2013", "2015", "sick-train")
CHOSEN_ON = ("sick-dev", "2014-images")
REPORTED = ("2014", "2016", "sick-test")


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets.")],
    sick: Annotated[Path, typer.Option(help="SICK's training file with entailment labels (tab separated).")],
    seeds: Seeds = 3,
    steps: Annotated[int, typer.Option(help="Optimiser steps of every trained arm.")] = SETTINGS["steps"],  # type: ignore[assignment]
) -> None:
    """Train every arm once a seed, measure, and store."""
    sets = read_sets(sts)
    measured = {name: sets[name] for name in sets if name.startswith((*REPORTED, *CHOSEN_ON))}
    hidden = {text for rows in measured.values() for row in rows for text in (row["sentence1"], row["sentence2"])}
    sentences = pool(sets, hidden)
    labelled = _entailments(sick)
    print(f"{len(sentences)} sentences without labels, {len(labelled)} labelled rows, {len(measured)} measured sets")
    untrained = _measure(load_text_encoder(TextEncoderConfig(**BASE)), measured)
    print("untrained", _short(untrained))
    arms: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
        "no dropout": (sentences, {"dropout": 0.0}),
        "unsupervised": (sentences, {}),
        "supervised": (labelled, {"supervised": True}),
    }
    results: list[dict[str, Any]] = []
    for seed, (arm, (rows, extra)) in itertools.product(range(seeds), arms.items()):
        settings = {**SETTINGS, **extra, "steps": steps, "seed": seed}
        with tempfile.TemporaryDirectory() as folder:
            model = likewise.train("simcse", rows, out=Path(folder) / "run", progress=False, **settings)
            figures = _measure(model, measured)
        results.append({"arm": arm, "seed": seed, **figures})
        print(arm, seed, _short(figures))
    by_arm = {arm: mean_and_spread([r["figures"] for r in results if r["arm"] == arm]) for arm in arms}
    path = store(
        "simcse",
        list(range(seeds)),
        results,
        settings={**SETTINGS, "steps": steps},
        data={"pool": list(POOL), "reported": list(REPORTED), "chosen_on": list(CHOSEN_ON), "sentences": len(sentences),
              "labelled_rows": len(labelled), "origin": "brmson/dataset-sts (SemEval STS 2012-2016, SICK 2014)"},
        untrained=untrained,
        summary={arm: {"gain": _gains(arm, results, untrained), **figures} for arm, figures in by_arm.items()},
    )  # fmt: skip
    print(path)


def read_sets(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the similarity sets of a folder, by their names."""
    return {
        path.stem: list(open_table(path, columns=SIMILARITY_COLUMNS).stream()) for path in sorted(folder.glob("*.tsv"))
    }


def pool(sets: dict[str, list[dict[str, Any]]], hidden: set[str]) -> list[dict[str, Any]]:
    """Return the distinct sentences of the sets :data:`POOL`, without ``hidden``, as rows of ``text``."""
    texts = {
        text: None
        for name, rows in sets.items()
        if name.startswith(POOL)
        for row in rows
        for text in (row["sentence1"], row["sentence2"])
        if text not in hidden
    }
    return [{"text": text} for text in texts]


def _entailments(path: Path) -> list[dict[str, Any]]:
    """Entailment pairs, each with a contradiction of the same sentence where there is one, else with another's."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    against: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["entailment_judgment"] == "CONTRADICTION":
            against[row["sentence_A"]].append(row["sentence_B"])
    others = itertools.cycle([text for texts in against.values() for text in texts])
    return [
        {
            "text": row["sentence_A"],
            "positive": row["sentence_B"],
            "negative": against[row["sentence_A"]][0] if against[row["sentence_A"]] else next(others),
        }
        for row in rows
        if row["entailment_judgment"] == "ENTAILMENT"
    ]


def _measure(model: TextEncoder, sets: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Spearman x 100: each year all pairs together (the "all" setting), sick-test, their mean; and the geometry."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, rows in sets.items():
        for group in (*REPORTED, *CHOSEN_ON):
            if name.startswith(group):
                groups[group] += rows
    figures = {
        group: 100 * similarity(model, rows, precision="fp32", bootstrap=0).metrics["spearman"]
        for group, rows in groups.items()
    }
    figures["mean"] = sum(figures[group] for group in REPORTED) / len(REPORTED)
    sentences = list(dict.fromkeys(row["sentence1"] for row in sets["sick-test"]))
    return {"figures": figures, "geometry": summary(model.encode(sentences, precision="fp32"))}


def _gains(arm: str, results: list[dict[str, Any]], untrained: dict[str, Any]) -> list[float]:
    """Gain in the mean over the untrained tower, one a seed."""
    return [r["figures"]["mean"] - untrained["figures"]["mean"] for r in results if r["arm"] == arm]


def _short(measured: dict[str, Any]) -> str:
    figures = "  ".join(f"{name} {value:.2f}" for name, value in measured["figures"].items())
    return f"{figures}  uniformity {measured['geometry']['uniformity']:.2f}"
