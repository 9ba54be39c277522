"""What do curation and masking bring where triples are noisy? MultiCSR's stand-in study, without its first stage.

Triples from SICK's training file (``--sick``), which has entailment labels: the positive is an entailed sentence, the
negative a contradicting one of the same premise where there is one, else a sentence drawn at random. Pairs that are
measured are left out. Then noise is put in: of 15 % of the premises a second row with another negative; in 30 % of the
rows positive and negative change places; in another 10 % the negative becomes the positive itself, or the positive with
two neighbouring words exchanged.

Arms from the first two layers of all-MiniLM-L6-v2 with mean pooling, 60 steps of 64 rows each, paired by seed, that is
by the order of the batches: no stage at all (which is supervised SimCSE, used without its head), curation alone, the
mask alone, both, both with the official loss, no stage on the clean rows (an upper bound); and the method ``simcse``
itself on the noisy rows. Scorer and frozen encoder are the whole of all-MiniLM-L6-v2, which is stronger than what is
trained: part of a gain is distillation.

The curation itself is measured against the noise that was put in, by the default rule and by the official rule 13 (4
and 4): how many of the swapped triples it puts right or drops, how many of its swaps are right, and how much noise is
left in what it keeps. This is stored as ``multicsr-curation``, over as many draws of the noise as there are seeds.

Settings are those of the specification; nothing was chosen by these figures.
"""

from __future__ import annotations

import csv
import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.options import Seeds, Work, Workers
from benchmarks.simcse import BASE, read_sets
from benchmarks.stored import store, store_study
from benchmarks.temperature import write_rows
from likewise.data import CURATION_RULES, self_curate
from likewise.encoders import load_text_encoder
from likewise.generators import EncoderScorer

if TYPE_CHECKING:
    from likewise.studies import StudyResult

ORIGIN = "brmson/dataset-sts (SemEval STS 2014, SICK 2014 with its entailment labels)"
STEPS = 60
SHARED = {**BASE, "batch_size": 64, "lr": 5e-5, "warmup": 0.0, "weight_decay": 0.0, "checkpoint_every": 10_000}
NONE = {"method": "multicsr", "curate": False, "mask": False}
CLEAN = ["positive=clean_positive", "negative=clean_negative"]
ARMS: dict[str, dict[str, Any]] = {
    "no stage": NONE,
    "curation": {**NONE, "curate": True},
    "mask": {**NONE, "mask": True},
    "both": {"method": "multicsr"},
    "both, official loss": {"method": "multicsr", "objective": "official"},
    "clean rows": {**NONE, "columns": CLEAN},
    "simcse": {"method": "simcse", "supervised": True},
}
REPORTED = {"SICK test": "sick-test", "STS 2014 images": "2014-images"}
TWICE, SWAPPED, SAME = 0.15, 0.30, 0.10
RULES = (15, 13)
NOISES = ("none", "swapped", "same")


def noisy_triples(sick: Path, measured: Sequence[Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Make the triples, with what they were before the noise, and which noise it is; ``seed`` is the noise's."""
    with sick.open(newline="", encoding="utf-8") as file:
        pairs = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    hidden = {frozenset((row["sentence1"], row["sentence2"])) for row in measured}
    pairs = [pair for pair in pairs if frozenset((pair["sentence_A"], pair["sentence_B"])) not in hidden]
    against: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        if pair["entailment_judgment"] == "CONTRADICTION":
            against[pair["sentence_A"]].append(pair["sentence_B"])
            against[pair["sentence_B"]].append(pair["sentence_A"])
    texts = sorted({pair[side] for pair in pairs for side in ("sentence_A", "sentence_B")})
    random = np.random.default_rng(seed)
    rows = [
        {
            "text": pair["sentence_A"],
            "positive": pair["sentence_B"],
            "negative": (against[pair["sentence_A"]] or [str(random.choice(texts))])[0],
        }
        for pair in pairs
        if pair["entailment_judgment"] == "ENTAILMENT"
    ]
    again = random.choice(len(rows), round(TWICE * len(rows)), replace=False)
    rows += [{**rows[i], "negative": str(random.choice(texts))} for i in again]
    kinds = random.permutation(len(rows)) / len(rows)
    return [_with_noise(row, kind, random) for row, kind in zip(rows, kinds.tolist(), strict=True)]


def _with_noise(row: dict[str, str], kind: float, random: np.random.Generator) -> dict[str, Any]:
    clean = {f"clean_{side}": row[side] for side in ("positive", "negative")}
    if kind < SWAPPED:
        return {
            "text": row["text"],
            "positive": row["negative"],
            "negative": row["positive"],
            **clean,
            "noise": "swapped",
        }
    if kind < SWAPPED + SAME:
        words = row["positive"].split()
        if random.integers(2) and len(words) > 1:
            place = int(random.integers(len(words) - 1))
            words[place : place + 2] = words[place + 1], words[place]
        return {"text": row["text"], "positive": row["positive"], "negative": " ".join(words), **clean, "noise": "same"}
    return {**row, **clean, "noise": "none"}


def curation_against_noise(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """What the default rule makes of the noise, and what each rule does to triples of each kind of noise."""
    started = time.perf_counter()
    scorer = EncoderScorer(load_text_encoder("all-MiniLM-L6-v2"))
    triples = [(row["text"], row["positive"], row["negative"]) for row in rows]
    positive, negative = (scorer.score([(triple[0], triple[side]) for triple in triples]) for side in (1, 2))
    by_rule = {
        f"rule {number}": _by_noise(rows, triples, list(zip(positive, negative, strict=True)), number)
        for number in RULES
    }
    default = by_rule[f"rule {RULES[0]}"]
    kinds, left, total = default["triples"], default["kept"], default["report"]["kept"]
    still_swapped = left["swapped"] - default["put_right"] + default["put_wrong"]
    return {
        "seed": seed,
        "before": {
            "share of triples that are right": kinds["none"] / len(rows),
            "share that are swapped": kinds["swapped"] / len(rows),
            "share with a paraphrase as negative": kinds["same"] / len(rows),
        },
        "after": {
            "share of triples that are right": (left["none"] + default["put_right"]) / total,
            "share that are swapped": still_swapped / total,
            "share with a paraphrase as negative": left["same"] / total,
        },
        "seconds": time.perf_counter() - started,
        "rules": by_rule,
    }


def _by_noise(
    rows: Sequence[Mapping[str, Any]],
    triples: Sequence[tuple[str, str, str]],
    scores: Sequence[tuple[float | None, float | None]],
    rule: int,
) -> dict[str, Any]:
    curation = self_curate(triples, scores, **asdict(CURATION_RULES[rule]))
    done: Counter[tuple[str, str]] = Counter()
    for row, judged in zip(rows, curation.triples, strict=True):
        done[row["noise"], judged.dropped or ("swapped" if judged.swapped else "kept")] += 1
    totals, swaps = (Counter[str]() for _ in range(2))
    for (noise, what), count in done.items():
        totals[noise] += count
        swaps[noise] += count if what == "swapped" else 0
    return {
        "report": curation.report.as_dict(),
        "triples": {noise: totals[noise] for noise in NOISES},
        # A clean triple that was swapped is wrong now, and counts as swapped.
        "kept": {noise: done[noise, "kept"] + (swaps[noise] if noise != "none" else 0) for noise in NOISES},
        "put_right": swaps["swapped"],
        "put_wrong": swaps["none"],
        "dropped": {
            noise: {what: done[noise, what] for what in ("below_alpha", "above_beta", "tie") if done[noise, what]}
            for noise in NOISES
        },
        "swap_precision": swaps["swapped"] / swaps.total(),
        "swap_recall": swaps["swapped"] / totals["swapped"],
        "swapped_put_right_or_dropped": 1 - done["swapped", "kept"] / totals["swapped"],
        "paraphrases_dropped": 1 - (done["same", "kept"] + done["same", "swapped"]) / totals["same"],
        "clean_kept": done["none", "kept"] / totals["none"],
    }


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    sick: Annotated[Path, typer.Option(help="SICK's training file with entailment labels (tab separated).")],
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
    train: Annotated[bool, typer.Option(help="Run the study too; else only the curation is measured.")] = True,
) -> None:
    """Make the noise, measure the curation, run the study, and store the figures."""
    from likewise.studies import study

    work.mkdir(parents=True, exist_ok=True)
    sets = read_sets(sts)
    measured = [row for name in (*REPORTED.values(), "sick-dev") for row in sets[name]]
    curations = [curation_against_noise(noisy_triples(sick, measured, seed), seed) for seed in range(seeds)]
    print(json.dumps(curations, indent=1))
    rows = noisy_triples(sick, measured, 0)
    data = {
        "triples": len(rows),
        "noise": dict(Counter(row["noise"] for row in rows)),
        "premises_twice": TWICE,
        "measured": list(REPORTED),
        "origin": ORIGIN,
    }
    path = store(
        "multicsr-curation",
        list(range(seeds)),
        curations,
        about="The curation of triples with known noise, drawn anew for each seed, by the default rule.",
        settings={"scorer": "all-MiniLM-L6-v2", "rules": {n: asdict(CURATION_RULES[n]) for n in RULES}},
        data=data,
    )
    print(path)
    if not train:
        return
    write_rows(work / "triples.jsonl", rows)
    for name in REPORTED.values():
        write_rows(work / f"{name}.jsonl", sets[name])
    equal = [row for row in sets["sick-test"] if row["score"] >= 4.5]
    write_rows(work / "equal.jsonl", [{"query": row["sentence1"], "positive": row["sentence2"]} for row in equal])
    content = {
        "name": "multicsr: curation and mask on noisy triples",
        "about": "What do curation and the mask bring where four of ten triples are wrong?",
        "data": str(work / "triples.jsonl"),
        "evaluate": [
            {"task": "similarity", "data": str(work / f"{file}.jsonl"), "name": name} for name, file in REPORTED.items()
        ],
        "space": {"data": str(work / "equal.jsonl")},
        "arms": ARMS,
        "baseline": "no stage",
        "budget": {"steps": STEPS},
        "seeds": seeds,
        "shared": SHARED,
    }
    made = study(content, work / "study", runs=work / "runs", workers=workers, say=print)
    path = store_study(
        "multicsr",
        made,
        settings={**SHARED, "steps": STEPS, "arms": ARMS},
        data=data,
        masked=_masked(made),
    )
    print(made.report, path)


def _masked(made: StudyResult) -> dict[str, float]:
    """The share of pairs that an arm's mask leaves out, mean over steps and seeds."""
    shares: dict[str, list[float]] = defaultdict(list)
    for row in made.found.curves:
        if (row["source"], row["figure"]) == ("metrics", "masked"):
            shares[row["arm"]].append(row["value"])
    return {arm: statistics.mean(values) for arm, values in shares.items()}
