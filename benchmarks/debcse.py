"""Do pairs drawn by inverse propensity make a space that depends less on shared words? DebCSE's stand-in study.

Four arms from the first two layers of all-MiniLM-L6-v2 with mean pooling, as in ``benchmarks simcse``: SimCSE;
positives among neighbours without the division by what a copy prefers (``neighbours``: epsilon 1000, no hard
negatives); with it (``no hard negatives``); and DebCSE. The scorer is the untrained tower itself, so nothing comes in
from outside. 60 steps of 64 sentences each, paired by seed, that is by the order of the batches.

Data: the sentences of SICK train and STS 2012, 2013, 2015 (without any that is measured); measured by Spearman on STS
2014, 2016 and SICK test. The biases are those of ``likewise use MODEL bias`` on the same pairs: ``overlap``, the
partial rank correlation of a pair's cosine with the words that it shares (edit distance), given the score of people;
``overlap_in_bins``, the same correlation among pairs of about one score; ``length``, that with equal length.

Settings are the method's defaults and those of ``benchmarks simcse``; nothing was chosen by these figures.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.options import Seeds, Workers
from benchmarks.simcse import BASE, POOL, SETTINGS
from benchmarks.stored import store_study
from benchmarks.temperature import REPORTED, STS, sentence_files
from likewise.artefact import Model, load_model
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.products.bias import Bias

if TYPE_CHECKING:
    from likewise.studies import StudyResult

SHARED = {**SETTINGS, "checkpoint_every": 10_000}
STEPS = SHARED.pop("steps")
ARMS = {
    "simcse": {"method": "simcse"},
    "neighbours": {"method": "debcse", "epsilon": 1000.0, "hard_negatives": False},
    "no hard negatives": {"method": "debcse", "hard_negatives": False},
    "debcse": {"method": "debcse"},
}
BIASES = ("overlap", "overlap_in_bins", "length")


def study_of(sts: Path, work: Path, seeds: int) -> dict[str, Any]:
    """Write the files of the study into ``work``, and return what is compared."""
    return {
        **sentence_files(sts, work),
        "name": "debcse: pairs drawn by inverse propensity",
        "about": "Do pairs drawn by inverse propensity make a space that depends less on shared words?",
        "arms": ARMS,
        "baseline": "simcse",
        "budget": {"steps": STEPS},
        "seeds": seeds,
        "shared": SHARED,
        "keep_models": True,
    }


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    work: Annotated[Path, typer.Option(help="Folder for files, runs (0.4 GB each) and reports; goes on there.")],
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the study, measure the biases of its models, and store the figures."""
    from likewise.studies import study

    content = study_of(sts, work, seeds)
    made = study(content, work / "debcse", runs=work / "runs", workers=workers, say=print)
    sentences = Path(content["data"]).read_text(encoding="utf-8").count("\n")
    pairs, biases = _of_models(made, work)
    path = store_study(
        "debcse",
        made,
        settings={**SHARED, "steps": STEPS, "arms": ARMS},
        data={"pool": list(POOL), "measured": list(REPORTED), "sentences": sentences, "origin": STS},
        mean_over_sets=_mean_over_sets(made),
        biases=biases,
        pairs=pairs,
    )
    print(made.report, path)
    print(json.dumps({"biases": biases, "mean": _mean_over_sets(made)}, indent=1))


def _mean_over_sets(made: StudyResult) -> dict[str, dict[str, Any]]:
    """The paper's figure: Spearman x 100, mean over the sets, one a seed; and what it is over SimCSE's."""
    by_arm: dict[str, list[float]] = {}
    for arm in made.found.plan.arms:
        sets = made.found.main_metrics().items()
        values = [next(o for o in made.found.of(*one) if o.arm == arm).values for one in sets]
        by_arm[arm] = [100 * statistics.mean(of_seed) for of_seed in zip(*values, strict=True)]
    return {
        arm: {"mean": statistics.mean(values), "values": values, **_over(values, by_arm["simcse"], arm)}
        for arm, values in by_arm.items()
    }


def _of_models(made: StudyResult, work: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What pairs each arm drew, and the biases of its models: mean over the measured sets, one a seed."""
    untrained = Model(load_text_encoder(TextEncoderConfig(**BASE)).served(), {}, {}, None)
    values: dict[str, dict[str, list[float]]] = {"untrained": _biases([untrained], work)}
    pairs: dict[str, Any] = {}
    for arm in ARMS:
        models = [load_model(made.found.plan.runs[arm, seed].model) for seed in made.found.plan.config.seeds]
        values[arm] = _biases(models, work)
        pairs |= {arm: models[0].kept["pairs"]} if models[0].kept else {}
    return pairs, {
        arm: {
            bias: {"mean": statistics.mean(found[bias]), "values": found[bias],
                   **_over(found[bias], values["simcse"][bias], arm)}
            for bias in BIASES
        }
        for arm, found in values.items()
    }  # fmt: skip


def _over(values: list[float], baseline: list[float], arm: str) -> dict[str, list[float]]:
    """What each seed has over SimCSE's of the same seed, for arms that have seeds."""
    if arm not in ARMS or arm == "simcse":
        return {}
    return {"over_simcse": [ours - theirs for ours, theirs in zip(values, baseline, strict=True)]}


def _biases(models: list[Model], work: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {bias: [] for bias in BIASES}
    for model in models:
        figures = [Bias(data=str(work / f"{group}.jsonl")).run(model).figures for group in REPORTED]
        for bias in BIASES:
            found[bias].append(statistics.mean(one[bias] for one in figures))
    return found
