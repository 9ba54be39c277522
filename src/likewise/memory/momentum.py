"""A tower that follows another one slowly, so that the keys it made some steps ago still fit."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from likewise.errors import InputError

__all__ = ["MomentumTower"]


class MomentumTower(nn.Module):
    """A copy of a tower whose weights are a moving average of the other's; no gradient reaches it.

    ``theta_m <- momentum * theta_m + (1 - momentum) * theta`` over all weights, each time :meth:`follow` is called;
    when that is (before the keys are made, or after the optimiser's step) the method says. The two towers are equal
    when it is made. Weights of half precision are averaged, and kept, in float32: small steps vanish in fewer digits.

    Args:
        online: What is followed: a tower, or several modules in one (a tower and its projector). It is copied, and
            not held.
        momentum: Weight of the old value, in [0, 1) (ESimCSE: 0.995; MoCo: 0.999); 0: always what ``online`` is.
        always_eval: Whether it stays in evaluation mode (no dropout) while the rest trains; its buffers (running
            statistics) are then copied from ``online``. Else it goes with the module it is part of, and its buffers
            are its own, as in MoCo.
        average_buffers: With ``always_eval``, let running statistics follow as weights do, instead of copying them, so
            that they fit the weights: with their plain mean over the first ``1 / (1 - momentum)`` calls, because they
            start from nothing, then with ``momentum`` (EMAN). Buffers that hold no floating numbers are copied.

    Raises:
        InputError: ``momentum`` is outside its range.

    State: the weights and buffers of the copy, ``tower``; with ``average_buffers`` also ``followed``, the calls so far.
    Cost: a second set of weights, and one pass over them a step.
    Source: He et al. 2020 (MoCo), arXiv 1911.05722, eq. 2; Wu et al. 2022 (ESimCSE), arXiv 2109.04380, eq. 4. Averaged
        statistics: Cai et al. 2021 (EMAN), arXiv 2101.08482, there with ``momentum`` from the first step.

    Example:
        >>> online = nn.Linear(1, 1, bias=False)
        >>> nn.init.zeros_(online.weight).item()
        0.0
        >>> slow = MomentumTower(online, momentum=0.9)
        >>> _ = nn.init.ones_(online.weight)
        >>> slow.follow(online)
        >>> slow(torch.ones(1, 1))
        tensor([[0.1000]])
    """

    followed: torch.Tensor

    def __init__(
        self, online: nn.Module, momentum: float, *, always_eval: bool = True, average_buffers: bool = False
    ) -> None:
        super().__init__()
        _check_momentum(momentum)
        self.momentum = momentum
        self.always_eval = always_eval
        self.average_buffers = average_buffers
        if average_buffers:
            self.register_buffer("followed", torch.zeros((), dtype=torch.int64))
        self.tower = copy.deepcopy(online).requires_grad_(False)
        for parameter in self.tower.parameters():
            parameter.grad = None
            if parameter.dtype in (torch.float16, torch.bfloat16):
                parameter.data = parameter.data.float()
        self.train(online.training)

    def train(self, mode: bool = True) -> MomentumTower:
        """Set the mode; with ``always_eval`` it is evaluation mode, whatever is asked for."""
        super().train(mode and not self.always_eval)
        return self

    @torch.no_grad()
    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Return what the tower makes of the inputs, without a gradient."""
        return self.tower(*inputs, **options)

    @torch.no_grad()
    def follow(self, online: nn.Module, momentum: float | None = None) -> None:
        """Move the weights a little towards those of ``online``.

        Args:
            online: The tower that was copied, or one of the same build.
            momentum: Weight of the old value in this step, in [0, 1]; where not given, that of the constructor. For
                schedules.

        Raises:
            ValueError: ``online`` has other weights than the copy.
            InputError: ``momentum`` is outside its range.
        """
        if momentum is None:
            momentum = self.momentum
        elif momentum != 1:  # where a schedule ends
            _check_momentum(momentum)
        theirs = dict(online.named_parameters())
        own = dict(self.tower.named_parameters())
        if theirs.keys() != own.keys():
            differing = sorted(theirs.keys() ^ own.keys())
            raise ValueError(
                f"MomentumTower: the two towers differ in {len(differing)} weights, such as '{differing[0]}'; it "
                "follows the module that it was made of. Give that one."
            )
        for name, parameter in own.items():
            parameter.lerp_(theirs[name].to(parameter.dtype), 1 - momentum)
        if self.always_eval:
            statistics = dict(online.named_buffers())
            keep = momentum if self.average_buffers else 0.0
            if self.average_buffers:
                keep = min(momentum, 1 - 1 / (int(self.followed) + 1))
                self.followed += 1
            for name, buffer in self.tower.named_buffers():
                if keep and buffer.is_floating_point():
                    buffer.lerp_(statistics[name].to(buffer.dtype), 1 - keep)
                else:
                    buffer.copy_(statistics[name])

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"momentum={self.momentum}, always_eval={self.always_eval}"


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum < 1:
        raise InputError(
            f"momentum is {momentum}; it is the weight of the old value, 0 or more and less than 1 (usual: 0.99 to "
            "0.9995)."
        )
