"""``likewise geometry``: what the space of a model is like on your own data, and what is wrong with it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from likewise.cli.options import BatchSize, Columns, Data, ModelArgument, Precision
from likewise.cli.output import Json, show_rows, write_json
from likewise.errors import InputError, nearest

if TYPE_CHECKING:
    from likewise.data import Table
    from likewise.geometry import Geometry

FEWEST_ROWS = 10
"""Rows below which no figure says anything."""

USUAL_TEMPERATURE = 0.05


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("geometry", help="Look at the space of a model: collapse, hubs, gap, false negatives, temperature.")(
        geometry
    )


def geometry(
    model: ModelArgument,
    data: Data,
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
    from likewise.data import Column, Label, Text, open_table
    from likewise.data.renaming import parse_renaming
    from likewise.training.space import space_of

    if temperature is not None and not temperature > 0:
        raise InputError(f"--temperature is {temperature:g}; it must be greater than 0.")
    if max_rows < FEWEST_ROWS:
        raise InputError(f"--max-rows is {max_rows}; it must be at least {FEWEST_ROWS}.")
    table = open_table(
        data,
        columns=(
            Column("text", Text, required=False, all_or_none=True),
            Column("query", Text, required=False, all_or_none=True),
            Column("positive", Text, required=False, all_or_none=True, many=True),
            Column("label", Label, required=False, all_or_none=True),
        ),
        rename=parse_renaming(columns),
        bad_rows=bad_rows,
    )
    looked_at = _looked_at(table)
    at, source = (temperature, "--temperature") if temperature is not None else _temperature(Path(model))
    embedder = likewise.load(model)
    found = space_of(
        lambda: embedder,
        table,
        looked_at,
        roles={"query": "query", "positive": "document"},
        rows=max_rows,
        seed=seed,
        label="label" if "label" in table.column_names else None,
        encoding={"batch_size": batch_size, "precision": precision, "progress": True},
    )(at)
    if json:
        about = {
            "model": model,
            "fingerprint": embedder.fingerprint,
            "data": table.name,
            "data_fingerprint": table.fingerprint,
            "columns": list(looked_at),
            "temperature_from": source,
            "max_rows": max_rows,
            "seed": seed,
        }
        write_json({**about, **found.as_dict()})
    else:
        _show(found, f"{model} on {', '.join(looked_at)} of {table.name}, temperature {at:g} ({source})")


def _looked_at(table: Table) -> tuple[str, ...]:
    """Return the columns that show the space; refuse a table that has none of them, or too few rows.

    Raises:
        InputError: As said.
    """
    names = table.column_names
    found = ("query", "positive") if {"query", "positive"} <= set(names) else ("text",) if "text" in names else ()
    if not found:
        others = [name for name in (*names, *table.extra_names) if name != "label"]
        guess = next((f"{ours}={near}" for ours in ("text", "query") if (near := nearest(ours, others))), None)
        example = guess or f"text={others[0] if others else 'NAME'}"
        raise InputError(
            f"{table.name} has the columns {', '.join(others) or '(none)'}; a column text, or query and positive, is "
            f"needed. Say which is which with --columns, for example --columns {example}."
        )
    if len(table) < FEWEST_ROWS:
        raise InputError(
            f"{table.name} has {len(table)} rows; a space shows from {FEWEST_ROWS} rows on. Give more rows."
        )
    return found


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
