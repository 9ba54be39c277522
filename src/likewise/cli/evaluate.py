"""``likewise evaluate``: how good a model is at a task, on your own data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from likewise.cli.help import GroupedCommand
from likewise.cli.options import (
    PART,
    BatchSize,
    Columns,
    Data,
    ModelArgument,
    Precision,
    parameter,
    part_given,
    setting_option,
    values_given,
    with_part,
)
from likewise.cli.output import Json, show_rows, write_json
from likewise.errors import InputError
from likewise.evaluation.tasks import MTEB, TASKS, Task, get_task

if TYPE_CHECKING:
    from likewise.evaluation import Result

HELP = "Measure a model on a task; --task NAME --help shows the options of a task."
PANELS = {"data": "Data of the task", "settings": "Task"}

TaskOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        is_eager=True,
        help="What is measured; likewise evaluate --help lists the tasks.",
        callback=lambda name: _known(name),
    ),
]
BadRows = Annotated[
    Literal["error", "skip"], typer.Option(help="error stops at a row that cannot be used; skip leaves it out.")
]
Bootstrap = Annotated[int, typer.Option(min=0, help="Replicates of the 95 % intervals; 0: no intervals.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the replicates, and of what else the task draws.")]


class TaskCommand(GroupedCommand):
    """The verb without a task: its options, and which tasks there are."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the tasks."""
        super().format_options(ctx, formatter)
        with formatter.section("Tasks"):
            formatter.write_dl([(task.name, f"{task.summary}.") for task in (*TASKS.values(), MTEB)])


def register(app: typer.Typer, words: Sequence[str]) -> None:
    """Add the verb with the options of the task that is asked for; only that one is loaded."""
    task = _asked(words)
    if task is not None:
        app.command("evaluate", cls=GroupedCommand, help=_help(task))(_command(task))
        return
    # Which options there are depends on the task, so that without one nothing is said about them.
    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    app.command("evaluate", cls=TaskCommand, help=HELP, context_settings=anything)(with_part(_without_task))


def _asked(words: Sequence[str]) -> Task | None:
    """Return the task that the words name, where it exists."""
    if words[:1] != ["evaluate"]:
        return None
    named = [after for word, after in zip(words, [*words[1:], ""], strict=True) if word == "--task"]
    named += [word.removeprefix("--task=") for word in words if word.startswith("--task=")]
    try:
        return get_task(named[-1]) if named else None
    except InputError:
        return None


def _known(name: str) -> str:
    try:
        get_task(name)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    return name


def _help(task: Task) -> str:
    from likewise.data.columns import needed_columns

    columns = [
        " or ".join(f"{column.name} ({column.help})" for column in either) for either in needed_columns(task.columns)
    ]
    needed = f" Columns: {', '.join(columns)}." if columns else ""
    return f"{task.summary}.{needed} Quote {task.main_metric}."


def _without_task(
    model: ModelArgument,
    task: TaskOption,
    data: Data,
    part: dict[str, Any],
    columns: Columns = None,
    bad_rows: BadRows = "error",
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    batch_size: BatchSize = 256,
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Stand for the verb where no task is known: the parser refuses the words, or shows the help."""


def _command(task: Task) -> Callable[..., None]:
    """Build the command of one task: a function whose signature holds every setting as an option."""
    options = {
        group: [setting_option(setting, PANELS[group]) for setting in settings]
        for group, settings in task.options().items()
    }
    shared = [
        parameter("model", ModelArgument),
        parameter("task", TaskOption),
        *([parameter("data", Data), parameter("columns", Columns, None), parameter("bad_rows", BadRows, "error"),
           parameter("bootstrap", Bootstrap, 1000), parameter("seed", Seed, 0)] if task.reads_data else []),
        parameter("batch_size", BatchSize, 256),
        parameter("precision", Precision, "auto"),
        *PART,
        parameter("json", Json, False),
    ]  # fmt: skip

    def command(model: str, json: bool, **given: Any) -> None:
        groups = {
            group: values_given({one.name: given[one.name] for one in several}) for group, several in options.items()
        }
        result = _measure(task, model, groups["data"], groups["settings"], given)
        write_json(result.as_dict()) if json else _show(result)

    signature = [*shared, *options["data"], *options["settings"]]
    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]  # typer reads it
    command.__annotations__ = {one.name: one.annotation for one in signature}
    return command


def _measure(
    task: Task, model: str, opening: dict[str, Any], settings: dict[str, Any], given: dict[str, Any]
) -> Result:
    import likewise
    from likewise.data.renaming import parse_renaming
    from likewise.settings import build_settings

    build_settings(task.definition.settings, settings, of=task.name)  # before data and model are read
    shared = {name: given[name] for name in ("batch_size", "precision", "bootstrap", "seed") if name in given}
    opened = task.open(
        given.get("data"),
        rename=parse_renaming(given.get("columns")),
        bad_rows=given.get("bad_rows", "error"),
        **opening,
    )
    return task.measure(likewise.load(model, **part_given(given)), opened, progress=True, **shared, **settings)


def _show(result: Result) -> None:
    def row(name: str, metric: str, part: Result) -> tuple[str, ...]:
        low, high = part.intervals.get(metric, (None, None))
        interval = f"{low:.4f} to {high:.4f}" if low is not None and high is not None else "-"
        return (name, metric, f"{part.metrics[metric]:.4f}", interval, f"{part.num_items} {part.items}")

    import sys

    rows = [row(name, metric, part) for name, part in result.parts.items() for metric in part.metrics]
    rows += [row("mean" if result.parts else result.data, metric, result) for metric in result.metrics]
    show_rows(("data", "metric", "value", "95 % interval", "over"), rows, title=f"{result.task} of {result.model}")
    settings = (
        f"{name.replace('_', ' ')} {_shown(value)}" for name, value in result.settings.items() if value is not None
    )
    sys.stdout.write(f"Settings: {', '.join(settings)}.\n")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " | ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
