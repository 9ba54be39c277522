"""``likewise quickstart``: the first five minutes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from likewise.cli.output import Json, show_rows, write_json

if TYPE_CHECKING:
    from likewise.quickstart import Quickstart


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("quickstart", help="Train, measure, index and ask a reverse dictionary, in about five minutes.")(run)


def run(
    out: Annotated[
        Path | None, typer.Option(help="A new folder for everything that is made; quickstart (or quickstart-2 ...).")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; fewer are quicker and worse.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Start of all random numbers.")] = 0,
    json: Json = False,
) -> None:
    """Train definition -> word on WordNet, and show what it helped."""
    from likewise.quickstart import quickstart

    made = quickstart(out or _free_folder(), steps=steps, seed=seed, say=lambda line: _say(line))
    write_json(made.as_dict()) if json else _show(made)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _free_folder() -> Path:
    number = 1
    while (folder := Path("quickstart" if number == 1 else f"quickstart-{number}")).exists():
        number += 1
    return folder


def _show(made: Quickstart) -> None:
    from likewise.quickstart.report import next_commands

    show_rows(
        ("on held-out words", "before", "after"),
        [(name, made.before[name], made.after[name]) for name in made.before],
    )
    for query, hits in made.queries.items():
        sys.stdout.write(f'"{query}": {", ".join(hit.text for hit in hits)}\n')
    sys.stdout.write(f"\n{made.geometry['after']}\n")
    sys.stdout.write(f"model {made.model}   index {made.index}   report {made.report}   {made.seconds:.0f} s\n")
    sys.stdout.write("\nTry next:\n" + "".join(f"  {command}\n" for command in next_commands(made)))
