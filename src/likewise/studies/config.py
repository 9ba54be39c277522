"""What a study compares: one file that says data, arms, budget, seeds and what is measured."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from likewise.data.renaming import parse_renaming
from likewise.errors import InputError, unknown
from likewise.methods import METHODS
from likewise.run_config import DataConfig, RunConfig
from likewise.training.folder import read_settings

__all__ = ["UNTRAINED", "Arm", "Budget", "Evaluation", "Space", "StudyConfig", "read_study"]

UNTRAINED = "untrained"
"""Name of the arm that is always there: the encoder as it comes."""

DATA_SETTINGS = frozenset(field.name for field in dataclasses.fields(DataConfig)) - {"columns"}
"""Settings that say what is read; they are the study's, never an arm's."""


@dataclass(frozen=True)
class Budget:
    """What all arms get alike.

    Args:
        kind: "steps" (optimiser steps), "passes" (rows through the encoder, the same whatever the batch size and the
            number of views), or "seconds" (training time on this machine, turned into steps by timing a few).
        amount: How much of it, > 0.

    Example:
        >>> str(Budget("passes", 7680))
        '7,680 encoder passes'
    """

    kind: Literal["steps", "passes", "seconds"]
    amount: float

    def __str__(self) -> str:
        unit = {"steps": "optimiser steps", "passes": "encoder passes", "seconds": "seconds of training"}[self.kind]
        return f"{self.amount:,g} {unit}" if self.kind == "seconds" else f"{int(self.amount):,} {unit}"

    @classmethod
    def of(cls, given: object) -> Budget:
        """Read ``{steps: 60}``, ``{passes: 7680}`` or ``{seconds: 120}``.

        Raises:
            InputError: It is none of these.
        """
        kinds = ("steps", "passes", "seconds")
        if isinstance(given, Mapping) and len(given) == 1:
            kind, amount = next(iter(given.items()))
            if kind not in kinds:
                raise unknown("kind of budget", str(kind), kinds)
            whole = kind == "seconds" or isinstance(amount, int)
            if isinstance(amount, int | float) and not isinstance(amount, bool) and amount > 0 and whole:
                return cls(kind, amount)
        raise InputError(
            f"budget is {given!r}; it is one of {{steps: 60}}, {{passes: 7680}} or {{seconds: 120}}, above 0. "
            "Say what every arm gets alike."
        )


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared.

    Args:
        name: What tables call it.
        method: Name of the method.
        settings: Its settings by name, those that all arms share included.
        varied: The settings that its grid varies, with the values that hold here; empty without a grid.
        family: Name of the arm whose grid this one comes from; its own name without a grid.
    """

    name: str
    method: str
    settings: Mapping[str, Any]
    varied: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""


@dataclass(frozen=True)
class Evaluation:
    """A task that every trained model is measured on.

    Args:
        task: Name of a task of ``likewise evaluate``.
        data: What it is measured on; None for a task that brings its own data.
        name: What tables call it.
        columns: The data's name of a column by the task's.
        bad_rows: "error" or "skip".
        settings: Settings of the task.
        space: Which space of the models is measured, where they have several; the first of them where empty.
    """

    task: str
    data: str | None
    name: str
    columns: Mapping[str, str] = field(default_factory=dict)
    bad_rows: Literal["error", "skip"] = "error"
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: str = ""


@dataclass(frozen=True)
class Space:
    """The things whose vectors are looked at before and after training.

    Args:
        data: Rows of ``text``, or of ``query`` and ``positive``; perhaps with a ``label``.
        columns: The data's name of a column by ours.
        max_rows: At most this many rows, drawn once; the same for all arms.
        space: Which space of the models is looked at, as in :class:`Evaluation`.
    """

    data: str
    columns: Mapping[str, str] = field(default_factory=dict)
    max_rows: int = 2000
    space: str = ""


@dataclass(frozen=True)
class StudyConfig:
    """A study; see :func:`read_study` for the form of its file.

    Args:
        name: Title of the report.
        data: What every arm trains on.
        arms: What is compared, grids spread out.
        baseline: Name of the arm that the others are compared with, or "untrained".
        budget: What all arms get alike.
        seeds: One run of every arm for each.
        evaluate: What every model is measured on.
        space: What the geometry before and after is measured on.
        about: What the study asks, in a sentence or two, for the report.
        keep_models: Whether trained models stay in the folder of the runs; they are removed once measured else.
    """

    name: str
    data: str
    arms: tuple[Arm, ...]
    baseline: str
    budget: Budget
    seeds: tuple[int, ...]
    evaluate: tuple[Evaluation, ...]
    space: Space
    about: str = ""
    keep_models: bool = False

    def run_config(self, arm: Arm, *, seed: int, steps: int | None = None) -> RunConfig:
        """Return the resolved settings of one run.

        Raises:
            InputError: A setting is unknown, of the wrong type, or out of its range; the arm is named.
        """
        values = {**arm.settings, "data": self.data, "seed": seed, **({"steps": steps} if steps else {})}
        try:
            return RunConfig.resolve(arm.method, values)
        except InputError as error:
            raise InputError(f"arm '{arm.name}': {error}") from None


KEYS = {
    "name": "title of the report",
    "about": "what the study asks",
    "data": "what every arm trains on",
    "columns": "which column of the data is which of the methods'",
    "shared": "settings of every arm",
    "arms": "what is compared, by name",
    "baseline": "the arm that the others are compared with",
    "budget": "what all arms get alike",
    "seeds": "a number, or a list",
    "evaluate": "tasks that every model is measured on",
    "space": "texts whose geometry is looked at",
    "keep_models": "whether the trained models stay",
}


def read_study(source: Path | Mapping[str, Any], *, folder: Path | None = None) -> StudyConfig:
    """Read what a study compares, and check all that can be checked before anything is run.

    Args:
        source: A YAML file, or what it would hold::

                data: notes.txt                    # anything that `likewise train --data` takes
                shared: {encoder_layers: 2, batch_size: 64}
                arms:
                  simcse: {method: simcse}
                  warm: {method: simcse, temperature: 0.1}
                  sweep: {method: simcse, grid: {temperature: [0.05, 0.2], batch_size: [32, 64]}}
                baseline: simcse
                budget: {steps: 60}                # or {passes: 7680}, or {seconds: 120}
                seeds: 3
                evaluate:
                  - {task: similarity, data: sts.tsv}
                space: {data: notes.txt}           # the training data where not given

        folder: What relative paths start from: the folder of the file, or the working folder.

    Returns:
        The study, with paths resolved.

    Raises:
        InputError: Something is missing, unknown or cannot be compared; the message says which and why.
    """
    if isinstance(source, Path):
        content = read_settings(source)
        folder = folder or source.parent
    else:
        content = dict(source)
    folder = folder or Path()
    for key in content:
        if key not in KEYS:
            raise unknown("part of a study", str(key), KEYS)
    for key in ("data", "arms", "budget", "evaluate"):
        if not content.get(key) and not (key == "evaluate" and content.get(key) == []):  # the space alone
            raise InputError(f"the study has no '{key}' ({KEYS[key]}); add it.")
    arms = _arms(content, folder)
    names = [arm.name for arm in arms]
    baseline = content.get("baseline", names[0])
    if baseline not in (*names, UNTRAINED):
        raise unknown("arm as baseline", str(baseline), (*names, UNTRAINED))
    data = _place(content["data"], folder)
    space = content.get("space") or {}
    _check_mapping("space", space, ("data", "columns", "max_rows", "space"))
    config = StudyConfig(
        name=str(content.get("name", "study")),
        data=data,
        arms=arms,
        baseline=baseline,
        budget=Budget.of(content["budget"]),
        seeds=_seeds(content.get("seeds", 3)),
        evaluate=_evaluations(content["evaluate"], folder),
        space=Space(
            _place(space.get("data", content["data"]), folder),
            _renaming(space.get("columns", content.get("columns") if "data" not in space else None)),
            int(space.get("max_rows", Space.max_rows)),
            str(space.get("space", "")),
        ),
        about=str(content.get("about", "")),
        keep_models=bool(content.get("keep_models", False)),
    )
    for arm in arms:
        config.run_config(arm, seed=config.seeds[0], steps=1)  # an unknown setting is found before anything is run
    return config


def _arms(content: Mapping[str, Any], folder: Path) -> tuple[Arm, ...]:
    arms, shared = content["arms"], dict(content.get("shared") or {})
    if "eval_data" in shared:
        shared["eval_data"] = _place(shared["eval_data"], folder)
    if "encoder" in shared and (folder / str(shared["encoder"])).is_dir():
        shared["encoder"] = str(folder / shared["encoder"])
    if not isinstance(arms, Mapping):
        raise InputError("arms is a list; it is a mapping from a name to settings, as `simcse: {method: simcse}`.")
    columns = _columns(content.get("columns"))
    found: list[Arm] = []
    for name, given in arms.items():
        _check_arm(str(name), given)
        settings = dict(given)
        method, grid = settings.pop("method"), settings.pop("grid", {})
        merged = {**({"columns": columns} if columns else {}), **shared, **settings}
        if "columns" in settings:
            merged["columns"] = _columns(settings["columns"])
        found += _spread(str(name), method, merged, grid)
    for arm in found:
        for other in found:
            same = other.name == arm.name or (other.method, other.settings) == (arm.method, arm.settings)
            if other is not arm and same:
                raise InputError(
                    f"arms '{arm.name}' and '{other.name}' are the same thing; every arm needs a name and settings of "
                    "its own."
                )
    return tuple(found)


def _check_arm(name: str, given: object) -> None:
    if not isinstance(given, Mapping) or "method" not in given:
        raise InputError(f"arm '{name}' names no method; write `{name}: {{method: simcse}}` and its settings.")
    if given["method"] not in METHODS:
        raise unknown(f"method of arm '{name}'", str(given["method"]), METHODS)
    if name == UNTRAINED:
        raise InputError(f"an arm is called '{UNTRAINED}'; that is the encoder as it comes. Give it another name.")
    own = sorted(DATA_SETTINGS & given.keys())
    if own:
        raise InputError(
            f"arm '{name}' sets {own[0]}; arms that read different data cannot be compared. Set it once for the study "
            f"({'as data' if own[0] == 'data' else 'under shared'})."
        )
    for setting in ("seed", "steps", "epochs"):
        if setting in given or (isinstance(given.get("grid"), Mapping) and setting in given["grid"]):
            there = "seeds" if setting == "seed" else "budget"
            raise InputError(f"arm '{name}' sets {setting}; that is the study's: say it under '{there}'.")


def _spread(name: str, method: str, settings: Mapping[str, Any], grid: object) -> list[Arm]:
    """Return an arm for every combination of the grid's values, or the one arm without a grid."""
    if not grid:
        return [Arm(name, method, settings, family=name)]
    if not isinstance(grid, Mapping) or not all(isinstance(v, list) and v for v in grid.values()):
        raise InputError(f"the grid of arm '{name}' is {grid!r}; it is a list of values for each setting.")
    arms = []
    for values in itertools.product(*grid.values()):
        varied = dict(zip(grid, values, strict=True))
        label = ", ".join(f"{setting} {value}" for setting, value in varied.items())
        arms.append(Arm(f"{name}: {label}", method, {**settings, **varied}, varied, name))
    return arms


def _evaluations(given: object, folder: Path) -> tuple[Evaluation, ...]:
    from likewise.evaluation import get_task

    found: list[Evaluation] = []
    for entry in given if isinstance(given, Sequence) and not isinstance(given, str) else [given]:
        if not isinstance(entry, Mapping) or "task" not in entry:
            raise InputError(f"evaluate holds {entry!r}; an entry is {{task: similarity, data: sts.tsv}}.")
        task = get_task(str(entry["task"]))
        if task.reads_data != ("data" in entry):
            needs = "names no data; add data: FILE" if task.reads_data else "brings its own data; leave data out"
            raise InputError(f"the evaluation by {task.name} {needs}.")
        data = _place(entry["data"], folder) if task.reads_data else None
        found.append(
            Evaluation(
                task.name,
                data,
                str(entry.get("name", _called(data or task.name))),
                _renaming(entry.get("columns")),
                entry.get("bad_rows", "error"),
                {k: v for k, v in entry.items() if k not in ("task", "data", "name", "columns", "bad_rows", "space")},
                str(entry.get("space", "")),
            )
        )
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two evaluations are called '{twice}'; give each a name of its own (name: ...).")
    return tuple(found)


def _called(source: str) -> str:
    """Return what tables call data: a name as it is, a file without its folder and ending."""
    return source if source.startswith(("hf:", "demo:", "mteb:")) else Path(source).stem


def _seeds(given: object) -> tuple[int, ...]:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return tuple(range(given))
    if isinstance(given, list) and given and all(type(seed) is int for seed in given) and len({*given}) == len(given):
        return tuple(given)
    raise InputError(f"seeds is {given!r}; it is a number of seeds, or a list of different whole numbers.")


def _check_mapping(name: str, given: object, known: Sequence[str]) -> None:
    if not isinstance(given, Mapping):
        raise InputError(f"{name} is {given!r}; it is a mapping with {', '.join(known)}.")
    for key in given:
        if key not in known:
            raise unknown(f"part of {name}", str(key), known)


def _columns(given: object) -> tuple[str, ...]:
    return tuple(f"{ours}={theirs}" for ours, theirs in _renaming(given).items())


def _renaming(given: object) -> Mapping[str, str]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(ours): str(theirs) for ours, theirs in given.items()}
    if isinstance(given, list | tuple):
        return parse_renaming([str(entry) for entry in given])
    raise InputError(f"columns is {given!r}; it is a mapping from our name to the data's, as {{query: question}}.")


def _place(given: object, folder: Path) -> str:
    """Return where data are: a relative path starts from ``folder``."""
    name = str(given)
    if name.startswith(("hf:", "demo:")):
        return name
    if name.startswith("documents:"):
        return f"documents:{folder / Path(name.removeprefix('documents:')).expanduser()}"
    return str(folder / Path(name).expanduser())
