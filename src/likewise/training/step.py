"""What a method hands to the loop at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from likewise.views.base import Batch

__all__ = ["SINGLE_OBJECTIVE", "Contrast", "StepOutput", "Trainable"]

SINGLE_OBJECTIVE = "loss"
"""Name of the objective where there is only one."""


@dataclass(frozen=True)
class Contrast:
    """What a step told apart, for looking at: nothing of it reaches the loss.

    Args:
        query: Unit vectors of this process's rows ``[B, D]``, detached.
        key: Row i is the positive of row i of query and a negative of all others ``[B, D]``; unit norm, detached.
        temperature: Divisor of the cosines, > 0; a number or a scalar.
    """

    query: Tensor
    key: Tensor
    temperature: float | Tensor


@dataclass(frozen=True)
class StepOutput:
    """The loss of one step, term by term.

    Args:
        terms: Scalar loss terms by name, weighted already; what is minimised is their sum.
        metrics: Further figures to log: scalars without gradient.
        contrast: What was told apart, where the objective compares rows with each other at a temperature.
    """

    terms: Mapping[str, Tensor]
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)
    contrast: Contrast | None = None

    @property
    def loss(self) -> Tensor:
        """The sum of the terms, a scalar."""
        return torch.stack([term.reshape(()) for term in self.terms.values()]).sum()


class Trainable(Protocol):
    """What the loop needs of a method; :class:`likewise.methods.base.Method` is one, and an ``nn.Module``.

    A class that names it as a base has one objective and one learning rate unless it says otherwise.
    """

    def __call__(self, batch: Batch) -> StepOutput:
        """Compute the loss of one batch."""
        ...

    def after_step(self) -> None:
        """Do what follows the optimiser's step: momentum, queues."""
        ...

    def learning_rates(self) -> Mapping[str, float]:
        """Return factors on the learning rate, by name of a part; see :func:`likewise.training.optim.adamw`."""
        return {}

    def objectives(self) -> tuple[str, ...]:
        """Name what is minimised in turn; each has an optimiser of its own over all weights."""
        return (SINGLE_OBJECTIVE,)

    def objective_of(self, batch: Batch) -> str:
        """Return the objective that a batch belongs to; its optimiser takes the step."""
        return self.objectives()[0]
