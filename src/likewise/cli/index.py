"""``likewise index``: make an index of texts or pictures, add to it, delete from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from likewise.cli.options import BatchSize, Precision, with_part
from likewise.cli.output import Json, show_mapping, write_json
from likewise.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("index", help="Make an index of texts or pictures for search; or add to one, or delete from one.")(
        with_part(index)
    )


def index(
    out: Annotated[Path, typer.Option(help="Folder of the index.")],
    part: dict[str, Any],
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Model that embeds the rows; not with --add or --delete.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Texts or pictures with metadata: a file, a glob, a folder, hf:OWNER/NAME or demo:NAME."),
    ] = None,
    text_column: Annotated[
        str,
        typer.Option(help="Column that is embedded and shown; of pictures the words beside them, where there are any."),
    ] = "text",
    image_column: Annotated[str, typer.Option(help="Column of the pictures, for a model that reads these.")] = "image",
    id_column: Annotated[
        str | None, typer.Option(help="Column of the ids; the column id where there is one, else rows are numbered.")
    ] = None,
    approximate: Annotated[
        bool | None,
        typer.Option(
            "--approximate/--exact", help="Build an approximate index beside the vectors; for large data by default."
        ),
    ] = None,
    numbered: Annotated[
        bool, typer.Option("--numbered", help="Number the rows even where there is a column id.")
    ] = False,
    language: Annotated[
        str, typer.Option(help="Language whose words are reduced to stems for the search by words; none: as written.")
    ] = "English",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an index that is there.")] = False,
    add: Annotated[bool, typer.Option("--add", help="Add the rows of --data to the index in --out.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="With --add: rows replace those of the same id.")] = False,
    delete: Annotated[list[str] | None, typer.Option(help="Delete the row of this id (repeat for more).")] = None,
    batch_size: BatchSize = 256,
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Make, extend or shrink an index."""
    import likewise
    from likewise.search import Index

    result: dict[str, Any] = {}
    if part and (model is None or add or delete):
        raise InputError(
            f"--{next(iter(part))} goes with a new index of a MODEL; an index that is there remembers what it was made "
            "with. Leave it out."
        )
    if delete:
        if add or data or model:
            raise InputError("--delete goes alone with --out; add rows by another command.")
        found = Index.open(out)
        result["deleted"] = found.delete(delete)
    elif data is None and approximate and model is None:
        found = Index.open(out)
        found.build_approximate()
    elif data is None:
        raise InputError("no data given; say what to index with --data FILE (or what to remove with --delete ID).")
    elif add:
        found = Index.open(out, model)
        with _progress() as progress:
            result["added"] = found.add(
                data, replace=replace, batch_size=batch_size, precision=precision, progress=progress
            )
    else:
        if model is None:
            raise InputError("no model given; write likewise index MODEL --data FILE --out INDEX.")
        if replace:
            raise InputError("--replace goes with --add.")
        with _progress() as progress:
            found = Index.create(
                out,
                likewise.load(model, **part),
                data,
                text_column=text_column,
                image_column=image_column,
                id_column=id_column,
                numbered=numbered,
                approximate=approximate,
                language=None if language.lower() == "none" else language,
                overwrite=overwrite,
                batch_size=batch_size,
                precision=precision,
                progress=progress,
            )
    result |= found.info()
    if json:
        write_json(result)
        return
    shown = ("added", "deleted", "folder", "rows", "model", "part", "dim", "approximate", "metadata")
    show_mapping({name: _plain(result[name], name) for name in shown if name in result})


def _plain(value: Any, name: str) -> Any:
    if name == "part":
        return ", ".join(f"{what} {much}" for what, much in value.items()) or "all of it"
    return ", ".join(value) or "-" if isinstance(value, dict) else value


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int | None], None]]:
    """Show rows done on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("indexing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
