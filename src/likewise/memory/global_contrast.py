"""What a row remembers between its visits under a global contrastive loss: its normaliser, and its temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from likewise.errors import InputError
from likewise.memory.per_sample import PerSampleState

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["GlobalContrastState", "RobustTemperature"]


@dataclass(frozen=True)
class RobustTemperature:
    """How the temperature of a row follows the divergence of its negatives' weights: descent with momentum.

    The temperature ``t`` is the multiplier of a constraint: the weights ``p`` of a row's negatives may differ from even
    ones by ``KL(p || even) <= rho``. The gradient of the robust loss in ``t`` is ``G = rho - KL``, so the temperature
    rises where the weights are more peaked than allowed, and falls where they are not::

        G <- clip(rho - divergence, -gradient_clip, gradient_clip)
        m <- (1 - gradient_weight) m + gradient_weight G
        t <- clip(t - rate m, lowest, highest)

    Args:
        rho: Divergence that is allowed, in nats, >= 0. It has to be below ``log(negatives of a row)``, the most there
            can be, or every temperature falls to the lowest.
        rate: How far a temperature moves for a gradient of 1, >= 0 (paper: ``eta``).
        gradient_weight: Weight of the new gradient in the running one, in (0, 1] (paper: ``beta``).
        lowest: Smallest temperature, > 0.
        highest: Largest temperature.
        gradient_clip: Largest size of a gradient, > 0.

    Raises:
        InputError: A value lies outside its range.

    Source: Qiu et al. 2023 (iSogCLR), arXiv 2305.11965, algorithm 1.

    Example:
        >>> robust = RobustTemperature(rho=0.3, rate=0.01, gradient_weight=0.9, lowest=0.05, highest=1.0)
        >>> temperature, momentum = robust.step(torch.tensor([0.1]), torch.zeros(1), torch.tensor([1.14207]))
        >>> round(temperature.item(), 6), round(momentum.item(), 6)
        (0.107579, -0.757863)
    """

    rho: float = 0.4
    rate: float = 0.03
    gradient_weight: float = 0.5
    lowest: float = 0.05
    highest: float = 1.0
    gradient_clip: float = 3.0

    def __post_init__(self) -> None:
        for name, good, range_ in (
            ("rho", self.rho >= 0, ">= 0"),
            ("rate", self.rate >= 0, ">= 0"),
            ("gradient_weight", 0 < self.gradient_weight <= 1, "in (0, 1]"),
            ("gradient_clip", self.gradient_clip > 0, "> 0"),
        ):
            if not good or not math.isfinite(getattr(self, name)):
                raise InputError(f"{name} of the temperatures is {getattr(self, name)}; it is {range_}.")
        if not 0 < self.lowest <= self.highest < math.inf:
            raise InputError(
                f"temperatures go from {self.lowest} to {self.highest}; the lowest is > 0 and no higher than the "
                "highest."
            )

    def step(
        self, temperature: Float[Tensor, "B"], momentum: Float[Tensor, "B"], divergence: Float[Tensor, "B"]
    ) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
        """Return the next temperatures and momenta.

        Args:
            temperature: As they were when the loss was computed.
            momentum: Running gradients, 0 at first.
            divergence: Of the weights of each row's negatives, as the losses of :mod:`likewise.losses` return it.
        """
        gradient = (self.rho - divergence).clamp(-self.gradient_clip, self.gradient_clip)
        momentum = (1 - self.gradient_weight) * momentum + self.gradient_weight * gradient
        return (temperature - self.rate * momentum).clamp(self.lowest, self.highest), momentum


class GlobalContrastState(nn.Module):
    """The moving average of each row's normaliser, in logarithm, and its temperature if rows have their own.

    Read what the rows of a batch remember, compute the loss, and after the optimiser's step write what the loss found::

        temperature, log_average = state.read(rows)
        terms = global_contrast(first, second, rows, temperature=temperature, log_average=log_average, gamma=0.8)
        ...
        state.update(rows, terms.log_average, terms.divergence)

    For pairs of two kinds (picture and text) there is a state for each.

    Args:
        num_rows: Rows of the table, ``n``.
        temperature: Temperature of every row at first, > 0.
        robust: How temperatures move; None: they stay (SogCLR).

    Raises:
        InputError: The temperature is not > 0, or lies outside what ``robust`` allows.

    State: :class:`PerSampleState` with ``log_average`` (-inf where a row was never visited), and with ``temperature``
        and ``momentum`` where they move.
    Cost: 5 bytes a row, 13 with temperatures.

    Example:
        >>> state = GlobalContrastState(3, temperature=0.1, robust=RobustTemperature())
        >>> state.read(torch.tensor([1]))
        (tensor([0.1000]), tensor([-inf]))
    """

    def __init__(self, num_rows: int, *, temperature: float, robust: RobustTemperature | None) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise InputError(f"temperature is {temperature}; it is > 0 (paper: 0.1).")
        if robust is not None and not robust.lowest <= temperature <= robust.highest:
            raise InputError(
                f"temperature is {temperature}, and those of rows go from {robust.lowest} to {robust.highest}; give "
                "one between, or move the ends."
            )
        self.initial = temperature
        self.robust = robust
        fields = {"log_average": -math.inf}
        self.rows = PerSampleState(
            num_rows, fields if robust is None else {**fields, "temperature": temperature, "momentum": 0.0}
        )

    @property
    def temperatures(self) -> Float[Tensor, "n"]:
        """The temperature of every row as it is now."""
        if self.robust is None:
            return torch.full((len(self.rows),), self.initial, device=self.rows.seen.device)
        return self.rows.field("temperature").clone()

    def read(self, rows: Int[Tensor, "B"]) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
        """Return temperature and logarithm of the average normaliser of some rows.

        Raises:
            ValueError: There is no such row.
        """
        log_average = self.rows.read("log_average", rows)
        if self.robust is None:
            return torch.full_like(log_average, self.initial), log_average
        return self.rows.read("temperature", rows), log_average

    @torch.no_grad()
    def update(self, rows: Int[Tensor, "B"], log_average: Float[Tensor, "B"], divergence: Float[Tensor, "B"]) -> None:
        """Remember what the loss of a step has found, and move the temperatures; every process has to call this.

        Args:
            rows: Numbers of this process's rows, those that were read.
            log_average: Logarithm of their new average normalisers.
            divergence: Of the weights of their negatives.

        Raises:
            ValueError: As :meth:`PerSampleState.write`.
        """
        if self.robust is None:
            self.rows.write(rows, log_average=log_average)
            return
        before = self.rows.read("temperature", rows), self.rows.read("momentum", rows)
        temperature, momentum = self.robust.step(*before, divergence.to(before[0].dtype))
        self.rows.write(rows, log_average=log_average, temperature=temperature, momentum=momentum)

    def most_divergence(self, negatives: int) -> float | None:
        """Return the largest divergence that the weights of so many negatives can have; None without temperatures.

        A ``rho`` above it cannot be reached.
        """
        return None if self.robust is None or negatives < 1 else math.log(negatives)
