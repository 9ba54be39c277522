"""How results reach people and machines: tables or one JSON document on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

__all__ = ["Json", "fail", "show_mapping", "show_rows", "write_json"]

Json = Annotated[bool, typer.Option("--json", help="Write exactly one JSON document to stdout.")]


def write_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")


def show_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    title: str | None = None,
    *,
    whole: Sequence[str] = (),
) -> None:
    """Print a table; the columns ``whole`` are not folded or cut, however narrow the terminal: its lines may wrap."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[_shown(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for place, column in enumerate(columns):
        needs = max((len(row[place]) for row in cells), default=0) if column in whole else None
        table.add_column(column, overflow="fold", no_wrap=column in whole, min_width=needs)
    for row in cells:
        table.add_row(*map(Text, row))
    console = Console()
    least = console.measure(table).minimum
    (console if least <= console.width else Console(width=least)).print(table)


def show_mapping(values: Mapping[str, Any]) -> None:
    """Print names and values in two columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False)
    for name, value in values.items():
        table.add_row(name, Text(_shown(value), overflow="fold"))
    Console().print(table)


def fail(message: str, code: int) -> int:
    """Write one sentence to stderr and return the exit code."""
    sys.stderr.write(f"likewise: {message}\n")
    return code


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
