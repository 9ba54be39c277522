"""A classifier by cosines: one direction for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CosineClassifier"]


class CosineClassifier(nn.Module):
    """Cosines of features with a direction for each class: logits in [-1, 1], to be divided by a temperature.

    Args:
        in_features: Length of a feature.
        num_classes: How many classes.

    Source: Wen et al. 2023 (SimGCD), arXiv 2211.11727; Gidaris, Komodakis 2018, arXiv 1804.09458.

    Example:
        >>> CosineClassifier(4, 3)(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, in_features))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``features [B, H]`` to cosines ``[B, C]``."""
        return F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))
