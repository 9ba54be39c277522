"""``likewise study``: several methods or settings on the same data, at equal budget, with error bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from likewise.cli.output import Json, show_mapping, show_rows, write_json

if TYPE_CHECKING:
    from likewise.studies import StudyResult


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("study", help="Compare methods or settings on the same data at equal budget, with error bars.")(study)


def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY.YAML", help="What is compared; docs/studies.md has the form.")],
    out: Annotated[Path, typer.Option(help="Folder of tables and report: new, or of this study, which then goes on.")],
    runs: Annotated[
        Path | None,
        typer.Option(help="Folder in which runs are kept and found again; study-runs beside --out where not given."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Runs at a time, each with its share of the cores.", min=1)] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what another study left in --out.")] = False,
    json: Json = False,
) -> None:
    """Run what is not done yet, compare, and write the tables and the report."""
    import sys

    from likewise.studies import study as compare

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")

    made = compare(file, out, runs=runs, workers=workers, overwrite=overwrite, say=say)
    write_json(made.as_dict()) if json else _show(made)


def _show(made: StudyResult) -> None:
    from likewise.studies.tables import TABLE, table_row

    found = made.found
    shown = [TABLE.index(column) for column in ("arm", "mean", "difference", "over seeds", "verdict")]
    for evaluation, metric in found.main_metrics().items():
        rows = [[row[i] for i in shown] for row in map(table_row, found.of(evaluation, metric))]
        columns = [TABLE[i] for i in shown]
        show_rows(columns, rows, title=f"{evaluation}: {metric}", whole=columns[1:])
    failed = [row for row in found.runs if row["failure"]]
    for row in failed:
        show_mapping({f"failed: {row['arm']}, seed {row['seed']}": row["failure"]})
    show_mapping({"report": made.report, "table": made.table})
