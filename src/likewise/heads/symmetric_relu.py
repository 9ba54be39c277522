"""A non-linearity that cuts what is small on both sides of zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SymmetricReLU"]


class SymmetricReLU(nn.Module):
    """``s(x; b) = relu(x - b) - relu(-x - b)``: below a learned threshold 0, the rest shrinks by it.

    Odd in ``x``; the identity at ``b = 0``. A feature that stays below the threshold is there before this layer and not
    behind it.

    Args:
        threshold: ``b``, from which it is learned, >= 0.

    Raises:
        ValueError: threshold < 0 or not finite.

    State: ``threshold``, a scalar. An optimiser's step may take it below 0, where it counts as 0; :meth:`project` then
        puts it there, so that the next gradient can raise it again.
    Source: Xue et al. 2024, arXiv 2403.11391, section 4.3; the authors' ``SymmetricReLU`` (there ``b`` may be < 0).

    Example:
        >>> SymmetricReLU(0.5)(torch.tensor([-2.0, -0.3, 0.4, 1.5])).detach()
        tensor([-1.5000,  0.0000,  0.0000,  1.0000])
    """

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        if not 0 <= threshold < float("inf"):
            raise ValueError(f"SymmetricReLU: threshold is {threshold}; a finite number of 0 or more is accepted.")
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def forward(self, x: Tensor) -> Tensor:
        """Cut ``x`` of any shape."""
        threshold = self.threshold.clamp(min=0)
        return F.relu(x - threshold) - F.relu(-x - threshold)

    @torch.no_grad()
    def project(self) -> None:
        """Put a threshold that a step has taken below 0 back to 0."""
        self.threshold.clamp_(min=0)
