"""``likewise methods``: what there is, and every setting of one method."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from likewise.cli.output import Json, show_rows, write_json


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("methods", help="List the methods, or show one: paper, columns, every setting.")(methods)


def methods(
    name: Annotated[str | None, typer.Argument(help="A method; all are listed where not given.")] = None,
    json: Json = False,
) -> None:
    """List the methods, or show one."""
    from likewise.methods import METHODS, get_method

    if name is None:
        entries = [_entry(method, get_method(method)) for method in METHODS]
        if json:
            write_json(entries)
            return
        show_rows(
            ("method", "for", "needs", "paper"),
            [(e["method"], e["summary"], ", ".join(c["name"] for c in e["columns"] if c["required"]), e["paper"])
             for e in entries],
        )  # fmt: skip
        return
    _show_one(name, get_method(name), json)


def _entry(name: str, kind: Any) -> dict[str, Any]:
    from likewise.methods import METHODS

    return {
        "method": name,
        "summary": METHODS[name].summary,
        "paper": str(kind.paper),
        "arxiv": kind.paper.arxiv,
        "columns": [
            {
                "name": c.name,
                "kind": c.kind.name,
                "required": c.required,
                "many": c.many,
                "all_or_none": c.all_or_none,
                "help": c.help,
            }
            for c in kind.columns
        ],
        "products": _products(kind),
    }


def _products(kind: Any) -> list[dict[str, str]]:
    from likewise.encoders import ImageEncoderConfig
    from likewise.products import load_product, with_those_of_every_model

    pictures = kind.encoder_config_type is ImageEncoderConfig
    found = with_those_of_every_model(kind.products, pictures=pictures)
    return [{"name": name, "summary": load_product(where).summary} for name, where in found.items()]


def _show_one(name: str, kind: Any, json: bool) -> None:
    from likewise.run_config import RunConfig

    options = RunConfig.options(name)
    if json:
        groups = {
            group: [
                {"name": s.name, "type": type_name(s.annotation), "default": s.default, "help": s.help}
                for s in settings
            ]
            for group, settings in options.items()
        }
        write_json({**_entry(name, kind), "settings": groups})
        return
    import sys

    sys.stdout.write(f"{name}: {_entry(name, kind)['summary']}.\n{kind.paper}\n")
    show_rows(
        ("column", "holds", "needed", "what it is"),
        [(c.name, f"{c.kind.name}{' (one or more)' if c.many else ''}", c.needed, c.help)
         for c in kind.columns],
        title="Columns of a row",
    )  # fmt: skip
    products = _products(kind)
    if products:
        show_rows(
            ("product", "what it does"),
            [(product["name"], product["summary"]) for product in products],
            title="Products of the trained model (likewise use MODEL PRODUCT)",
            whole=("product",),
        )
    titles = {"settings": f"Settings of {name}", "encoder": "Encoder", "training": "Training", "data": "Data"}
    for group in titles:
        show_rows(
            ("setting", "default", "meaning"),
            [(f"--{s.name.replace('_', '-')}", shown_default(s.default), s.help) for s in options[group]],
            title=titles[group],
        )


def type_name(annotation: Any) -> str:
    """Return how a type is called in listings: ``int | None``, ``linear | cosine | constant``."""
    if isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def shown_default(value: Any) -> str:
    """Return a default as people read it."""
    if value is None or value in ((), ""):
        return "-"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
