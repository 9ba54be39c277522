"""From a study to its runs: checked for being comparable, with equal budgets, named by what they depend on."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from likewise.api import batches, build_method, open_training_data, prepare_rows, train_run
from likewise.data import Table
from likewise.encoders.base import Encoder
from likewise.errors import InputError, unknown
from likewise.methods import get_method
from likewise.methods.base import Method
from likewise.run_config import FREE_ON_RESUME, RunConfig
from likewise.studies.config import UNTRAINED, Arm, StudyConfig
from likewise.studies.digest import digest
from likewise.studies.measures import Measure, SpaceMeasure, TaskMeasure
from likewise.studies.runs import RunRequest
from likewise.studies.schedule import Job
from likewise.versions import installed_versions

__all__ = ["Plan", "make_plan"]

TIMED_STEPS = 8
"""Steps that are taken to turn seconds into steps; the first three of them do not count."""


@dataclass(frozen=True)
class Plan:
    """All runs of a study.

    Args:
        config: The study.
        runs: The run of each arm and seed; that of the untrained encoder stands under every seed.
        steps: Optimiser steps of each arm.
        passes: Rows through the encoder in a step of each arm, as counted on its first batch.
        data: Name, rows and fingerprint of the training data.
        start: Name and fingerprint of the encoder that all arms start from.
        measures: What is measured, tasks by their name and the space as "space".
    """

    config: StudyConfig
    runs: Mapping[tuple[str, int], RunRequest]
    steps: Mapping[str, int]
    passes: Mapping[str, int]
    data: Mapping[str, Any]
    start: Mapping[str, str]
    measures: Mapping[str, Measure]

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of all arms, the untrained encoder first."""
        return (UNTRAINED, *(arm.name for arm in self.config.arms))

    def jobs(self) -> list[Job]:
        """Return the distinct runs in the order in which they are done: a seed of every arm before the next seed."""
        jobs: dict[str, Job] = {}
        for seed in self.config.seeds:
            for arm in self.arms:
                request = self.runs[arm, seed]
                name = arm if arm == UNTRAINED else f"{arm}, seed {seed}"
                jobs.setdefault(request.key, Job(name, request, self.steps.get(arm, 0)))
        return list(jobs.values())


@dataclass(frozen=True)
class _Looked:
    """What building an arm once tells."""

    config: RunConfig
    start: str
    name: str
    passes: int
    data: str
    rows: int
    temperature: float | None


def make_plan(config: StudyConfig, runs: Path, known_steps: Mapping[str, int], say: Callable[[str], None]) -> Plan:
    """Check that the arms can be compared and work out every run.

    Args:
        config: The study.
        runs: Folder in which runs are kept.
        known_steps: Steps of each arm from an earlier plan of this study, where seconds were turned into steps before.
        say: Told what is going on.

    Raises:
        InputError: The arms start from different encoders or train on different rows, or data cannot be used.
    """
    measures = _measures(config, say)
    looked: dict[str, _Looked] = {}
    for arm in config.arms:
        looked[arm.name] = _look(config, arm)
        _refuse_unlike(config, looked, arm)
    first = looked[config.arms[0].name]
    steps = {arm.name: known_steps.get(arm.name) or _steps(config, arm, looked[arm.name], say) for arm in config.arms}
    requests: dict[tuple[str, int], RunRequest] = {}
    untrained = _request(config, runs, first, None, tuple(measures.values()))
    for seed in config.seeds:
        requests[UNTRAINED, seed] = untrained
        for arm in config.arms:
            run = config.run_config(arm, seed=seed, steps=steps[arm.name])
            requests[arm.name, seed] = _request(config, runs, looked[arm.name], run, tuple(measures.values()))
    return Plan(
        config,
        requests,
        steps,
        {name: one.passes for name, one in looked.items()},
        {"name": config.data, "rows": first.rows, "fingerprint": first.data},
        {"name": first.name, "fingerprint": first.start},
        measures,
    )


def _measures(config: StudyConfig, say: Callable[[str], None]) -> dict[str, Measure]:
    """Open everything that is measured on; what is wrong with it is found before anything is trained."""
    found: dict[str, Measure] = {}
    for one in config.evaluate:
        say(f"reading {one.name} ...")
        measure = TaskMeasure(
            one.task,
            one.name,
            one.data,
            "",
            tuple(one.columns.items()),
            one.bad_rows,
            tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in one.settings.items()),
            space=one.space,
        )
        try:
            opened = measure.opened()
        except InputError as error:
            raise InputError(f"evaluation '{one.name}': {error}") from None
        found[one.name] = dataclasses.replace(measure, fingerprint=opened.fingerprint)
    space = SpaceMeasure(
        config.space.data, "", tuple(config.space.columns.items()), config.space.max_rows, space=config.space.space
    )
    try:
        opened_space = space.opened()
    except InputError as error:
        raise InputError(f"space: {error}") from None
    found["space"] = dataclasses.replace(space, fingerprint=opened_space.fingerprint)
    return found


def _look(config: StudyConfig, arm: Arm) -> _Looked:
    """Build an arm once, and take its first batch through the loss without learning from it."""
    run = config.run_config(arm, seed=config.seeds[0], steps=1)
    with tempfile.TemporaryDirectory() as folder:
        try:
            table = open_training_data(run)
            run = run.completed(table)
            method = build_method(run)
            _check_spaces(config, method)
            start = method.start()
            fingerprint = start.fingerprint
            if not isinstance(table, Table):
                raise InputError("the runs of a study share a stored table, and this one is streamed; store it.")
            rows = prepare_rows(run, method, table, Path(folder))
        except InputError as error:
            raise InputError(f"arm '{arm.name}': {error}") from None
        source, _ = batches(run, method, rows)
        _, batch = next(iter(source(0)))
        towers = [module for module in method.modules() if isinstance(module, Encoder)]
        before = sum(tower.encoded for tower in towers)
        method.train()
        with torch.no_grad():
            method(batch)
    # A step of the budget is a step of every round.
    passes = method.rounds() * (sum(tower.encoded for tower in towers) - before)
    temperature = getattr(run.settings, "temperature", None)
    return _Looked(run, fingerprint, start.name, passes, table.fingerprint, len(table), temperature)


def _check_spaces(config: StudyConfig, method: Method[Any]) -> None:
    """Refuse what is to be measured in a space that the method's models do not have."""
    spaces = method.spaces()
    for place, name in (*((f"evaluation '{one.name}'", one.space) for one in config.evaluate),
                        ("space", config.space.space)):  # fmt: skip
        if name and not spaces:
            raise InputError(f"{place} asks for the space '{name}', but its models have one space; leave it out.")
        if name and name not in spaces:
            raise unknown(f"space ({place})", name, spaces)


def _refuse_unlike(config: StudyConfig, looked: Mapping[str, _Looked], arm: Arm) -> None:
    first, other = config.arms[0].name, looked[arm.name]
    if other.start != looked[first].start:
        ours, theirs = (dataclasses.asdict(looked[name].config.encoder) for name in (first, arm.name))
        differing = [f"{name} is {ours[name]} and {theirs[name]}" for name in ours if ours[name] != theirs[name]]
        differs = "; ".join(differing) or "its weights differ"
        raise InputError(
            f"arms '{first}' and '{arm.name}' start from different encoders ({differs}), so a difference would not be "
            "due to what they learn. Set it alike for all under 'shared' (a method may have a default of its own)."
        )
    if other.rows != looked[first].rows:
        raise InputError(
            f"arms '{first}' and '{arm.name}' train on {looked[first].rows:,} and {other.rows:,} rows of "
            f"{config.data}, because each leaves out the rows that it cannot use. Mend these rows, or give a file "
            "that both can use."
        )


def _steps(config: StudyConfig, arm: Arm, looked: _Looked, say: Callable[[str], None]) -> int:
    """Turn the budget into the steps of an arm."""
    budget = config.budget
    if budget.kind == "steps":
        return int(budget.amount)
    if budget.kind == "passes":
        steps = round(budget.amount / looked.passes)
        if steps < 1:
            raise InputError(
                f"arm '{arm.name}' puts {looked.passes:,} rows through the encoder in a step, more than the budget of "
                f"{budget}; give at least one step to every arm."
            )
        return steps
    say(f"timing {TIMED_STEPS} steps of {arm.name} ...")
    run = config.run_config(arm, seed=config.seeds[0], steps=TIMED_STEPS)
    run = dataclasses.replace(run, data=dataclasses.replace(run.data, eval_data=None))
    with tempfile.TemporaryDirectory() as folder:
        train_run(run, Path(folder) / "run", progress=False)
        with (Path(folder) / "run" / "metrics.csv").open(newline="", encoding="utf-8") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    step_s = statistics.median(later - earlier for earlier, later in itertools.pairwise(seconds[2:]))
    return max(1, round(budget.amount / step_s))


def _request(
    config: StudyConfig, runs: Path, looked: _Looked, run: RunConfig | None, measures: tuple[Measure, ...]
) -> RunRequest:
    versions = {name: installed_versions()[name] for name in ("likewise", "torch", "transformers")}
    wanted: dict[str, Any] = {"start": looked.start, "versions": versions}
    if run is not None:
        tree = run.as_tree()
        wanted |= {
            "method": run.method,
            "settings": tree["settings"],
            "training": {name: value for name, value in tree["training"].items() if name not in FREE_ON_RESUME},
            "encoder": {name: value for name, value in tree["encoder"].items() if name != "encoder"},
            "data": looked.data,
            "validation": [tree["data"]["eval_task"], _validation_fingerprint(run)],
        }
    key = digest(wanted)
    return RunRequest(
        key,
        runs / key,
        (run or looked.config).as_tree(),
        trained=run is not None,
        temperature=looked.temperature if run is not None else None,
        measures=measures,
        keep_model=config.keep_models and run is not None,
    )


def _validation_fingerprint(run: RunConfig) -> str | None:
    """Return the fingerprint of what a run is validated on, None where it is not."""
    if run.data.eval_data is None:
        return None
    return _opened_fingerprint(run.data.eval_task or get_method(run.method).validation, run.data.eval_data)


@lru_cache(maxsize=16)
def _opened_fingerprint(task: str, data: str) -> str:
    from likewise.evaluation import get_task

    found: str = get_task(task).open(data).fingerprint
    return found
