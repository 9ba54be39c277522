"""The loop: batches in, steps taken, everything that changes saved, so that a killed run goes on to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from likewise import distributed
from likewise.encoders.base import Encoder
from likewise.encoders.batch_norm import has_batch_norm
from likewise.encoders.precision import resolve_precision
from likewise.errors import InputError, NotFiniteError, RunError
from likewise.geometry import GradientShare, gradient_shares
from likewise.state import read_state, write_state
from likewise.training.checkpoint import Checkpoints, random_state, set_random_state
from likewise.training.config import TrainingConfig
from likewise.training.log import CsvLog, Progress, TensorBoard
from likewise.training.looks import Looks, Space
from likewise.training.optim import adamw, learning_rate_schedule, set_rate
from likewise.training.step import Contrast, StepOutput, Trainable
from likewise.training.stopping import asked_to_stop
from likewise.views.base import Batch

__all__ = ["Interrupted", "Measure", "TrainingResult", "fit"]

Measure = Callable[[], Mapping[str, float]]
"""Measures the present model; the first figure decides which model is kept, higher is better."""

BatchSource = Callable[[int], Iterable[tuple[float, Batch]]]
"""``source(start)`` yields (epoch, batch of this process) from optimiser step ``start`` (from 0) on, without end."""


class Interrupted(RunError):
    """The run was asked to stop (Ctrl-C, SIGTERM) and has written a checkpoint."""


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Args:
        steps: Optimiser steps taken over all parts of the run.
        seconds: Time spent in steps, over all parts of the run.
        encoded: Rows that went through the encoders in all steps, in all processes.
        best_step: Step of the model that was kept, None where nothing was validated.
        best: Figures of that model.
        geometry: The last look at the space in one line, None where there was none.
    """

    steps: int
    seconds: float
    encoded: int
    best_step: int | None
    best: Mapping[str, float]
    geometry: str | None = None


def fit(
    method: nn.Module,
    source: BatchSource,
    config: TrainingConfig,
    total_steps: int,
    folder: Path,
    *,
    resume: bool = False,
    validation: Measure | None = None,
    space: Space | None = None,
    show_progress: bool = True,
) -> TrainingResult:
    """Train ``method`` in place and leave metrics and checkpoints in ``folder``.

    Args:
        method: An ``nn.Module`` that is :class:`Trainable`; all of its state is in its ``state_dict``.
        source: Where batches come from; see :data:`BatchSource`.
        config: The shared settings.
        total_steps: Optimiser steps of the whole run.
        folder: ``metrics.csv``, ``validation.csv``, ``geometry.csv``, ``checkpoints/`` go here.
        resume: Go on from the last checkpoint, if there is one; the result is that of a run that was never stopped.
        validation: Called every ``eval_every`` steps and after the last one; the best model is put back at the end.
        space: Describes the space; called every ``geometry_every`` steps and after the last one, on the main process.
            Nothing that is trained changes by it.
        show_progress: Show progress on stderr (main process only).

    Returns:
        How it ended; ``method`` holds the weights that are to be kept.

    Raises:
        RunError: A loss term is not finite (names it), nothing more can be written, or another process of the run has
            ended; the last good checkpoint stays.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint of the step that was under way has been written.
    """
    run = _Run(method, config, total_steps, folder, validation, space)
    with asked_to_stop() as stop, run.told_apart_from_others():
        run.start(resume)
        with Progress(total_steps, run.step, show_progress and distributed.rank() == 0) as progress:
            for waited, (epoch, batch) in _timed(_from(source, run.step, total_steps)):
                figures = run.advance(epoch, batch, waited)
                progress.step(run.step, figures)
                for line in run.look():
                    progress.say(line)
                if run.validates_now():
                    progress.say(f"step {run.step}  " + "  ".join(f"{k} {v:.4f}" for k, v in run.validate().items()))
                stopping = distributed.any_process(stop.is_set())
                if stopping or run.step % config.checkpoint_every == 0 or run.step == total_steps:
                    run.save()
                if stopping and run.step < total_steps:
                    raise Interrupted(
                        f"stopped at step {run.step} of {total_steps}; a checkpoint is written. "
                        "Repeat the command with --resume to go on."
                    )
    return run.finish()


class _Run:
    """The parts of one run that change, and how they are saved."""

    def __init__(
        self,
        method: nn.Module,
        config: TrainingConfig,
        total_steps: int,
        folder: Path,
        validation: Measure | None,
        space: Space | None,
    ) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=False)  # a second run in one process may differ in precision
        device = "cuda" if torch.cuda.is_available() else "cpu"
        low = resolve_precision(config.precision, device) == "bf16"
        self.accelerator = Accelerator(
            mixed_precision="bf16" if low else "no",
            cpu=device == "cpu",
            # A method may leave a part unused in some steps (hard negatives that no row of a batch brings). Buffers
            # (queues, running statistics) are the same in every process by what fills them, and need no sending.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
        )
        self.config = config
        self.total_steps = total_steps
        self.folder = folder
        self.validation = validation
        self.looks = Looks(space, config.geometry_every, total_steps)
        self.seen: tuple[Contrast | None, Mapping[str, GradientShare]] = (None, {})
        self.method = method
        self.encoders = [module for module in method.modules() if isinstance(module, Encoder)]
        for encoder in self.encoders:
            if config.micro_batch is not None and has_batch_norm(encoder):
                raise InputError(
                    "micro_batch encodes a batch in parts, and the encoder's batch norm takes the whole of it; leave "
                    "--micro-batch out, or use an encoder without batch norm (timm:vit_small_patch16_224)."
                )
            encoder.micro_batch = config.micro_batch
        trainable = cast(Trainable, method)
        objectives, rates = trainable.objectives(), trainable.learning_rates()
        optimizers = [adamw(method, config, rates) for _ in objectives]
        # It follows the run, not the steps of one objective, whose number need not be known.
        self.learning_rate = learning_rate_schedule(config, total_steps)
        self.wrapped, *prepared = self.accelerator.prepare(method, *optimizers)
        self.optimizers = dict(zip(objectives, prepared, strict=True))
        self.checkpoints = Checkpoints(folder / "checkpoints", config.keep_checkpoints)
        self.step = self.encoded = 0
        self.seconds = self.wait_seconds = 0.0
        self.best_step: int | None = None
        self.best: dict[str, float] = {}

    def start(self, resume: bool) -> None:
        """Begin at the last checkpoint, or at step 0."""
        done = self.checkpoints.steps() if resume else []
        if done:
            self._load(self.checkpoints.path(done[-1]))
        else:
            # Dropout differs between processes; everything else is seeded by row.
            torch.manual_seed(self.config.seed * 1_000_003 + distributed.rank())
        main = distributed.rank() == 0
        if main:
            self.checkpoints.discard()
            self.metrics = CsvLog(self.folder / "metrics.csv", self.step)
            self.validations = CsvLog(self.folder / "validation.csv", self.step)
            self.looks.start(self.folder, self.step)
        self.tensorboard = TensorBoard(self.folder / "tensorboard", self.config.tensorboard and main, self.step)
        self.wrapped.train()

    def advance(self, epoch: float, batch: Batch, waited: float) -> dict[str, float | int]:
        """Take one optimiser step for which the batch was ``waited`` for, in seconds; returns its figures."""
        began = time.perf_counter()
        encoded_before = sum(encoder.encoded for encoder in self.encoders)
        output = self._forward(batch.to(self.accelerator.device))
        encoded = sum(encoder.encoded for encoder in self.encoders) - encoded_before
        figures = self._checked(output)
        if self.looks.follow(self.step + 1):
            self.seen = output.contrast, self._gradient_shares(output)
        optimizer = self._optimizer_of(batch)
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(output.loss)
        limit = self.config.clip_norm or math.inf
        norm = float(self.accelerator.clip_grad_norm_(self.wrapped.parameters(), limit))
        if not math.isfinite(norm):
            raise self._not_finite("the gradient")
        rate = self.learning_rate(self.step)
        set_rate(optimizer, rate)
        optimizer.step()
        cast(Trainable, self.method).after_step()
        self.step += 1
        took = time.perf_counter() - began
        self.seconds += took
        self.wait_seconds += waited
        rows, encoded = distributed.sum_over_processes(torch.tensor([len(batch), encoded])).tolist()
        self.encoded += encoded
        row: dict[str, float | int] = {
            "step": self.step,
            "epoch": round(epoch, 6),
            **figures,
            "lr": rate,
            "grad_norm": norm,
            "encoded": self.encoded,
            "rows_per_s": rows / took,
            "seconds": self.seconds,
            "wait_seconds": self.wait_seconds,
        }
        if distributed.rank() == 0 and (self.step % self.config.log_every == 0 or self.step == self.total_steps):
            self._written(lambda: self.metrics.write(row), "metrics.csv")
            self.tensorboard.write(row, self.step)
        return row

    def _optimizer_of(self, batch: Batch) -> Any:
        objective = cast(Trainable, self.method).objective_of(batch)
        if objective not in self.optimizers:
            raise ValueError(f"a batch belongs to the objective '{objective}', not one of {list(self.optimizers)}")
        return self.optimizers[objective]

    def _forward(self, batch: Batch) -> StepOutput:
        try:
            output: StepOutput = self.wrapped(batch)
        except NotFiniteError as error:  # the engine was given something that is not finite, and says which row
            raise self._not_finite(str(error).rstrip(".")) from error
        return output

    def _checked(self, output: StepOutput) -> dict[str, float]:
        """Return loss, terms and metrics over all processes as numbers; stop where a term is not finite."""
        named: dict[str, Tensor | float] = {"loss": output.loss, **output.terms, **output.metrics}
        device = self.accelerator.device
        scalars = [torch.as_tensor(value, device=device).detach().float().reshape(()) for value in named.values()]
        values = torch.stack(scalars)
        values = distributed.sum_over_processes(values) / distributed.world_size()
        figures = dict(zip(named, values.tolist(), strict=True))
        for name in output.terms:
            if not math.isfinite(figures[name]):
                raise self._not_finite(f"the loss term '{name}'")
        return figures

    @contextmanager
    def told_apart_from_others(self) -> Iterator[None]:
        """Say so where it is not this process that failed."""
        try:
            yield
        except RuntimeError as error:
            if not distributed.lost_a_process(error):
                raise
            raise RunError(
                f"another process of this run ended at step {self.step + 1}, and its rows are missing; {self._kept()}. "
                "Look for what it said, then repeat the command with --resume, with as many processes as you like."
            ) from error

    def _kept(self) -> str:
        done = self.checkpoints.steps()
        return f"the checkpoint of step {done[-1]} is kept" if done else "there is no checkpoint yet"

    def _not_finite(self, what: str) -> RunError:
        return RunError(
            f"{what} is not finite at step {self.step + 1}; {self._kept()}. "
            "Lower --lr, raise --temperature, or train in --precision fp32, in a new --out."
        )

    def _gradient_shares(self, output: StepOutput) -> Mapping[str, GradientShare]:
        """Return what each term of the loss does to the weights; a single one is all there is, and costs nothing."""
        return gradient_shares(output.terms, self.method.parameters()) if len(output.terms) > 1 else {}

    def look(self) -> tuple[str, ...]:
        """Look at the space if it is time to, log, and return what is new about it, for people."""
        if not self.looks.follow(self.step):
            return ()
        (contrast, shares), self.seen = self.seen, (None, {})
        state = random_state()
        try:
            look = self.looks.take(self.step, contrast, shares)
        except OSError as error:
            raise self.checkpoints.failure(error, "the geometry") from error
        set_random_state(state)  # looking must not change what is trained
        self.wrapped.train()
        if look is None:
            return ()
        self.tensorboard.write({f"geometry/{name}": value for name, value in look.figures.items()}, self.step)
        return look.news

    def validates_now(self) -> bool:
        """Whether this step is followed by a validation."""
        every = self.config.eval_every
        return self.validation is not None and (self.step == self.total_steps or (every > 0 and self.step % every == 0))

    def validate(self) -> Mapping[str, float]:
        """Measure, log, and keep the weights if they are the best so far."""
        assert self.validation is not None  # noqa: S101 - validates_now said so
        state = random_state()
        figures = dict(self.validation())
        set_random_state(state)  # measuring must not change what is trained
        self.wrapped.train()
        first = next(iter(figures))
        if not self.best or figures[first] > self.best[first]:
            self.best_step, self.best = self.step, figures
            if distributed.rank() == 0:
                self._written(lambda: self._publish_best(), "the best model so far")
        if distributed.rank() == 0:
            self._written(lambda: self.validations.write({"step": self.step, **figures}), "validation.csv")
            self.tensorboard.write({f"validation/{name}": value for name, value in figures.items()}, self.step)
        return figures

    def _publish_best(self) -> None:
        folder = self.folder / "best"
        temporary = Checkpoints(folder, keep=1)
        path = temporary.prepare(self.step)
        write_state(path, self.method.state_dict(), "method")
        temporary.publish(path, self.step)

    def save(self) -> None:
        """Write a checkpoint of everything that changes; each process adds its random state."""
        self._written(self._save, "the checkpoint")

    def _save(self) -> None:
        main = distributed.rank() == 0
        temporary = self.checkpoints.prepare(self.step) if main else None
        states = distributed.gather_objects(random_state())
        if temporary is not None:
            scaler = self.accelerator.scaler
            write_state(temporary, self.method.state_dict(), "method")
            write_state(temporary, {name: one.state_dict() for name, one in self.optimizers.items()}, "optimizers")
            progress = {
                "step": self.step,
                "seconds": self.seconds,
                "wait_seconds": self.wait_seconds,
                "encoded": self.encoded,
                "best_step": self.best_step,
                "best": self.best,
                "scaler": scaler.state_dict() if scaler is not None else None,
                "random": states,
            }
            write_state(temporary, progress, "progress")
            self.checkpoints.publish(temporary, self.step)
        distributed.barrier()

    def _load(self, path: Path) -> None:
        self.method.load_state_dict(read_state(path, "method"))
        saved = read_state(path, "optimizers")
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved[name])
        progress: dict[str, Any] = read_state(path, "progress")
        if self.accelerator.scaler is not None and progress["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(progress["scaler"])
        self.step, self.seconds, self.wait_seconds = progress["step"], progress["seconds"], progress["wait_seconds"]
        self.encoded = progress["encoded"]
        self.best_step, self.best = progress["best_step"], progress["best"]
        states = progress["random"]
        if len(states) == distributed.world_size():
            set_random_state(states[distributed.rank()])
        else:  # another number of processes: only the order of rows is promised
            torch.manual_seed((self.config.seed + self.step) * 1_000_003 + distributed.rank())

    def _written(self, write: Callable[[], None], what: str) -> None:
        try:
            write()
        except OSError as error:
            raise self.checkpoints.failure(error, what) from error

    def finish(self) -> TrainingResult:
        """Put the best weights back and close the logs."""
        self.tensorboard.close()
        if self.best_step is not None and self.best_step != self.step:
            best = Checkpoints(self.folder / "best").path(self.best_step)
            self.method.load_state_dict(read_state(best, "method"))
        self.method.eval()
        return TrainingResult(self.step, self.seconds, self.encoded, self.best_step, self.best, self.looks.last)


def _from(source: BatchSource, start: int, total_steps: int) -> Iterator[tuple[float, Batch]]:
    if start < total_steps:
        for number, item in enumerate(source(start), start=start + 1):
            yield item
            if number == total_steps:
                return


def _timed(batches: Iterator[tuple[float, Batch]]) -> Iterator[tuple[float, tuple[float, Batch]]]:
    """Yield with each batch the seconds that it was waited for."""
    began = time.perf_counter()
    for item in batches:
        yield time.perf_counter() - began, item
        began = time.perf_counter()
