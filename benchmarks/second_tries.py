"""Second tries at what did not show in a method's own stand-in: the likely reason changed, all else as it was.

``whitenedcse-temperature``: whitened, unlike sentences are far apart from the start, so at a temperature of 0.05
nothing is left to learn. SimCSE and WhitenedCSE (64 groups) at 0.05, 0.2 and 0.5.

``debcse-negatives``: hard negatives were nearly as unlike as random pairs. DebCSE with a divisor of the surface
similarity of 0.05 and 0.02 in the place of 0.2, and SimCSE.

``whitenedcse-longer``: 200 steps in the place of 60, at 0.05 and at the temperature of each method that is best on SICK
dev and the images of STS 2014 for a seed that is not measured.

Data, tower, steps and measures are those of ``benchmarks whitenedcse`` and ``benchmarks debcse``: sentences of SICK
train and STS 2012, 2013, 2015; Spearman on STS 2014, 2016 and SICK test. Nothing is chosen by the measured sets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.options import Seeds, Work, Workers
from benchmarks.simcse import POOL, SETTINGS, read_sets
from benchmarks.stored import mean_over_sets, store_study
from benchmarks.temperature import REPORTED, STS, sentence_files, write_rows

SHARED = {**SETTINGS, "checkpoint_every": 10_000}
STEPS = SHARED.pop("steps")
SHARED.pop("temperature")
LONGER = 200
TEMPERATURES = (0.05, 0.2, 0.5)
BASELINE = "simcse, 0.05"
CHOSEN_ON = ("sick-dev", "2014-images")
CHOOSING_SEED = 1000
WHITENED: dict[str, dict[str, Any]] = {
    f"{method}, {temperature:g}": {"method": method, "temperature": temperature, **extra}
    for method, extra in (("simcse", {}), ("whitenedcse", {"groups": 64}))
    for temperature in TEMPERATURES
}
NEGATIVES: dict[str, dict[str, Any]] = {
    "simcse, 0.05": {"method": "simcse", "temperature": 0.05},
    **{
        f"debcse, negatives by {divisor:g}": {
            "method": "debcse",
            "temperature": 0.05,
            "negative_temperature": divisor,
        }
        for divisor in (0.2, 0.05, 0.02)
    },
}


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the studies one after the other, and store their figures."""
    files = sentence_files(sts, work)
    measured = list(range(seeds))
    _store(work, files, "whitenedcse-temperature", WHITENED, STEPS, measured, workers)
    _store(work, files, "debcse-negatives", NEGATIVES, STEPS, measured, workers)
    chosen = _chosen(sts, work, files, workers)
    arms = {name: WHITENED[name] for name in dict.fromkeys((BASELINE, *chosen.values()))}
    _store(work, files, "whitenedcse-longer", arms, LONGER, measured, workers, chosen=chosen)


def _chosen(sts: Path, work: Path, files: dict[str, Any], workers: int) -> dict[str, str]:
    """Return the arm of each method that is best on the sets for choosing, for a seed that is not measured."""
    sets = read_sets(sts)
    for name in CHOSEN_ON:
        write_rows(work / f"{name}.jsonl", sets[name])
    evaluate = [{"task": "similarity", "data": str(work / f"{name}.jsonl"), "name": name} for name in CHOSEN_ON]
    made = _study(work, {**files, "evaluate": evaluate}, "choosing", WHITENED, STEPS, [CHOOSING_SEED], workers)
    means = {arm: figures["mean"] for arm, figures in mean_over_sets(made).items()}
    print("on", CHOSEN_ON, means, flush=True)
    return {
        method: max((arm for arm in WHITENED if arm.startswith(f"{method},")), key=lambda arm: means[arm])
        for method in ("simcse", "whitenedcse")
    }


def _study(
    work: Path,
    files: dict[str, Any],
    name: str,
    arms: dict[str, dict[str, Any]],
    steps: int,
    seeds: list[int],
    workers: int,
) -> Any:
    from likewise.studies import study

    content = {
        **files,
        "name": name,
        "about": "Does it show with the likely reason changed?",
        "arms": arms,
        "baseline": BASELINE,
        "budget": {"steps": steps},
        "seeds": seeds,
        "shared": SHARED,
    }
    return study(content, work / name, runs=work / "runs", workers=workers, say=print)


def _store(
    work: Path,
    files: dict[str, Any],
    name: str,
    arms: dict[str, dict[str, Any]],
    steps: int,
    seeds: list[int],
    workers: int,
    **about: Any,
) -> None:
    made = _study(work, files, name, arms, steps, seeds, workers)
    path = store_study(
        name,
        made,
        settings={**SHARED, "steps": steps, "arms": arms},
        data={"pool": list(POOL), "measured": list(REPORTED), "origin": STS},
        mean_over_sets=mean_over_sets(made),
        **about,
    )
    print(made.report, path)
    for arm, figures in mean_over_sets(made).items():
        print(f"{arm:28s} {figures['mean']:.2f}", [round(value, 2) for value in figures["values"]], flush=True)
