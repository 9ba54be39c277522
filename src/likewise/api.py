"""Training by one call, the same from Python and from the command line."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from likewise import artefact, distributed
from likewise.errors import InputError
from likewise.methods import get_method
from likewise.methods.base import Method
from likewise.run_config import FREE_ON_RESUME, RunConfig
from likewise.state import plain_disk_errors
from likewise.training import TrainingResult, fit
from likewise.training.checkpoint import Checkpoints
from likewise.training.folder import RESOLVED, hold_run_folder, read_settings, refuse_changes, write_settings
from likewise.training.processes import start_processes

if TYPE_CHECKING:
    import datasets

    from likewise.data import StreamedTable, Table
    from likewise.encoders import Embedder
    from likewise.geometry import Geometry
    from likewise.views import Batch

__all__ = ["batches", "build_method", "open_training_data", "prepare_rows", "train", "train_run"]


def train(
    method: str,
    data: str | Path | Sequence[Mapping[str, Any]] | datasets.Dataset,
    *,
    out: str | Path,
    columns: Mapping[str, str] | None = None,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Embedder:
    """Train a method on your own data and return the model, which is also in ``out``.

    Args:
        method: Name of a method: "pairs", "simcse" (``likewise methods`` lists them).
        data: A file, glob, folder, ``hf:OWNER/NAME`` or ``demo:NAME``; or rows in memory.
        out: Folder of the run and of the model; new or empty unless ``resume``.
        columns: Which column of the data is which of the method's: ``{"query": "question"}``.
        resume: Go on with an interrupted run in ``out``; the result is that of one that was never interrupted.
        progress: Show progress on stderr.
        **settings: Any setting of the method or of training by name: ``temperature=0.1, steps=500, batch_size=128``.

    Returns:
        The trained model.

    Raises:
        InputError: Something given cannot be used; the message says what to do.
        RunError: The run cannot go on; the last good checkpoint stays.

    Example:
        >>> import tempfile
        >>> rows = [{"text": f"sentence number {i}"} for i in range(8)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = train("simcse", rows, out=folder + "/run", steps=1, batch_size=4, progress=False)
        >>> model.dim
        384
    """
    values = dict(settings)
    in_memory = not isinstance(data, str | Path)
    values["data"] = "(rows in memory)" if in_memory else str(data)
    if columns:
        values["columns"] = tuple(f"{ours}={theirs}" for ours, theirs in columns.items())
    config = RunConfig.resolve(method, values)
    return train_run(config, Path(out), rows=data if in_memory else None, resume=resume, progress=progress)


def train_run(
    config: RunConfig, out: Path, *, rows: Any = None, resume: bool = False, progress: bool = True
) -> Embedder:
    """Train what a resolved configuration says; see :func:`train`.

    Args:
        config: The resolved settings.
        out: Folder of the run.
        rows: Rows in memory, instead of ``config.data.data``.
        resume: Go on with an interrupted run.
        progress: Show progress on stderr.
    """
    if not config.data.data and rows is None:
        raise InputError("no data given; say what to train on with --data.")
    start_processes()
    main = distributed.rank() == 0
    if main:
        with hold_run_folder(out, resume):
            return _train(config, out, rows, resume, progress)
    return _train(config, out, rows, resume, progress)


def _train(config: RunConfig, out: Path, rows: Any, resume: bool, progress: bool) -> Embedder:
    kind = get_method(config.method)
    free = FREE_ON_RESUME | kind.free_on_resume
    if resume:
        saved = read_settings(out / RESOLVED)
        wanted = {**config.as_tree(), "data_fingerprint": saved.get("data_fingerprint")}
        # What was completed from the data is compared when they are open.
        unsaid = {name for name in kind.from_data if not getattr(config.settings, name)}
        refuse_changes(saved, wanted, free | unsaid)
        if (out / artefact.ABOUT).exists():
            return artefact.load(out)
    table = open_training_data(config, rows, rejected=out / "rejected.jsonl")
    config = config.completed(table)
    tree = {**config.as_tree(), "data_fingerprint": table.fingerprint}
    if resume:
        refuse_changes(read_settings(out / RESOLVED), tree, free)
    method = build_method(config)
    validation, space = _validation(config), _space(config, kind, table)
    if distributed.rank() == 0:
        write_settings(out, tree)  # preparing may take long, and goes on with --resume too
    with _nothing_left_behind(out, resume):
        trained = _train_rounds(config, method, table, out, resume, progress, validation, space)
    with distributed.others_wait():
        if distributed.rank() == 0:
            _save(config, table, out, trained)
    if isinstance(trained.embedder, torch.nn.Module):
        trained.embedder.eval()
    return trained.embedder


@dataclass(frozen=True)
class _Trained:
    """What a run, or a round of it, comes to."""

    embedder: Embedder
    kept: Mapping[str, Any]
    spaces: Mapping[str, Embedder]
    result: TrainingResult
    round: int | None = None


def _train_rounds(
    config: RunConfig,
    method: Method[Any],
    table: Table | StreamedTable,
    out: Path,
    resume: bool,
    progress: bool,
    validation: Callable[[Method[Any]], Mapping[str, float]] | None,
    space: Callable[[Method[Any], float | None], Geometry] | None,
) -> _Trained:
    """Train as often as the method says; the last round is in ``out`` itself, the earlier ones in folders of it."""
    rounds = method.rounds()
    finished: list[_Trained] = []
    for number in range(1, rounds + 1):
        folder = out if number == rounds else out / f"round-{number}"
        if number > 1:
            before, method = method, build_method(config)
            if method.continues:
                method.load_state_dict(before.state_dict())
        if rounds > 1 and progress and distributed.rank() == 0:
            _to_people(f"round {number} of {rounds}")
        if distributed.rank() == 0:
            folder.mkdir(exist_ok=True)
        previous = finished[-1].embedder if finished else None
        say = _to_people if progress else None
        rows = prepare_rows(config, method, table, folder, previous=previous, number=number, say=say)
        source, steps_per_epoch = batches(config, method, rows)
        result = fit(
            method,
            source,
            config.training,
            config.training.total_steps(steps_per_epoch),
            folder,
            resume=resume,
            validation=None if validation is None else partial(validation, method),
            space=None if space is None else partial(space, method),
            show_progress=progress,
        )
        # The next round trains other weights, or these: what is kept of this one is a copy.
        embedder, spaces = method.embedder(), method.spaces()
        if number < rounds:
            embedder, spaces = copy.deepcopy(embedder), copy.deepcopy(spaces)
        finished.append(_Trained(embedder, method.kept(), spaces, result, number if rounds > 1 else None))
    best = max(finished, key=lambda one: (next(iter(one.result.best.values()), 0.0), one.round))  # last of equals
    total = TrainingResult(
        steps=sum(one.result.steps for one in finished),
        seconds=sum(one.result.seconds for one in finished),
        encoded=sum(one.result.encoded for one in finished),
        best_step=best.result.best_step,
        best=best.result.best,
        geometry=best.result.geometry,
    )
    return _Trained(best.embedder, best.kept, best.spaces, total, best.round)


@contextlib.contextmanager
def _nothing_left_behind(out: Path, resume: bool) -> Iterator[None]:
    """Forget a run that could not begin, so that its folder is free again; what was made for it stays."""
    try:
        yield
    except InputError:
        with contextlib.suppress(OSError):  # there is none, or something is in it
            (out / "prepared").rmdir()
        begun = any((out / name).exists() for name in ("prepared", "metrics.csv", "round-1"))
        if not resume and not begun and distributed.rank() == 0:
            (out / RESOLVED).unlink(missing_ok=True)
        raise


def _save(config: RunConfig, table: Table | StreamedTable, out: Path, trained: _Trained) -> None:
    result = trained.result
    about = artefact.About(
        method=config.method,
        paper=str(get_method(config.method).paper),
        settings=config.as_tree(),
        data={"name": table.name, "rows": _length(table), "fingerprint": table.fingerprint},
        training={
            "steps": result.steps,
            "seconds": round(result.seconds, 1),
            "encoded": result.encoded,
            "kept_step": result.best_step,
            **({} if trained.round is None else {"kept_round": trained.round}),
        },
        figures=result.best,
        geometry=result.geometry,
    )
    try:
        with plain_disk_errors():
            artefact.save(trained.embedder, out, about, trained.kept, trained.spaces)
    except OSError as error:
        raise Checkpoints(out / "checkpoints").failure(error, "the model") from error


def build_method(config: RunConfig) -> Method[Any]:
    """Build the method of a run; its fresh weights are a function of the run's seed.

    Raises:
        InputError: The encoder cannot be loaded, or a setting does not fit it.
    """
    torch.manual_seed(config.training.seed)
    method: Method[Any] = get_method(config.method).build(config.settings, config.encoder)
    if not any(parameter.requires_grad for parameter in method.parameters()):
        raise InputError(
            f"there is nothing to train: the encoder is frozen, and {config.method} adds nothing to it. Leave --freeze "
            "out, or give --soft-prompt 8."
        )
    return method


def open_training_data(config: RunConfig, rows: Any = None, *, rejected: Path | None = None) -> Table | StreamedTable:
    """Open what a run trains on.

    Args:
        config: The resolved settings.
        rows: Rows in memory, instead of ``config.data.data``.
        rejected: File of the rows that cannot be used, where these are skipped.

    Raises:
        InputError: The data cannot be read, a row is bad, or the batch is too small for the method.
    """
    from likewise.data import open_table
    from likewise.data.renaming import parse_renaming

    kind = get_method(config.method)
    size = config.training.batch_size
    if size < kind.min_rows:
        raise InputError(
            f"batch_size is {size}; {config.method} tells a row from the others of its batch and needs at least "
            f"{kind.min_rows}. Use --batch-size 32 or more."
        )

    def opened() -> Table | StreamedTable:
        return open_table(
            config.data.data if rows is None else rows,
            columns=kind.columns_for(config.settings),
            rename=parse_renaming(config.data.columns),
            bad_rows=config.data.bad_rows,
            rejected=rejected,
            streaming=config.data.streaming,
            encoding=config.data.encoding,
        )

    table = None
    with distributed.others_wait():  # the main process fills the cache, the others find it
        if distributed.rank() == 0:
            table = opened()
    return opened() if table is None else table


def prepare_rows(
    config: RunConfig,
    method: Method[Any],
    table: Table | StreamedTable,
    folder: Path,
    *,
    previous: Embedder | None = None,
    number: int = 1,
    say: Callable[[str], None] | None = None,
) -> Table | StreamedTable:
    """Return the rows that a run trains on, made from the user's rows where the method makes others of them.

    Args:
        config: The resolved settings.
        method: As it was built.
        table: The user's rows.
        folder: What is made goes into ``prepared`` in it, and is found there again.
        previous: What the round before has trained.
        number: Which round it is, from 1.
        say: Called with a line for people.

    Raises:
        InputError: The rows cannot be used together, or are streamed and the method has to go through them first.
    """
    from likewise.data import Stages

    if not table.streaming:
        return method.prepare(table, Stages(folder / "prepared", say, round=number), previous)
    if type(method).prepare is not Method.prepare:
        raise InputError(
            f"{config.method} goes through all rows before it trains, so they cannot be streamed; leave --streaming "
            "out."
        )
    return table


def batches(
    config: RunConfig, method: Method[Any], table: Table | StreamedTable
) -> tuple[Callable[[int], Iterator[tuple[float, Batch]]], int | None]:
    """Return where the batches of a run come from, and how many make one pass over the data.

    Args:
        config: The resolved settings.
        method: Makes the views.
        table: The rows, as :func:`prepare_rows` returned them.

    Returns:
        ``source(start)``, which yields (epoch, batch of this process) from optimiser step ``start`` (from 0) on; and
        the batches of one pass, None where the data are streamed.
    """
    from likewise.sampling import BatchLoader, plan_batches

    training = config.training
    plan = plan_batches(
        table,
        training.batch_size,
        seed=training.seed,
        min_rows=max(method.min_rows, distributed.world_size()),
        keep_apart=method.keep_apart,
        grouping=method.grouping(),
    )
    steps_per_epoch = plan.steps_per_epoch

    def source(start: int) -> Iterator[tuple[float, Batch]]:
        loader = BatchLoader(
            table,
            method.views(),
            plan,
            workers=training.workers,
            start=start,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
        )
        for step, batch in enumerate(loader, start=start + 1):
            yield step / steps_per_epoch if steps_per_epoch else 0.0, batch

    return source, steps_per_epoch


def _validation(config: RunConfig) -> Callable[[Method[Any]], Mapping[str, float]] | None:
    if config.data.eval_data is None:
        return None
    from likewise.data.renaming import parse_renaming
    from likewise.evaluation import Validation

    rename = parse_renaming(config.data.columns)
    own = get_method(config.method).own_validation(config.settings, config.data.eval_data, rename)
    if own is not None and config.data.eval_task is None:
        return cast("Callable[[Method[Any]], Mapping[str, float]]", own)
    measure = Validation.of(config.data.eval_task or get_method(config.method).validation, config.data.eval_data)
    return lambda method: measure(method.embedder())


def _space(
    config: RunConfig, kind: type[Method[Any]], table: Table | StreamedTable
) -> Callable[[Method[Any], float | None], Geometry] | None:
    training = config.training
    if not training.geometry_every:
        return None
    from likewise.geometry.space import SpaceRows

    rows = SpaceRows.draw(
        table,
        kind.looked_at(table.column_names),
        roles=kind.roles,
        rows=training.geometry_rows,
        seed=training.seed,
    )

    def described(method: Method[Any], temperature: float | None) -> Geometry:
        return rows.described(*rows.encode(method.embedder()), temperature=temperature)

    return described


def _to_people(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _length(table: Table | StreamedTable) -> int | None:
    return len(table) if isinstance(table, Sized) else None
