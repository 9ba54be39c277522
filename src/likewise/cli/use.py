"""``likewise use MODEL PRODUCT``: what a trained model is for, beside search."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likewise.cli.help import GroupedCommand
from likewise.cli.options import PART, ModelArgument, parameter, setting_option, values_given
from likewise.cli.output import Json, show_mapping, show_rows, write_json
from likewise.errors import InputError

if TYPE_CHECKING:
    from likewise.products import Product, ProductResult

HELP = "Use a trained model for what its method is for; likewise use MODEL lists what that is."

ProductArgument = Annotated[
    str | None, typer.Argument(metavar="PRODUCT", help="What to do; without it the model's products are listed.")
]


def register(app: typer.Typer, words: Sequence[str]) -> None:
    """Add the verb with the options of the product that is asked for."""
    product = _asked(words)
    if product is None:
        # Which options there are depends on the product, so that without one nothing is said about them.
        anything = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command("use", help=HELP, context_settings=anything)(_list)
        return
    app.command("use", cls=GroupedCommand, help=f"{product.summary}.")(_command(product))


def _asked(words: Sequence[str]) -> type[Product] | None:
    """Return the product that the words name, where it exists."""
    if words[:1] != ["use"]:
        return None
    model, name, *_ = [*(word for word in words[1:] if not word.startswith("-")), "", ""]
    if not model or not name:
        return None
    from likewise.products import get_product

    try:
        return get_product(model, name)
    except InputError:
        return None


def _list(context: typer.Context, model: ModelArgument, product: ProductArgument = None, json: Json = False) -> None:
    """List the products of a model; a product that is not there is refused."""
    from likewise.products import get_product, products_of

    if product is not None:
        get_product(model, product)
    if context.args:
        raise InputError(f"no product was named before '{context.args[0]}'; likewise use MODEL lists them.")
    found = {name: get_product(model, name) for name in products_of(model)}
    if json:
        write_json([{"product": name, "summary": one.summary} for name, one in found.items()])
        return
    show_rows(("product", "what it does"), [(name, one.summary) for name, one in found.items()], whole=("product",))


def _command(product: type[Product]) -> Callable[..., None]:
    """Build the command of one product: a function whose signature holds every setting as an option."""
    from likewise.settings import settings_of

    settings = {setting.name: setting for setting in settings_of(product)}
    word = settings.get(product.argument or "")
    arguments = [parameter("model", ModelArgument), parameter("product", ProductArgument)]
    if word is not None:
        asked = typer.Argument(metavar=word.name.upper(), help=word.help)
        arguments.append(parameter(word.name, Annotated[str, asked]))
    as_all_verbs = {"columns", *(one.name for one in PART)}  # these have a name already
    options = [
        setting_option(setting, "Product", in_singular=name not in as_all_verbs)
        for name, setting in settings.items()
        if setting is not word
    ]
    signature = [*arguments, *options, parameter("json", Json, False)]

    def command(model: str, product: str, json: bool, **given: Any) -> None:
        from likewise.products import use

        result = use(model, product, **values_given(given))
        write_json({"product": product, **result.as_dict()}) if json else _show(result)

    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]  # typer reads it
    command.__annotations__ = {one.name: one.annotation for one in signature}
    return command


def _show(result: ProductResult) -> None:
    if result.rows:
        columns = list(result.rows[0])
        whole = [name for name in columns if all(isinstance(row[name], int | float) for row in result.rows)]
        show_rows(columns, [[row[name] for name in columns] for row in result.rows], whole=whole)
    if result.figures:
        show_mapping({name.replace("_", " "): value for name, value in result.figures.items()})
    for file in result.files:
        sys.stdout.write(f"written: {file}\n")
