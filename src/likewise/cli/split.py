"""``likewise split``: a test, a long tail, few labels, unknown classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from likewise.cli.options import Columns
from likewise.cli.output import Json, show_mapping, show_rows, write_json


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("split", help="Split a labelled table: test, long tail, few labels, unknown classes.")(split)


def split(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A file, a glob, a folder (of pictures too), hf:OWNER/NAME or demo:NAME, with a column label.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="A new folder: train.parquet, test.parquet, split.json.")],
    columns: Columns = None,
    test_share: Annotated[float, typer.Option(help="Share of each class held out for the test; 0: no test.")] = 0.2,
    imbalance: Annotated[
        float, typer.Option(help="How many times as large the first class is as the last; 1: as they are.")
    ] = 1.0,
    head_rows: Annotated[
        int | None, typer.Option(help="Rows of the first class of a long tail; default those of the largest class.")
    ] = None,
    min_rows: Annotated[int, typer.Option(help="Fewest rows of a class of a long tail.")] = 1,
    order: Annotated[
        str, typer.Option(help="Which classes of a long tail are large: sorted, drawn, or all of them as A,B,C.")
    ] = "sorted",
    decline: Annotated[
        Literal["exponential", "linear"], typer.Option(help="How the sizes of a long tail fall off.")
    ] = "exponential",
    known: Annotated[
        str | None,
        typer.Option(help="Known classes as A,B,C, or how many (the first by name); rows of others have no label."),
    ] = None,
    labelled_share: Annotated[
        float | None, typer.Option(help="Share of the training rows of each known class that keep their label.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option(help="Training rows of each known class that keep their label, instead of a share.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every draw.")] = 0,
    bad_rows: Annotated[Literal["error", "skip"], typer.Option(help="What becomes of rows that are bad.")] = "error",
    json: Json = False,
) -> None:
    """Draw rows by their numbers; the same seed makes the same split of the same file."""
    import likewise
    from likewise.data import SplitPlan
    from likewise.data.renaming import parse_renaming

    plan = SplitPlan(
        test_share=test_share,
        imbalance=imbalance,
        head_rows=head_rows,
        min_rows=min_rows,
        order=order if order in ("sorted", "drawn") else _names(order),
        decline=decline,
        known=int(known) if known is not None and known.isdecimal() else None if known is None else _names(known),
        labelled_share=labelled_share,
        per_class=per_class,
        seed=seed,
    )
    made = likewise.split(data, out=out, plan=plan, rename=parse_renaming(columns), bad_rows=bad_rows)
    if json:
        write_json({"out": str(out), **made.how})
        return
    show_rows(
        ("class", "before", "train", "labelled", "test"),
        [(name, *counts.values()) for name, counts in made.how["classes"].items()],
    )
    show_mapping({"out": out, **made.how["rows"]})


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
