"""``likewise search``: ask an index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from likewise.cli.output import Json, show_rows, write_json

TEXT_WIDTH = 200
"""Characters of a text shown in the table; --json gives all of it."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("search", help="Search an index: by meaning, by words, or both.")(search)


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder that `likewise index` made.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Free text.")],
    k: Annotated[int, typer.Option("--k", "-k", help="How many are shown.", min=1)] = 5,
    mode: Annotated[
        Literal["vector", "text", "hybrid"],
        typer.Option(help="vector: by meaning (cosine); text: by words (BM25); hybrid: both, by reciprocal rank."),
    ] = "vector",
    exact: Annotated[
        bool | None,
        typer.Option("--exact/--approximate", help="Compare with every vector, or use the approximate index."),
    ] = None,
    where: Annotated[str | None, typer.Option(help="Only rows for which this SQL condition on metadata holds.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Where the model is, if it is no longer where the index was made with it.")
    ] = None,
    json: Json = False,
) -> None:
    """Find the rows that fit best."""
    from likewise.search import Index

    found = Index.open(index, model)
    hits = found.search(query, k, mode=mode, exact=exact, where=where)
    if json:
        write_json([hit.as_dict() for hit in hits])
        return
    names = found.metadata_columns
    show_rows(
        ("score", "id", "text", *names),
        [(hit.score, hit.id, _cut(hit.text), *(_cut(hit.metadata.get(name)) for name in names)) for hit in hits],
    )


def _cut(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= TEXT_WIDTH else text[: TEXT_WIDTH - 3] + "..."
