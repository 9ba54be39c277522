"""Attention over texts laid end to end, so that no layer of a transformer ever sees padding.

The linear layers, norms and activations of a transformer act on each token alone: they take all ``T`` tokens of a
batch as one row ``[1, T, H]``. Only attention has to know where a text ends; texts of equal length are neighbours
(the caller sorts), so each group of ``n`` texts of ``L`` tokens is one dense attention over ``[n, heads, L, d]``
without a mask. The result is what the padded pass gives, up to rounding, at the cost of the real tokens alone.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PACKED_ATTENTION", "length_groups", "register_packed_attention"]

PACKED_ATTENTION = "likewise_packed"
"""Name under which the attention is known to transformers."""


def length_groups(lengths: Tensor) -> list[tuple[int, int]]:
    """Return ``(texts, tokens)`` of each run of equal lengths.

    Example:
        >>> length_groups(torch.tensor([2, 2, 5]))
        [(2, 2), (1, 5)]
    """
    return [(len(list(run)), length) for length, run in groupby(lengths.tolist())]


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    length_groups: list[tuple[int, int]],
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each text; signature and layout are those of the transformers attention interface.

    Args:
        module: The attention layer; its ``is_causal`` holds where the argument is None.
        query: ``[1, heads, T, d]``, texts end to end, equal lengths next to each other.
        key: ``[1, key heads, T, d]``.
        value: ``[1, key heads, T, d]``.
        attention_mask: Not used: there is no padding to hide.
        length_groups: ``(texts, tokens)`` of each run of equal lengths, in the order of the tokens.
        dropout: Probability with which an attention weight is dropped.
        scaling: Multiplier of the scores; None: ``d ** -0.5``.
        is_causal: Whether a token sees only itself and what is before it.

    Returns:
        ``[1, T, heads, d]`` and no attention weights.
    """
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    start = 0
    for texts, tokens in length_groups:
        stop = start + texts * tokens
        parts = (
            tensor[0, :, start:stop].unflatten(1, (texts, tokens)).transpose(0, 1) for tensor in (query, key, value)
        )
        q, k, v = parts  # each [texts, heads, tokens, d]
        attended = F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, scale=scaling, is_causal=causal and tokens > 1, enable_gqa=grouped
        )
        outputs.append(attended.transpose(1, 2).flatten(0, 1))  # [texts * tokens, heads, d]
        start = stop
    return torch.cat(outputs)[None] if outputs else query.transpose(1, 2), None


def register_packed_attention() -> None:
    """Make the attention known to transformers; doing so twice changes nothing."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
    AttentionMaskInterface.register(PACKED_ATTENTION, lambda *_, **__: None)
