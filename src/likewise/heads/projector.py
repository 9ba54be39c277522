"""Projectors: what is put after the tower in training, and sometimes kept; and unit vectors after that."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from likewise.encoders.batch_norm import BatchNorm

__all__ = ["NORM_FLOOR", "MLPProjector", "TanhProjection", "hidden_layer", "last_layer", "unit_vectors"]

NORM_FLOOR = 1e-8
"""Smallest norm a vector is divided by: that of PyTorch's cosine similarity, which official codes use."""


class MLPProjector(nn.Sequential):
    """Linear layers with ReLU between them, and batch norm before each ReLU: the head of methods on pictures.

    Args:
        in_features: Length of a feature.
        hidden: Length of what is between the layers.
        out_features: Length of an embedding.
        layers: How many linear layers, >= 1 (SimCLR: 2; MoCo v2: 2, without batch norm).
        batch_norm: Whether batch norm, over the rows of all processes, stands before each ReLU.
        last_norm: Whether batch norm without weights follows the last layer: all numbers of an embedding vary alike.
        bias: Whether layers without batch norm behind them have biases (Dialog2Flow: none).

    Source: Chen et al. 2020 (SimCLR), arXiv 2002.05709, section 4.2; Wu et al. 2018, arXiv 1805.01978;
        Burdisso et al. 2024 (Dialog2Flow), arXiv 2410.18481, official ``BaseContrastiveLoss``.

    Example:
        >>> [type(layer).__name__ for layer in MLPProjector(8, 16, 4)]
        ['Linear', 'BatchNorm', 'ReLU', 'Linear']
    """

    def __init__(
        self,
        in_features: int,
        hidden: int,
        out_features: int,
        *,
        layers: int = 2,
        batch_norm: bool = True,
        last_norm: bool = False,
        bias: bool = True,
    ) -> None:
        widths = [in_features, *[hidden] * (layers - 1)]
        parts = [
            part for before in widths[:-1] for part in hidden_layer(before, hidden, batch_norm=batch_norm, bias=bias)
        ]
        super().__init__(*parts, *last_layer(widths[-1], out_features, norm=last_norm, bias=bias))


def hidden_layer(before: int, behind: int, *, batch_norm: bool, bias: bool = True) -> list[nn.Module]:
    """Return a linear layer with ReLU, of so many numbers ``before`` and ``behind`` it.

    Args:
        before: Numbers that come in.
        behind: Numbers that go out.
        batch_norm: Whether batch norm stands before the ReLU; the layer has no bias then.
        bias: Whether it has one else.
    """
    norm = [BatchNorm(behind)] if batch_norm else []
    return [nn.Linear(before, behind, bias=bias and not batch_norm), *norm, nn.ReLU()]


def last_layer(before: int, behind: int, *, norm: bool, bias: bool = True) -> list[nn.Module]:
    """Return a linear layer, with batch norm without weights behind it (and without a bias) where ``norm`` says so."""
    return [nn.Linear(before, behind, bias=bias and not norm), *([BatchNorm(behind, affine=False)] if norm else [])]


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
