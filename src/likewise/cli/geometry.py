"""``likewise geometry``: what the space of a model is like on your own data, and what is wrong with it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from likewise.cli.options import BatchSize, Columns, Data, ModelArgument, Precision, with_part
from likewise.cli.output import Json, show_rows, write_json
from likewise.errors import InputError

if TYPE_CHECKING:
    from likewise.geometry import Geometry

USUAL_TEMPERATURE = 0.05


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("geometry", help="Look at the space of a model: collapse, hubs, gap, false negatives, temperature.")(
        with_part(geometry)
    )


def geometry(
    model: ModelArgument,
    data: Data,
    part: dict[str, Any],
    columns: Columns = None,
    bad_rows: Annotated[
        Literal["error", "skip"], typer.Option(help="error stops at a row that cannot be used; skip leaves it out.")
    ] = "error",
    temperature: Annotated[
        float | None,
        typer.Option(help="Divisor of the cosines, > 0; that of the model's own run, or 0.05, where not given."),
    ] = None,
    max_rows: Annotated[int, typer.Option(help="Rows looked at; drawn where the data has more.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of every draw.")] = 0,
    batch_size: BatchSize = 256,
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Describe a file of text, or of query and positive, with classes where there is a column label."""
    import likewise
    from likewise.data.renaming import parse_renaming
    from likewise.geometry.space import open_space

    if temperature is not None and not temperature > 0:
        raise InputError(f"--temperature is {temperature:g}; it must be greater than 0.")
    space = open_space(data, rename=parse_renaming(columns), bad_rows=bad_rows, rows=max_rows, seed=seed)
    at, source = (temperature, "--temperature") if temperature is not None else _temperature(Path(model))
    embedder = likewise.load(model, **part)
    sides = space.encode(embedder, batch_size=batch_size, precision=precision, progress=True)
    found = space.described(*sides, temperature=at)
    if json:
        about = {
            "model": model,
            **part,
            "fingerprint": embedder.fingerprint,
            "data": space.name,
            "data_fingerprint": space.fingerprint,
            "columns": list(space.inputs),
            "temperature_from": source,
            "max_rows": max_rows,
            "seed": seed,
        }
        write_json({**about, **found.as_dict()})
    else:
        _show(found, f"{model} on {', '.join(space.inputs)} of {space.name}, temperature {at:g} ({source})")


def _temperature(folder: Path) -> tuple[float, str]:
    """Return the temperature that a model was trained at, or the usual one, and where it comes from."""
    from likewise import artefact

    about = artefact.read_about(folder) or {}
    trained = about.get("settings", {}).get("settings", {}).get("temperature")
    if not isinstance(trained, int | float):
        return USUAL_TEMPERATURE, "the usual one: the model names none"
    metrics = folder / "metrics.csv"  # where the temperature was learned, its last value is there
    if metrics.exists():
        with metrics.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        trained = rows[-1].get("temperature") or trained if rows else trained
    return float(trained), "that of the model's run"


def _show(found: Geometry, title: str) -> None:
    from likewise.geometry import FIGURES

    rows = []
    for name, value in found.figures.items():
        meaning = FIGURES[name]
        shown = f"{value:,.0f}" if value == int(value) and abs(value) >= 2 else f"{value:.4f}"
        rows.append((name, shown, meaning.worst, meaning.best, meaning.about))
    columns = ("figure", "value", "worst", "best", "what it is")
    show_rows(columns, rows, title=title, whole=columns[:4])
    for finding in found.findings:
        sys.stdout.write(f"{finding.level}: {finding.message}\n")
    if not found.findings:
        sys.stdout.write("nothing to warn of\n")
