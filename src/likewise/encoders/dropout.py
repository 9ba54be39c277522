"""Dropout whose random bits are drawn four at a time.

On a processor most of the time of PyTorch's dropout goes into drawing one Bernoulli number an element. Sixteen random
bits are enough to decide, and a draw has 64.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BitDropout", "dropout", "use_bit_dropout"]

_LEVELS = 2**16


def dropout(x: Tensor, p: float) -> Tensor:
    """Set each element to zero with probability ``p`` and divide the others by what is left, as ``F.dropout`` does.

    On a processor the probability is rounded to a multiple of 2**-16 (0.1 is 0.100006), and the others are divided by
    exactly one minus that, so the expectation is ``x``. Draws come from PyTorch's generator of the device.

    Args:
        x: Any shape, floating.
        p: Probability in [0, 1].

    Example:
        >>> _ = torch.manual_seed(0)
        >>> dropout(torch.ones(2, 4), 0.5).unique()
        tensor([0., 2.])
    """
    dropped = round(p * _LEVELS)
    if x.device.type != "cpu" or dropped == _LEVELS:
        return F.dropout(x, p)
    if not dropped or not x.numel():
        return x
    # Without bounds, only 63 bits of an int64 would be random.
    drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = drawn.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _LEVELS // 2
    return x * kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))


class BitDropout(nn.Dropout):
    """``nn.Dropout`` by :func:`dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop in training mode, and pass on what is given otherwise."""
        return dropout(input, self.p) if self.training else input


def use_bit_dropout(module: nn.Module) -> None:
    """Replace every ``nn.Dropout`` inside a module, in place."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, BitDropout(child.p).train(child.training))
