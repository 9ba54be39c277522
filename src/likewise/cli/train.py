"""``likewise train METHOD``: every setting of the method and of training is an option."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from likewise.cli.help import GroupedCommand, Verbs
from likewise.cli.options import parameter, setting_option, values_given
from likewise.cli.output import Json, show_mapping, write_json
from likewise.methods import METHODS

Resume = Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")]
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
        parameter("out", Annotated[Path, typer.Option(help="Folder of run and model; new, or with --resume.")]),
        parameter("config", Annotated[Path | None, typer.Option(help="A run.yaml to take settings from.")], None),
        parameter("resume", Resume, False),
        parameter("json", Json, False),
    ]
    options = [
        setting_option(setting, PANELS[group], in_singular=False)
        for group, settings in RunConfig.options(method).items()
        for setting in settings
    ]
    command.__signature__ = inspect.Signature(fixed + options)  # type: ignore[attr-defined]  # typer reads it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in fixed + options}
    return command


def _train(method: str, out: Path, config: Path | None, resume: bool, json: bool, given: dict[str, Any]) -> None:
    from likewise import artefact, distributed
    from likewise.api import train_run
    from likewise.run_config import RunConfig
    from likewise.training.folder import RESOLVED, read_settings

    values = values_given(given)
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
