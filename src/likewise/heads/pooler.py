"""A backbone's own way from a pooled vector to what it was trained to say about the text."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from likewise.encoders import TextEncoder, sentence_head_weights

__all__ = ["BackbonePooler"]


class BackbonePooler(nn.Module):
    """``activation(W x + b)``, a square dense layer behind the pooling, with the weights that the backbone brings.

    Args:
        features: Length of a pooled vector, ``D``.
        activation: "tanh" (BERT) or "gelu" (RoBERTa).

    State: the dense layer. Fresh, ``W`` is the identity and ``b`` 0, so that a small vector goes through unchanged.
    Source: Devlin et al. 2019 (BERT), arXiv 1810.04805; Liu 2024 (DefSent+), arXiv 2405.16153, which gives
        RoBERTa, published without a pooler, the dense layer of its masked-language head.

    Example:
        >>> import torch
        >>> BackbonePooler(2)(torch.tensor([[0.0, 0.5]]))
        tensor([[0.0000, 0.4621]], grad_fn=<TanhBackward0>)
    """

    def __init__(self, features: int, activation: Literal["tanh", "gelu"] = "tanh") -> None:
        super().__init__()
        self.dense = nn.Linear(features, features)
        self.activation = nn.Tanh() if activation == "tanh" else nn.GELU()
        nn.init.eye_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    @classmethod
    def of(cls, encoder: TextEncoder) -> BackbonePooler:
        """Make the pooler of a tower with the weights that its checkpoint brings, or a fresh one.

        BERT and its like bring a pooler (tanh); of RoBERTa's family the masked-language head's dense layer is taken
        (GELU). Where a tower has neither, or its embeddings are of another length than these weights, it is fresh.
        """
        found = sentence_head_weights(encoder)
        if found is None or found.weights["weight"].shape != (encoder.dim, encoder.dim):
            return cls(encoder.dim)
        pooler = cls(encoder.dim, found.activation)
        pooler.dense.load_state_dict(found.weights)
        return pooler

    def forward(self, pooled: Tensor) -> Tensor:
        """Map ``[B, D]`` to ``[B, D]``."""
        mapped: Tensor = self.activation(self.dense(pooled))
        return mapped
