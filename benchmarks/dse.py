"""What does a teacher add to few labels, how far is the student from it, and how much faster? DSE's stand-in.

Task: SICK's relatedness, 1 to 5, as regression. The scores of sick-train are labels here, by the design of the method,
and a teacher is trained on them; those of sick-dev chose the settings, and those of sick-test are measured alone.

Teacher: ``cross-encoder`` on the first three layers of all-MiniLM-L6-v2, trained on all 4,500 labelled pairs. Students:
``dse`` on the first two layers with the top two pooled side by side and a head of 128, the same number of steps of the
same batch size from the same weights:

``labels of 500``   alpha 0 on 500 labelled pairs, drawn anew for each seed.
``half``            alpha 0.5: labels of the same 500, the teacher's scores of all 4,500.
``teacher alone``   alpha 1: no label at all.

So the distilled students have seen the labels of 4,500 pairs through the teacher, as where an accurate pair model is
there already. Each arm of students takes the better of two learning rates on sick-dev. Measured on sick-test with the
head (Spearman x 100); the embeddings' cosines there and on STS 2014 and 2016, which no arm was trained for; the
geometry of the sentences of sick-test; and the time to score one query with all of its second sentences, by teacher and
by student.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import likewise
from benchmarks.options import Seeds, Work
from benchmarks.simcse import read_sets
from benchmarks.stored import mean_and_spread, store
from benchmarks.temperature import STS, write_rows
from likewise.artefact import load_pair_scorer
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder
from likewise.evaluation import similarity
from likewise.geometry import summary

SHARED = {"task": "regression", "max_tokens": 64, "batch_size": 32, "warmup": 0.1, "checkpoint_every": 10_000}
TEACHER = {**SHARED, "encoder_layers": 3, "steps": 282}
STUDENT = {**SHARED, "encoder_layers": 2, "top_layers": 2, "head_dims": (128,), "steps": 160}
RATES = {"teacher": (2e-4,), "student": (2e-4, 6e-4)}
"""Learning rates; each arm trains all seeds with the one that is best on sick-dev for its first seed."""
LABELLED = 500
ARMS: dict[str, dict[str, Any]] = {
    "labels of 500": {"alpha": 0.0},
    "half": {"alpha": 0.5},
    "teacher alone": {"alpha": 1.0},
}
BASELINE = "labels of 500"
CHOSEN_ON = "sick-dev"
REPORTED = ("2014", "2016", "sick-test")
QUERIES = 5
"""Queries that are timed; the first of each model only warms up."""


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    work: Work,
    seeds: Seeds = 3,
    workers: Annotated[int, typer.Option(help="Processes that make batches ahead.")] = 2,
) -> None:
    """Train teachers and students, measure, and store."""
    sets = read_sets(sts)
    pairs = {name: _pairs(sets[name]) for name in ("sick-train", "sick-dev", "sick-test")}
    work.mkdir(parents=True, exist_ok=True)
    for name, rows in pairs.items():
        write_rows(work / f"{name}.jsonl", rows)
    untrained = _cosines(load_text_encoder(TextEncoderConfig(encoder_layers=2, max_tokens=64)), sets)
    print("untrained", untrained["figures"])
    results: list[dict[str, Any]] = []
    rates: dict[str, float] = {}
    for seed in range(seeds):
        shared = {"seed": seed, "workers": workers}
        settings = {**TEACHER, **shared}
        teacher = _chosen(
            "teacher", RATES["teacher"], rates, "cross-encoder", work / "sick-train.jsonl", settings, work
        )
        scores = work / f"scores-{seed}"
        if not scores.exists():
            likewise.use(teacher, "score", data=str(work / "sick-train.jsonl"), show=0, scores=str(scores))
        found = {"figures": _scores(teacher, work)}
        results.append({"arm": "teacher", "seed": seed, **found})
        print("teacher", seed, found["figures"], flush=True)
        for arm, of_arm in ARMS.items():
            data = work / f"{arm.replace(' ', '-')}-{seed}.jsonl"
            write_rows(data, _rows_of(arm, pairs["sick-train"], seed))
            taught = {"teacher_scores": str(scores)} if of_arm["alpha"] else {}
            settings = {**STUDENT, **of_arm, **taught, **shared}
            student = _chosen(arm, RATES["student"], rates, "dse", data, settings, work)
            cosines = _cosines(likewise.load(student), sets)
            found = {"figures": {**_scores(student, work), **cosines["figures"]}, "geometry": cosines["geometry"]}
            results.append({"arm": arm, "seed": seed, **found})
            print(arm, seed, found["figures"], flush=True)
    by_arm = {
        arm: [r["figures"] for r in results if r["arm"] == arm] for arm in dict.fromkeys(str(r["arm"]) for r in results)
    }
    path = store(
        "dse",
        list(range(seeds)),
        results,
        settings={"teacher": TEACHER, "student": STUDENT, "arms": ARMS, "labelled": LABELLED, "lr": rates},
        data={"trained_on": "sick-train", "chosen_on": CHOSEN_ON, "reported": list(REPORTED), "origin": STS,
              "pairs": {name: len(rows) for name, rows in pairs.items()}},
        untrained=untrained,
        summary={arm: mean_and_spread(figures) for arm, figures in by_arm.items()},
        over_labels_of_500={
            arm: [one["sick-test"] - other["sick-test"] for one, other in zip(of, by_arm[BASELINE], strict=True)]
            for arm, of in by_arm.items() if arm != BASELINE
        },
        about="Spearman x 100 of the scores of sick-test and sick-dev; `cosine`: of the cosines of single embeddings.",
        relative_degradation={
            arm: [1 - one["sick-test"] / top["sick-test"] for one, top in zip(of, by_arm["teacher"], strict=True)]
            for arm, of in by_arm.items() if arm != "teacher"
        },
        speed=_speed(work / f"teacher-0-{rates['teacher']:g}", work / f"half-0-{rates['half']:g}", pairs["sick-test"]),
    )  # fmt: skip
    print(path)


def _pairs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"a": row["sentence1"], "b": row["sentence2"], "label": row["score"]} for row in rows]


def _rows_of(arm: str, rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return what an arm is given: the rows of the labels it may see; with a teacher all rows, few with a label."""
    seen = set(np.random.default_rng(seed).choice(len(rows), LABELLED, replace=False).tolist())
    if arm == BASELINE:
        return [row for i, row in enumerate(rows) if i in seen]
    return [row if i in seen and arm == "half" else {"a": row["a"], "b": row["b"]} for i, row in enumerate(rows)]


def _chosen(
    arm: str,
    tried: Sequence[float],
    rates: dict[str, float],
    method: str,
    data: Path,
    settings: dict[str, Any],
    work: Path,
) -> Path:
    """Train at the arm's learning rate, which the first seed chooses on sick-dev; go on with a run that was stopped."""
    runs = {}
    for rate in (rates[arm],) if arm in rates else tried:
        out = work / f"{arm.replace(' ', '-')}-{settings['seed']}-{rate:g}"
        going = (out / "run.yaml").exists()
        likewise.train(method, data, out=out, progress=False, resume=going, lr=rate, **settings)
        runs[rate] = out
    if arm not in rates:
        figures = {rate: _spearman(out, work, CHOSEN_ON) for rate, out in runs.items()}
        rates[arm] = max(figures, key=lambda rate: figures[rate])
        print(arm, "on", CHOSEN_ON, figures, flush=True)
    return runs[rates[arm]]


def _spearman(model: Path, work: Path, name: str) -> float:
    return float(likewise.use(model, "score", data=str(work / f"{name}.jsonl"), show=0).figures["spearman"])


def _scores(model: Path, work: Path) -> dict[str, float]:
    """Spearman and Pearson x 100 of a model's scores."""
    figures = {}
    for name in ("sick-test", CHOSEN_ON):
        found = likewise.use(model, "score", data=str(work / f"{name}.jsonl"), show=0).figures
        figures |= {name: 100 * found["spearman"], f"{name} pearson": 100 * found["pearson"]}
    return figures


def _cosines(model: TextEncoder, sets: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Spearman x 100 of the cosines of single embeddings, each year all pairs together; and the geometry."""
    figures = {
        f"cosine {group}": 100
        * similarity(
            model,
            [row for name, rows in sets.items() if name.startswith(group) for row in rows],
            precision="fp32",
            bootstrap=0,
        ).metrics["spearman"]
        for group in REPORTED
    }
    sentences = list(dict.fromkeys(row["sentence1"] for row in sets["sick-test"]))
    return {"figures": figures, "geometry": summary(model.encode(sentences, precision="fp32"))}


def _speed(teacher: Path, student: Path, pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds and encoder passes to score one query with all candidates, the median of some queries."""
    candidates = [row["b"] for row in pairs]
    queries = [row["a"] for row in pairs[:: len(pairs) // QUERIES]][:QUERIES]
    slow, fast = load_pair_scorer(teacher), load_pair_scorer(student)
    began = time.perf_counter()
    index = fast.index(candidates)  # type: ignore[attr-defined]  # a student is more than a cross-encoder
    indexed = time.perf_counter() - began
    taken: dict[str, list[float]] = {"teacher": [], "student": []}
    for query in queries:
        for name, score in (
            ("teacher", lambda query=query: slow.score([(query, one) for one in candidates])),
            ("student", lambda query=query: index.topk(query, 10)),
        ):
            began = time.perf_counter()
            score()
            taken[name].append(time.perf_counter() - began)
    seconds = {name: statistics.median(times[1:]) for name, times in taken.items()}
    return {
        "candidates": len(candidates),
        "teacher": {"passes_a_query": len(candidates), "seconds_a_query": seconds["teacher"],
                    "pairs_per_s": len(candidates) / seconds["teacher"]},
        "student": {"passes_a_query": 1, "seconds_a_query": seconds["student"],
                    "pairs_per_s": len(candidates) / seconds["student"], "seconds_index": indexed},
        "times_faster": seconds["teacher"] / seconds["student"],
        "times_faster_with_index": seconds["teacher"] / (seconds["student"] + indexed),
    }  # fmt: skip
