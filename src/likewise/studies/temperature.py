"""Which temperature to train with: the user's own training at several, and what each does to the space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError
from likewise.products import Product, ProductResult

if TYPE_CHECKING:
    from likewise.artefact import Model
    from likewise.geometry.space import SpaceRows
    from likewise.report import Page
    from likewise.run_config import RunConfig
    from likewise.studies.compare import Comparison

__all__ = ["TemperatureSweep"]

PROJECTION = "projection"
"""The space that the loss has seen, of models that keep it beside their own."""
NEIGHBOURS = 10
OWN = "as trained"
ABOUT = (
    "A low temperature presses on the nearest negatives alone: the space becomes even (uniformity falls), and things "
    "of one kind are pushed apart (tolerance falls). A high one does the contrary. The best lies where neither is lost."
)
FIGURES = {
    "uniformity": "lower: more even",
    "tolerance": "mean cosine within a class",
    "neighbours": "accuracy",
    "probe": "accuracy",
    "effective_negatives": "negatives that push a row",
}
"""What is drawn over the temperature, with what the axis says."""
WITHOUT_TRAINING = {
    "effective_negatives": "negatives that push a row",
    "same_label_push": "share of the push on rows of the own class",
}


@dataclass(frozen=True)
class TemperatureSweep(Product):
    """Settings of the sweep; see the module."""

    summary: ClassVar[str] = "Tell which temperature to train with: train anew at several, and plot what each does"

    data: str = ""
    """What is trained on, as --data of train: the model is trained anew at each temperature, with its own settings."""
    labelled: str = ""
    """Rows with labels to measure on (neighbours, a linear probe, the tolerance); --data where its rows have labels."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pair: which column of the data is which of ours, as image=path."""
    out: str = ""
    """Folder for temperature.html, and for the study behind it with its runs; needed to train."""
    temperatures: tuple[float, ...] = (0.07, 0.15, 0.3, 0.6, 1.0)
    """Temperatures, > 0; that of the model is always among them."""
    hard: float = 0.0
    """Train with only this share of the negatives, the hardest, at each temperature too, in (0, 1], for a method that
    can (contrastive-behaviour; paper: 0.03 to 0.08); 0: do not."""
    steps: int | None = None
    """Optimiser steps of each run, >= 1; as many as the model was trained for where not given."""
    seeds: int = 1
    """Runs of each temperature, >= 1, each with another seed; three say how sure a difference is."""
    workers: int = 1
    """Runs at a time, >= 1."""
    retrain: bool = True
    """Off: do not train, and tell of the model as it is how many negatives would push a row at each temperature, and
    how much of the push its own class would get."""
    max_rows: int = 2000
    """Rows that the space is looked at with, drawn once, >= 10."""

    def run(self, model: Model) -> ProductResult:
        """Train and measure, or only look, and write the page.

        The rows have, for each temperature: ``uniformity``; with labels ``tolerance``, and the accuracy of the 10
        nearest ``neighbours`` and of a ``probe``, on labelled rows held out from both, with the ``verdict`` of the
        study on the former against the model's own temperature; ``penalty_entropy`` in nats and
        ``effective_negatives``, its exponential. Where the method keeps its head, uniformity, tolerance and entropy are
        those of the vectors behind it, which the loss has seen; accuracies are those of the model itself.

        With labels the figures say which temperature has the ``best`` accuracy of neighbours, and ``advice`` what to
        do; without, nothing but the dilemma is told.

        Raises:
            InputError: The method has no temperature, a number is out of its range, or the data cannot be used.
        """
        self._check(model)
        config = _config(model)
        temperatures = sorted({*self.temperatures, config.settings.temperature})
        if not self.retrain:
            return self._looked(model, temperatures)
        return self._trained(model, config, temperatures)

    def _check(self, model: Model) -> None:
        if not self.data:
            raise InputError("no data given; say what to train on with --data.")
        if model.folder is None or not model.about:
            raise InputError(f"{model.embedder.name} was not trained here, so there is no training to repeat.")
        if self.retrain and not self.out:
            raise InputError("no folder given for the runs; say where they go with --out, or give --no-retrain.")
        bad = [one for one in self.temperatures if not 0 < one < math.inf]
        if bad:
            raise InputError(f"a temperature is {bad[0]}; it must be above 0 and finite.")
        if not 0 <= self.hard <= 1:
            raise InputError(f"hard is {self.hard}; a share of the negatives in (0, 1] is accepted, or 0.")
        for name, value in (("steps", self.steps), ("seeds", self.seeds), ("workers", self.workers)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")

    def _looked(self, model: Model, temperatures: Sequence[float]) -> ProductResult:
        """Tell of the model as it is."""
        from likewise.geometry import penalty_entropy, same_label_push

        space, name = self._space(), _space_of(model)
        embedder = model.embedder
        if name:
            from likewise import artefact

            embedder = artefact.load(model.folder or "", space=name)
        vectors = space.encode(embedder, precision="fp32")[0]
        rows: list[dict[str, Any]] = []
        for temperature in temperatures:
            entropy = float(penalty_entropy(vectors, temperature=temperature).double().mean())
            rows.append(
                {
                    "temperature": temperature,
                    "penalty_entropy": round(entropy, 4),
                    "effective_negatives": round(math.exp(entropy), 1),
                }
            )
            if space.labels is not None:
                push = same_label_push(vectors, space.labels, temperature=temperature)
                rows[-1]["same_label_push"] = round(push, 4)
        figures = {"rows": len(space), "trained_at": _config(model).settings.temperature}
        if not self.out:
            return ProductResult(figures, rows)
        page = _page(
            model,
            f"{len(space):,} rows in the space as it is; nothing was trained. How many negatives would push a row at "
            "each temperature, as a smooth number, and how much of the push rows of its own class would get.",
        )
        _draw(page, {OWN: rows}, WITHOUT_TRAINING)
        _table(page, rows)
        return ProductResult(figures, rows, [self._write(page)])

    def _trained(self, model: Model, config: RunConfig, temperatures: Sequence[float]) -> ProductResult:
        """Train at each temperature and measure."""
        from likewise.studies.study import study

        out = Path(self.out)
        made = study(self._study(model, config, temperatures), out / "study", runs=out / "runs", workers=self.workers)
        rows = _rows(made.found, config.settings.temperature)
        figures: dict[str, Any] = {
            "trained_at": config.settings.temperature,
            "steps": int(made.found.plan.config.budget.amount),
            "seeds": self.seeds,
        }
        if "neighbours" in rows[0]:
            figures |= _advice(rows, config, self.hard)
        page = _page(model, ABOUT)
        if "advice" in figures:
            page.text(figures["advice"])
        else:
            page.text(
                "Rows have no labels, so that nothing here says which temperature is best: give some with --labelled."
            )
        lines = {
            name: [row for row in rows if row["arm"] == name] for name in dict.fromkeys(row["arm"] for row in rows)
        }
        _draw(page, lines, FIGURES)
        _table(page, rows)
        page.soft(
            f"Each run had {figures['steps']:,} steps; {self.seeds} for each temperature. All of it, with intervals, "
            "curves and neighbours, is in study/report.html."
        )
        return ProductResult(figures, rows, [self._write(page), made.report])

    def _study(self, model: Model, config: RunConfig, temperatures: Sequence[float]) -> Mapping[str, Any]:
        """Return the study behind the page."""
        own = config.settings.temperature
        arms: dict[str, Any] = {OWN: {"method": config.method, "grid": {"temperature": list(temperatures)}}}
        shared = _shared(config)
        if self.hard:
            if "keep_fraction" not in shared:
                raise InputError(f"{config.method} has no loss with the hardest negatives only; leave --hard out.")
            hard = {"keep_fraction": self.hard, "keep_top_k": None}
            arms[f"hardest {100 * self.hard:g} %"] = {**arms[OWN], **hard}
        labelled = self.labelled or (self.data if self._space().labels is not None else "")
        where = {"columns": list(self.columns)} if self.columns else {}
        space, name = {"data": labelled or self.data, "max_rows": self.max_rows, **where}, _space_of(model)
        return {
            "name": f"temperatures of {config.method}",
            "about": ABOUT,
            "data": self.data,
            **where,
            "shared": {name: value for name, value in shared.items() if name != "temperature"},
            "arms": arms,
            "baseline": f"{OWN}: temperature {own}",
            "budget": {"steps": self.steps or int(model.about["training"]["steps"])},
            "seeds": self.seeds,
            "evaluate": [
                {"task": "knn", "data": labelled, "name": "neighbours", "k": self._neighbours(labelled), **where},
                {"task": "probe", "data": labelled, "name": "probe", **where},
            ]
            if labelled
            else [],
            "space": {**space, "space": name} if name else space,
        }

    def _space(self) -> SpaceRows:
        from likewise.data.renaming import parse_renaming
        from likewise.geometry.space import open_space

        return open_space(self.labelled or self.data, rename=parse_renaming(self.columns), rows=self.max_rows)

    def _neighbours(self, labelled: str) -> int:
        """Return how many neighbours vote: 10, or as many as there are rows to vote."""
        from likewise.data.renaming import parse_renaming
        from likewise.evaluation import get_task

        opened = get_task("knn").open(labelled, rename=parse_renaming(self.columns))
        return min(NEIGHBOURS, len(opened.train.inputs))

    def _write(self, page: Page) -> Path:
        path = Path(self.out) / "temperature.html"
        page.write(path)
        return path


def _config(model: Model) -> RunConfig:
    from likewise.run_config import RunConfig

    config = RunConfig.from_tree(model.about["settings"])
    without = getattr(config.settings, "loss", None) == "simple"
    if without or not isinstance(getattr(config.settings, "temperature", None), float):
        raise InputError(
            f"{config.method}{' with --loss simple' if without else ''} has no temperature; this is for models of a "
            "loss with one."
        )
    return config


def _shared(config: RunConfig) -> dict[str, Any]:
    """Return the settings that all runs have: those of the model, but what the study itself says."""
    import dataclasses

    from likewise.run_config import DataConfig

    said = {field.name for field in dataclasses.fields(DataConfig)} - {"encoding"} | {"steps", "epochs", "seed"}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in config.flat().items()
        if name not in said
    }


def _space_of(model: Model) -> str:
    """Return the space that the loss has seen, where the model keeps it; else an empty name, the model itself."""
    return PROJECTION if PROJECTION in model.about.get("model", {}).get("spaces", []) else ""


def _rows(found: Comparison, own: float) -> list[dict[str, Any]]:
    """Return what the study says of each arm, as means over seeds."""
    geometry: dict[str, dict[str, list[float]]] = {}
    for row in found.geometry:
        geometry.setdefault(row["arm"], {}).setdefault(row["figure"], []).append(row["value"])
    measured = {(one.arm, one.evaluation): one for one in found.measured if one.metric == "accuracy"}
    rows = []
    for arm in found.plan.config.arms:
        if arm.name not in geometry:  # all its runs have failed
            continue
        made: dict[str, Any] = {"arm": arm.family, "temperature": float(arm.varied["temperature"])}
        for name in ("uniformity", "tolerance", "neighbours", "probe", "penalty_entropy", "effective_negatives"):
            if name in ("neighbours", "probe"):  # a space has a figure of the first name too
                if (arm.name, name) in measured:
                    made[name] = round(measured[arm.name, name].mean, 4)
            elif name in geometry[arm.name]:
                values = geometry[arm.name][name]
                made[name] = round(sum(values) / len(values), 4)
        if (arm.name, "neighbours") in measured:
            made["verdict"] = measured[arm.name, "neighbours"].verdict
        rows.append(made)
    return rows


def _advice(rows: Sequence[Mapping[str, Any]], config: RunConfig, hard: float) -> dict[str, Any]:
    """Return the arm with the best neighbours, and a sentence on what to do."""
    best = max(rows, key=lambda row: row["neighbours"])
    own = next(row for row in rows if row["verdict"] == "baseline")
    named = f"{best['temperature']:g} ({best['arm']})"
    if best is own:
        said = f"Stay at {named}: none has a better mean of neighbours ({own['neighbours']:.4f})."
    elif best["verdict"] == "better":
        said = f"Train at {named}: neighbours {best['neighbours']:.4f} against {own['neighbours']:.4f}."
    else:
        said = (
            f"{named} has the best mean of neighbours, {best['neighbours']:.4f} against {own['neighbours']:.4f} at "
            f"{own['temperature']:g}, but the two are not told apart: more --seeds, or more labelled rows, would say."
        )
    if (
        "keep_fraction" in _shared(config)
        and not hard
        and best["temperature"] < max(row["temperature"] for row in rows)
    ):
        said += (
            " If you need a higher temperature, so that classes are not torn apart, --hard 0.08 tries the hardest "
            "negatives only, under which the space stays even."
        )
    return {"best": named, "advice": said}


def _page(model: Model, lead: str) -> Page:
    from likewise.report import Page

    return Page(f"Which temperature? {model.about['method']}", lead)


def _draw(page: Page, lines: Mapping[str, Sequence[Mapping[str, Any]]], figures: Mapping[str, str]) -> None:
    from likewise.report import plots

    page.section("Over the temperature")
    for name, axis in figures.items():
        drawn = {line: rows for line, rows in lines.items() if rows and name in rows[0]}
        if not drawn:
            continue
        curves = [
            plots.Curve(line, [row["temperature"] for row in rows], [row[name] for row in rows])
            for line, rows in drawn.items()
        ]
        said = name.replace("_", " ")
        page.figure(
            plots.curves(curves, x="temperature", y=f"{said} ({axis})", log_x=True),
            caption=f"{said[0].upper()}{said[1:]} over the temperature.",
            alt="; ".join(
                f"{curve.name}: " + ", ".join(f"{y:.3f} at {x:g}" for x, y in zip(curve.x, curve.y, strict=True))
                for curve in curves
            ),
        )


def _table(page: Page, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    words = ("arm", "verdict")
    page.section("All figures")
    page.table(
        [name.replace("_", " ") for name in names],
        [[row[name] if name in words else f"{row[name]:.4g}" for name in names] for row in rows],
        numbers=[name.replace("_", " ") for name in names if name not in words],
    )
