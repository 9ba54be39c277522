"""Projectors: what is put after the tower in training, and sometimes kept; and unit vectors after that."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["NORM_FLOOR", "MLPProjection", "TanhProjection", "unit_vectors"]

NORM_FLOOR = 1e-8
"""Smallest norm a vector is divided by: that of PyTorch's cosine similarity, which official codes use."""


class MLPProjection(nn.Module):
    """``W2 relu(W1 x)`` without biases: two layers that training has and the model has not.

    Args:
        in_features: Length of a feature, and of what is between the layers.
        out_features: Length of an embedding (paper: 128).

    Source: Burdisso et al. 2024 (Dialog2Flow), arXiv 2410.18481, official ``BaseContrastiveLoss``; the head of
        Zhou et al. 2022 (DSE), arXiv 2210.00036.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_features, in_features, bias=False)
        self.out = nn.Linear(in_features, out_features, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``features [B, H]`` to ``[B, D]``."""
        projected: Tensor = self.out(F.relu(self.hidden(features)))
        return projected


class TanhProjection(nn.Module):
    """``tanh(W x + b)`` with ``W`` drawn from N(0, 0.02) and ``b = 0``: the sentence head of BERT, fresh.

    Args:
        in_features: Length of a feature.
        out_features: Length of an embedding.

    Source: Gao et al. 2021 (SimCSE), arXiv 2104.08821, section 6.3 and the official ``MLPLayer``.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.activation = nn.Tanh()
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``features [B, H]`` to ``[B, D]``, every entry in (-1, 1)."""
        projected: Tensor = self.activation(self.linear(features))
        return projected


def unit_vectors(vectors: Tensor) -> Tensor:
    """Divide each vector by its norm, or by :data:`NORM_FLOOR` where that is smaller; products are cosines then.

    Args:
        vectors: ``[B, D]``.

    Example:
        >>> import torch
        >>> unit_vectors(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    return F.normalize(vectors, dim=-1, eps=NORM_FLOOR)
