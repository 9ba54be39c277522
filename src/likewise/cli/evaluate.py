"""``likewise evaluate``: how good a model is at a task, on your own data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from likewise.cli.options import BatchSize, Columns, Data, ModelArgument, Precision
from likewise.cli.output import Json, show_rows, write_json

if TYPE_CHECKING:
    from likewise.evaluation import Result


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("evaluate", help="Measure a model on a task: retrieval or similarity.")(evaluate)


def evaluate(
    model: ModelArgument,
    task: Annotated[
        Literal["retrieval", "similarity"],
        typer.Option(
            help="retrieval: a BEIR folder, or a file of query and positive; similarity: score, sentence1, sentence2."
        ),
    ],
    data: Data,
    columns: Columns = None,
    bad_rows: Annotated[
        Literal["error", "skip"], typer.Option(help="error stops at a row that cannot be used; skip leaves it out.")
    ] = "error",
    split: Annotated[str, typer.Option(help="Which judgments of a BEIR folder: qrels/SPLIT.tsv.")] = "test",
    metric: Annotated[
        list[str] | None, typer.Option(help="Retrieval metric such as ndcg@10 (repeat for more); the usual ones else.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(help="Replicates of the 95 % intervals; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the replicates.")] = 0,
    batch_size: BatchSize = 256,
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Measure, with intervals and everything needed to repeat it."""
    import likewise
    from likewise.data import open_retrieval
    from likewise.data.renaming import parse_renaming
    from likewise.evaluation import DEFAULT_METRICS, retrieval, similarity

    if task == "retrieval":
        result = retrieval(
            likewise.load(model),
            open_retrieval(data, split=split, rename=parse_renaming(columns), bad_rows=bad_rows),
            metrics=metric or DEFAULT_METRICS,
            batch_size=batch_size,
            precision=precision,
            bootstrap=bootstrap,
            seed=seed,
            progress=True,
        )
    else:
        result = similarity(
            likewise.load(model),
            data,
            rename=parse_renaming(columns),
            bad_rows=bad_rows,
            batch_size=batch_size,
            precision=precision,
            bootstrap=bootstrap,
            seed=seed,
            progress=True,
        )
    write_json(result.as_dict()) if json else _show(result)


def _show(result: Result) -> None:
    def row(name: str, metric: str, part: Result) -> tuple[str, ...]:
        low, high = part.intervals.get(metric, (None, None))
        interval = f"{low:.4f} to {high:.4f}" if low is not None and high is not None else "-"
        return (name, metric, f"{part.metrics[metric]:.4f}", interval, f"{part.num_items} {part.items}")

    rows = [row(name, metric, part) for name, part in result.parts.items() for metric in part.metrics]
    rows += [row("mean" if result.parts else result.data, metric, result) for metric in result.metrics]
    show_rows(("data", "metric", "value", "95 % interval", "over"), rows, title=f"{result.task} of {result.model}")
