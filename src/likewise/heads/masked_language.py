"""Guessing hidden tokens beside the contrast: an auxiliary loss that keeps what the tower knows of words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from likewise.encoders import TextEncoder, Tokens, masked_language_weights
from likewise.losses import RowLosses, table_cross_entropy
from likewise.views import TokenMasking

__all__ = ["MaskedLanguageHead", "MaskedLanguageModel"]


class MaskedLanguageHead(nn.Module):
    """From what the tower says of a token to how surprised it is by the token that stood there.

    ``loss = logsumexp_v(h . E_v + b_v) - (h . E_t + b_t)`` with ``h = norm(activation(W f + c))``: the head of BERT.
    The table ``E`` is the one that the tower reads its tokens from; it is handed in, not kept, so it is never stored
    twice and always the present one.

    Args:
        in_features: Length of a token's features, ``H``.
        out_features: Length of a row of the table, ``E``.
        vocabulary: Rows of the table, ``V``.
        activation: Follows the dense layer (BERT: GELU).
        norm_eps: Added to the variance in the norm (BERT: 1e-12).

    Source: Devlin et al. 2019 (BERT), arXiv 1810.04805, section 3.1; fresh weights as there: N(0, 0.02), biases 0.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        vocabulary: int,
        *,
        activation: nn.Module | None = None,
        norm_eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, out_features)
        self.activation = nn.GELU() if activation is None else activation
        self.norm = nn.LayerNorm(out_features, eps=norm_eps)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    @classmethod
    def of(cls, encoder: TextEncoder) -> MaskedLanguageHead:
        """Make the head of a tower, with the weights that its checkpoint brings or with fresh ones.

        Raises:
            InputError: The tower has no transformer.
        """
        from transformers.activations import ACT2FN

        vocabulary, width = encoder.token_embedding.shape
        config = encoder.transformer.config
        activation = getattr(config, "hidden_act", None) or getattr(config, "activation", None) or "gelu"
        head = cls(
            int(config.hidden_size),
            width,
            vocabulary,
            activation=ACT2FN[activation],
            norm_eps=getattr(config, "layer_norm_eps", None) or 1e-12,
        )
        weights = masked_language_weights(encoder)
        if weights is not None:
            head.load_state_dict(weights)
        return head

    def forward(self, features: Tensor, embedding: Tensor, target: Tensor) -> Tensor:
        """Return the negative log-likelihood of ``n`` tokens.

        Args:
            features: What the tower says of each ``[n, H]``.
            embedding: The tower's table of tokens ``[V, E]``; receives a gradient.
            target: Id of the token that stood there, int64 ``[n]`` in [0, V).

        Returns:
            ``[n]`` in nats; float32, or float64 for float64 features.

        Cost: O((n + V) E) memory: the ``n x V`` logits exist one tile at a time.
        """
        hidden = self.transform(features)  # [n, E]
        return table_cross_entropy(hidden, embedding, target, bias=self.bias, precision="auto").values

    def transform(self, features: Tensor) -> Tensor:
        """Return what is compared with the table, ``h``, for features ``[n, H]``: ``[n, E]``."""
        hidden: Tensor = self.norm(self.activation(self.dense(features)))
        return hidden


class MaskedLanguageModel(nn.Module):
    """The auxiliary loss as a whole: hide tokens, encode what is left, guess them.

    Its tokens are hidden before the tower cuts a batch into micro-batches, so the same ones are whatever its size.

    Args:
        encoder: The tower; not kept, and handed in again at every step.
        probability: Chance of a token to be hidden, in (0, 1).

    Raises:
        InputError: The tower has no mask token or no transformer, or ``probability`` is out of range.

    State: the head's weights. Chances are drawn from torch's generator, as those of dropout are.
    """

    def __init__(self, encoder: TextEncoder, probability: float = 0.15) -> None:
        super().__init__()
        self.masking = TokenMasking.of(encoder.tokenizer, probability)
        self.head = MaskedLanguageHead.of(encoder)

    def forward(self, encoder: TextEncoder, tokens: Tokens) -> Tensor:
        """Return the mean negative log-likelihood of the hidden tokens of all processes, a scalar in nats.

        Where no process has hidden a token it is 0, with a gradient of 0.

        Args:
            encoder: The tower.
            tokens: Texts of this process.
        """
        masked, chosen = self.masking(tokens)
        features = encoder.token_features(masked)[chosen]  # [n, H]
        losses: Tensor = self.head(features, encoder.token_embedding, tokens.ids[chosen])  # [n]
        return RowLosses.of(losses).mean_or_zero()
