"""Batch norm whose batch is that of all processes, so that several processes train what one would."""

from __future__ import annotations

import logging
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from likewise import distributed

__all__ = ["BatchNorm", "has_batch_norm", "share_batch_norm"]

logger = logging.getLogger(__name__)


class BatchNorm(_BatchNorm):
    """Batch norm of vectors ``[B, C]`` or pictures ``[B, C, H, W]`` by mean and variance over all processes.

    ``y = weight * (x - mean) / sqrt(var + eps) + bias``, channel by channel, with the biased variance; the running
    statistics take the unbiased one, as in PyTorch, whose layer it is in one process. With several processes the sums
    are exchanged with their gradient, which also works on a CPU, where PyTorch's own synchronised layer does not.

    Args:
        num_features: Channels, ``C``.
        eps: Added to the variance.
        momentum: Weight of the new value in the running statistics, in (0, 1]; None: all batches count alike.
        affine: Whether there are a weight and a bias.
        track_running_stats: Whether there are running statistics; without them evaluation takes those of its batch.

    State: as that of ``nn.BatchNorm1d``, under the same names.
    Cost: 2 C numbers are exchanged in each direction.
    Source: Ioffe, Szegedy 2015, arXiv 1502.03167.
    """

    @classmethod
    def of(cls, layer: _BatchNorm) -> BatchNorm:
        """Return a layer that shares weights and statistics with one of PyTorch's."""
        made = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        made.weight, made.bias = layer.weight, layer.bias
        made.running_mean, made.running_var = layer.running_mean, layer.running_var
        made.num_batches_tracked = layer.num_batches_tracked
        return made.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the rows of this process.

        Raises:
            ValueError: In training, fewer than two values a channel over all processes.
        """
        if not self.training or distributed.world_size() == 1:
            normalised: Tensor = super().forward(x)
            return normalised
        axes = [0, *range(2, x.ndim)]
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        count = int(distributed.sum_over_processes(torch.tensor(x.numel() // x.shape[1])))
        if count < 2:
            raise ValueError(f"batch norm: the batch has {count} value a channel, and a variance takes 2 or more.")
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = distributed.sum_over_processes(wide.sum(axes), with_grad=True) / count
        centred = wide - mean.view(shape)
        var = distributed.sum_over_processes(centred.square().sum(axes), with_grad=True) / count
        self._track(mean.detach(), var.detach() * count / (count - 1))
        y = centred * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"batch norm: the input is {list(x.shape)}; it is [B, C] or [B, C, H, W].")

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / int(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(var.to(self.running_var.dtype), share)


class BatchNormAct(BatchNorm):
    """:class:`BatchNorm` and what timm puts into one layer with it: a dropout of channels and an activation."""

    drop: nn.Module
    act: nn.Module

    @classmethod
    def of(cls, layer: _BatchNorm) -> BatchNormAct:
        """Return a layer that shares weights, statistics and activation with one of timm's."""
        made = super().of(layer)
        assert isinstance(made, cls)  # noqa: S101 - what it is called on
        made.drop, made.act = cast("nn.Module", layer.drop), cast("nn.Module", layer.act)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the rows of this process, and activate."""
        activated: Tensor = self.act(self.drop(super().forward(x)))
        return activated


def share_batch_norm(module: nn.Module) -> nn.Module:
    """Put :class:`BatchNorm` in the place of PyTorch's own layers, with their weights; returns the module.

    Those of timm that are batch norm and activation in one become one such layer too. Others that derive from
    PyTorch's stay as they are, and are named in a warning where there are several processes: each process then
    normalises by its own rows.
    """
    shared = _shared(module)
    if shared is not None:
        return shared
    kinds = set()
    for name, child in list(module.named_modules()):
        made = _shared(child)
        if made is not None:
            parent, _, own = name.rpartition(".")
            setattr(module.get_submodule(parent), own, made)
        elif isinstance(child, _BatchNorm) and not isinstance(child, BatchNorm):
            kinds.add(type(child).__name__)
    if kinds and distributed.world_size() > 1:
        logger.warning(
            "layers of the kind %s take the statistics of each process alone, so the number of processes changes what "
            "is trained",
            ", ".join(sorted(kinds)),
        )
    return module


def _shared(layer: nn.Module) -> BatchNorm | None:
    if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d):
        assert isinstance(layer, _BatchNorm)  # noqa: S101 - one of the two
        return BatchNorm.of(layer)
    # Known by its name, so that timm need not be imported where nothing is made of it.
    if type(layer).__name__ == "BatchNormAct2d" and isinstance(layer, nn.BatchNorm2d):
        return BatchNormAct.of(layer)
    return None


def has_batch_norm(module: nn.Module) -> bool:
    """Tell whether a row's output depends, in training, on the other rows of its batch."""
    return any(isinstance(child, _BatchNorm) for child in module.modules())
