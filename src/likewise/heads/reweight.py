"""A head without weights: every number of a feature times a power of one constant."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["FixedReweight"]


class FixedReweight(nn.Module):
    """``h(r)_i = r_i * kappa^-i`` for ``i = 0 .. D-1``: what training sees of a feature falls off by dimension.

    A loss behind it can hardly feel the later dimensions, so that it neither sharpens nor drops what the tower puts
    there. Half of a weight is lost every ``ln 2 / ln kappa`` dimensions: 14.2 for 1.05, 3.8 for 1.2.

    Args:
        dim: Length of a feature, ``D`` >= 1.
        kappa: Ratio of one weight to the next, >= 1 and finite; 1 is the identity (paper: 1.05 without labels, 1.2 and
            1.5 with).

    Raises:
        ValueError: dim < 1, or kappa < 1 or not finite.

    State: none; the weights follow from the arguments. They are computed in float64, rounded to float32, and kept from
        falling below the smallest normal number of it, where gradients would be flushed to 0.
    Source: Xue et al. 2024, arXiv 2403.11391, section 5 (the fixed reweighting head).

    Example:
        >>> FixedReweight(3, kappa=2.0)(torch.tensor([[1.0, 2.0, 4.0]]))
        tensor([[1., 1., 1.]])
    """

    weight: Tensor

    def __init__(self, dim: int, kappa: float) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"FixedReweight: dim is {dim}; at least 1 is accepted.")
        if not (math.isfinite(kappa) and kappa >= 1):
            raise ValueError(f"FixedReweight: kappa is {kappa}; a finite number of 1 or more is accepted, as 1.05.")
        self.kappa = kappa
        weight = torch.exp(-math.log(kappa) * torch.arange(dim, dtype=torch.float64))
        floor = torch.finfo(torch.float32).tiny
        self.register_buffer("weight", weight.clamp_min(floor).float(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``features [B, D]`` to ``[B, D]``."""
        return features * self.weight
