"""``likewise search``: ask an index."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from likewise.cli.output import Json, show_rows, write_json
from likewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import PIL.Image

    from likewise.search import Hit, Index

TEXT_WIDTH = 200
"""Characters of a text shown in the table; --json gives all of it."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("search", help="Search an index: by meaning, by words, or both.")(search)


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder that `likewise index` made.")],
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY",
            help="Free text; of an index of pictures a picture file, or with --mode text the words beside them.",
        ),
    ],
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
    page: Annotated[
        Path | None, typer.Option(help="HTML file for what was found, with the pictures of an index of pictures.")
    ] = None,
    json: Json = False,
) -> None:
    """Find the rows that fit best."""
    from likewise.products.base import file_for_page
    from likewise.search import Index

    found = Index.open(index, model)
    hits = found.search(query, k, mode=mode, exact=exact, where=where)
    if page is not None:
        _write_page(file_for_page(str(page)), query, found, hits, by_picture=mode == "vector")
    if json:
        write_json([hit.as_dict() for hit in hits])
        return
    names = [name for name in found.metadata_columns if name != found.about.path_column]
    show_rows(
        ("score", "id", "text", *names),
        [(hit.score, hit.id, _cut(hit.text), *(_cut(hit.metadata.get(name)) for name in names)) for hit in hits],
    )
    if page is not None:
        sys.stdout.write(f"written: {page}\n")


def _write_page(path: Path, query: str, index: Index, hits: Sequence[Hit], *, by_picture: bool) -> None:
    """Write what was found as a page: pictures as such, where their files can be read, and a table of all."""
    from likewise.data import StoredImage
    from likewise.report import Page
    from likewise.report.pictures import picture_gallery

    page = Page(query, f"The {len(hits)} of {len(index):,} rows that fit best, in the index {index.folder}.")
    column = index.about.path_column
    if column is not None:
        if by_picture:
            page.section("Query")
            page.raw(picture_gallery([(StoredImage.of(query).rgb(), "", query)]))
        page.section("Found")
        pictures = [(_picture(hit.metadata.get(column)), hit) for hit in hits]
        shown = [(picture, f"{hit.score:.3f}", hit.text) for picture, hit in pictures if picture is not None]
        page.raw(picture_gallery(shown))
        if len(shown) < len(hits):
            page.soft(
                f"{len(hits) - len(shown)} are not shown: the index knows no file of theirs, or it cannot be read."
            )
    page.section("Rows")
    names = [name for name in index.metadata_columns if name != column]
    page.table(
        ["score", "id", "text", *names],
        [(f"{hit.score:.3f}", hit.id, hit.text, *(hit.metadata.get(name) for name in names)) for hit in hits],
        numbers=["score"],
    )
    page.write(path)


def _picture(path: str | None) -> PIL.Image.Image | None:
    """Return the picture of a file, if it is still there and one."""
    from likewise.data import StoredImage

    try:
        return None if path is None else StoredImage.of(path).rgb()
    except (InputError, ValueError, OSError):
        return None


def _cut(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= TEXT_WIDTH else text[: TEXT_WIDTH - 3] + "..."
