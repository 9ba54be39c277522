"""The settings that every method's training has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from likewise.errors import InputError

__all__ = ["Schedule", "TrainingConfig"]

Schedule = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True)
class TrainingConfig:
    """How a method is trained. A method may bring its paper's own defaults for some of these."""

    steps: int | None = None
    """Optimiser steps, >= 1; where given it overrides epochs."""
    epochs: float = 1.0
    """Passes over the data, > 0; may be a fraction."""
    batch_size: int = 64
    """Rows of one optimiser step over all processes."""
    micro_batch: int | None = None
    """Texts (images, ...) encoded at a time, >= 1, in the mean. The loss still sees the whole batch; memory is that of
    a micro-batch, at the cost of a second forward pass. Whole batches where not given."""
    lr: float = 2e-5
    """Peak learning rate of AdamW, > 0."""
    weight_decay: float = 0.01
    """Decay of the weights (not of biases and norms), >= 0."""
    schedule: Schedule = "linear"
    """Course of the learning rate after warm-up: linear to 0, cosine to 0, or constant."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises from 0, in [0, 1)."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; longer ones are scaled down; 0: not clipped."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Format of the encoder's products: auto is bf16 where the device computes it fast, else fp32. Losses are fp32."""
    seed: int = 0
    """Start of all random numbers: order of rows, views, dropout, fresh weights."""
    workers: int = 0
    """Processes that make batches ahead; 0: in the training process. The batches do not depend on it."""
    checkpoint_every: int = 100
    """Steps between checkpoints, >= 1. A killed run goes on from the last one."""
    keep_checkpoints: int = 1
    """How many of the last checkpoints are kept, >= 1."""
    eval_every: int = 0
    """Steps between validations on --eval-data (the best model is kept); 0: only after the last step."""
    geometry_every: int = 0
    """Steps between looks at the geometry of the space (geometry.csv), also after the last step; 0: never. A look costs
    the encoding of --geometry-rows rows: seconds on a processor."""
    geometry_rows: int = 1000
    """Training rows that a look describes, >= 2; drawn once."""
    log_every: int = 1
    """Steps between rows of metrics.csv, >= 1."""
    tensorboard: bool = False
    """Also write TensorBoard files; needs the package tensorboard."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: A value is outside its range.
        """
        at_least_one = ("batch_size", "micro_batch", "steps", "checkpoint_every", "keep_checkpoints", "log_every")
        for name in at_least_one:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")
        for name in ("lr", "epochs"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be greater than 0.")
        for name in ("weight_decay", "clip_norm", "workers", "eval_every", "geometry_every"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 or more.")
        if self.geometry_rows < 2:
            raise InputError(f"geometry_rows is {self.geometry_rows}; it must be at least 2, better 1000.")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}; it is a share of the steps, 0 or more and less than 1.")

    def total_steps(self, steps_per_epoch: int | None) -> int:
        """Return the number of optimiser steps of the run.

        Args:
            steps_per_epoch: Batches of one pass over the data, or None where it is unknown (streamed data).

        Raises:
            InputError: The length is unknown and ``steps`` is not given.
        """
        if self.steps is not None:
            return self.steps
        if steps_per_epoch is None:
            raise InputError("streamed data has no known length; say how long to train with --steps.")
        return max(1, round(self.epochs * steps_per_epoch))
