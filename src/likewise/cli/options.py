"""Options that several verbs share, described once."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from likewise.cli.methods import shown_default
from likewise.errors import InputError

if TYPE_CHECKING:
    from likewise.settings import Setting

__all__ = [
    "PART",
    "BatchSize",
    "Columns",
    "Data",
    "ModelArgument",
    "Precision",
    "check_new_file",
    "flag_of",
    "parameter",
    "part_given",
    "setting_option",
    "values_given",
    "with_part",
]

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A trained folder, a packaged model (all-MiniLM-L6-v2), or a hub name.")
]
Data = Annotated[
    str,
    typer.Option(
        help="A file (txt, jsonl, csv, tsv, parquet, tar), a glob, a folder, pictures, hf:OWNER/NAME, demo:NAME."
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(help="OURS=THEIRS pairs: which column of the file is which of ours, as text=body."),
]
BatchSize = Annotated[int, typer.Option(help="Texts encoded at a time.")]
Precision = Annotated[
    Literal["auto", "bf16", "fp32"],
    typer.Option(help="Format of the encoder's products: auto is bf16 where the device computes it fast, else fp32."),
]


def check_new_file(path: Path, endings: Sequence[str]) -> None:
    """Refuse a file that is there already or whose ending says nothing.

    Raises:
        InputError: As said.
    """
    if path.suffix not in endings:
        raise InputError(f"--out {path} must end in {', '.join(endings)}; the ending says what is written.")
    if path.exists():
        raise InputError(f"{path} exists; give another --out, or remove it first.")


def parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """Return one parameter of a command that is built; the annotation holds its option."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


PART = (
    parameter(
        "layers",
        Annotated[
            int | None,
            typer.Option(help="Run only so many of the model's first layers: faster, and good after `train 2dmse`."),
        ],
        None,
    ),
    parameter(
        "dims",
        Annotated[
            int | None,
            typer.Option(
                help="Keep only so many of an embedding's first numbers: smaller, and good after `train 2dmse`."
            ),
        ],
        None,
    ),
    parameter(
        "domain",
        Annotated[
            str | None,
            typer.Option(help="Encode texts of this domain (a language, a subject), if the model knows several."),
        ],
        None,
    ),
    parameter(
        "prompt",
        Annotated[
            str | None,
            typer.Option(help="Text in front of every text, an instruction for example, instead of the model's own."),
        ],
        None,
    ),
    parameter(
        "pooling",
        Annotated[
            Literal["cls", "mean", "last", "weighted", "prompt"] | None,
            typer.Option(
                help="How the vectors of tokens become one, instead of the model's own way; prompt: the mask token "
                'of: This sentence : "TEXT" means [MASK] .'
            ),
        ],
        None,
    ),
    parameter(
        "space",
        Annotated[
            str | None,
            typer.Option(help="Encode in the space of this name, if the model has several, as after `train sepclr`."),
        ],
        None,
    ),
)
"""Options that say what of a model is used, on every verb that embeds; they are arguments of :func:`likewise.load`."""


def part_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a model is asked for among parsed options, as :func:`likewise.load` takes it."""
    return {one.name: options[one.name] for one in PART if options[one.name] is not None}


def with_part(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of :data:`PART`; it gets what was given of them in one, as ``part``."""
    own = inspect.signature(command, eval_str=True)
    others = [one for one in own.parameters.values() if one.name != "part"]

    @functools.wraps(command)
    def taking_part(**given: Any) -> None:
        asked = part_given(given)
        command(part=asked, **{name: value for name, value in given.items() if name not in {one.name for one in PART}})

    place = next((place for place, one in enumerate(others) if one.name == "json"), len(others))
    together = (*others[:place], *PART, *others[place:])
    signature = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in together]
    taking_part.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]  # typer reads it
    taking_part.__annotations__ = {one.name: one.annotation for one in signature}
    return taking_part


def flag_of(setting: Setting) -> str:
    """Return the option of a setting; one of several values is called after one of them, as each is given by itself.

    ``metrics`` is ``--metric``, as in ``--metric ndcg@10 --metric hit@10``; ``--columns`` is the same everywhere.
    """
    several = get_origin(setting.annotation) is tuple and setting.name != "columns"
    name = setting.name.removesuffix("s") if several else setting.name
    return f"--{name.replace('_', '-')}"


def setting_option(setting: Setting, panel: str, *, in_singular: bool = True) -> inspect.Parameter:
    """Turn a setting into an option that is None unless given; the default that holds is only shown.

    Args:
        setting: The setting.
        panel: Group of options that it is listed in.
        in_singular: Whether a setting of several values is called after one of them (:func:`flag_of`).
    """
    several = get_origin(setting.annotation) is tuple
    shown = shown_default(setting.default)
    text = f"{setting.help} Repeat for more." if several and in_singular else setting.help
    text = text if shown == "-" else f"{text} [default: {shown}]"
    names = [flag_of(setting)] if several and in_singular else []
    option = typer.Option(*names, help=text, show_default=False, rich_help_panel=panel)
    return parameter(setting.name, Annotated[_optional(setting.annotation), option], None)


def values_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among parsed options that were given."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in options.items() if v not in (None, [])}


def _optional(annotation: Any) -> Any:
    """Return the type an option parses to: one of the annotation's own, or None where the option is not given."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return _optional(inner[0])
    if get_origin(annotation) is tuple:
        return list[str] | None
    if get_origin(annotation) is Literal:
        return Literal[get_args(annotation)] | None
    return annotation | None
