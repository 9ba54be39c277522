"""``likewise train METHOD``: every setting of the method and of training is an option."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from likewise.cli.help import GroupedCommand, Verbs
from likewise.cli.methods import shown_default
from likewise.cli.output import show_mapping, write_json
from likewise.methods import METHODS

if TYPE_CHECKING:
    from likewise.methods.base import Setting

PANELS = {"data": "Data", "settings": "Method", "encoder": "Encoder", "training": "Training"}


def register(app: typer.Typer, words: Sequence[str]) -> None:
    """Add the verb with a command for each method; only the one that is asked for is loaded, for its options."""
    group = typer.Typer(
        cls=Verbs,
        help="Train a method on your data: likewise train METHOD --data FILE --out FOLDER.",
        no_args_is_help=True,
    )
    asked = next((word for word in words[1:] if not word.startswith("-")), None) if words[:1] == ["train"] else None
    for name, entry in METHODS.items():
        group.command(name, cls=GroupedCommand, help=f"{entry.summary}.")(
            _command(name) if name == asked else _placeholder
        )
    app.add_typer(group, name="train")


def _placeholder() -> None:
    """Stand for a method that is listed, not run."""


def _command(method: str) -> Callable[..., None]:
    """Build the command of one method: a function whose signature holds every setting as an option."""
    from likewise.run_config import RunConfig

    def command(out: Path, config: Path | None, resume: bool, json: bool, **given: Any) -> None:
        _train(method, out, config, resume, json, given)

    fixed = [
        _parameter("out", Path, typer.Option(help="Folder of run and model; new, or with --resume.")),
        _parameter("config", Path | None, typer.Option(help="A run.yaml to take settings from."), None),
        _parameter("resume", bool, typer.Option("--resume", help="Go on with the interrupted run in --out."), False),
        _parameter("json", bool, typer.Option("--json", help="Write exactly one JSON document to stdout."), False),
    ]  # fmt: skip
    options = [
        _option(setting, PANELS[group]) for group, settings in RunConfig.options(method).items() for setting in settings
    ]
    command.__signature__ = inspect.Signature(fixed + options)  # type: ignore[attr-defined]  # typer reads it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in fixed + options}
    return command


def _parameter(name: str, annotation: Any, option: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[annotation, option], default=default
    )


def _option(setting: Setting, panel: str) -> inspect.Parameter:
    """Turn a setting into an option that is None unless given; the method's default is only shown."""
    default = shown_default(setting.default)
    shown = setting.help if default == "-" else f"{setting.help} [default: {default}]"
    option = typer.Option(help=shown, show_default=False, rich_help_panel=panel)
    return _parameter(setting.name, _optional(setting.annotation), option, None)


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


def _train(method: str, out: Path, config: Path | None, resume: bool, json: bool, given: dict[str, Any]) -> None:
    from likewise import artefact, distributed
    from likewise.api import train_run
    from likewise.run_config import RunConfig
    from likewise.training.folder import RESOLVED, read_settings

    values = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v not in (None, [])}
    source = config if config is not None else out / RESOLVED if resume and (out / RESOLVED).exists() else None
    if source is not None:
        values = {**RunConfig.from_tree(read_settings(source)).flat(), **values}
    model = train_run(RunConfig.resolve(method, values), out, resume=resume, progress=True)
    if distributed.rank() != 0:
        return
    about = artefact.read_about(out) or {}
    result = {
        "model": str(out),
        "method": method,
        "dim": model.dim,
        "training": about.get("training", {}),
        "figures": about.get("figures", {}),
    }
    if json:
        write_json(result)
        return
    show_mapping(
        {
            "model": out,
            "method": method,
            "dimensions": model.dim,
            **{name.replace("_", " "): value for name, value in result["training"].items() if value is not None},
            **result["figures"],
        }
    )
