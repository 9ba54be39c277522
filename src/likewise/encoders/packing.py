"""Attention over texts laid end to end, so that no other layer of a transformer ever sees padding.

The linear layers, norms and activations of a transformer act on each token alone: they take all ``T`` tokens of a
batch as one row ``[1, T, H]``. Only attention has to know where a text ends. Texts come sorted by length, so a run of
texts of nearly equal length is one dense attention over ``[n, heads, L, d]``, padded inside the run where lengths
differ and nowhere else. The result is what the padded pass gives, up to rounding, at the cost of the real tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise.encoders.dropout import dropout as drop

__all__ = ["PACKED_ATTENTION", "Run", "register_packed_attention", "runs_of"]

PACKED_ATTENTION = "likewise_packed"
"""Name under which the attention is known to transformers."""

SLACK = 8 / 5
"""Longest text of a run over its shortest: fewer runs are fewer kernels, more slack is more padding."""


PRODUCTS_UP_TO = 256
"""Tokens of a text up to which attention weights are held: they are squares of its length."""


@dataclass(frozen=True)
class Run:
    """Neighbouring texts that attend as one batch.

    Args:
        start: First of their tokens.
        stop: Behind the last of their tokens.
        texts: How many there are, ``n``.
        tokens: Tokens of the longest, ``L``.
        place: Where each token stands in the padded ``[n * L]``, int64; None where all are equally long.
        mask: Which places hold a token, bool ``[n, 1, 1, L]``; None likewise.
    """

    start: int
    stop: int
    texts: int
    tokens: int
    place: Tensor | None = None
    mask: Tensor | None = None


def runs_of(lengths: Tensor) -> list[Run]:
    """Cut texts that are sorted by length into runs.

    Args:
        lengths: Tokens of each text, int64 ``[B]``, ascending.

    Example:
        >>> [(run.texts, run.tokens, run.place is None) for run in runs_of(torch.tensor([2, 2, 7, 8, 8]))]
        [(2, 2, True), (3, 8, False)]
    """
    listed = lengths.tolist()
    runs = []
    first = start = 0
    for number in range(1, len(listed) + 1):
        if number < len(listed) and listed[number] <= SLACK * listed[first]:
            continue
        stop = start + sum(listed[first:number])
        runs.append(_run(start, stop, lengths[first:number]))
        first, start = number, stop
    return runs


def _run(start: int, stop: int, lengths: Tensor) -> Run:
    texts, longest = len(lengths), int(lengths[-1])
    if int(lengths[0]) == longest:
        return Run(start, stop, texts, longest)
    filled = torch.arange(longest, device=lengths.device) < lengths[:, None]  # [n, L]
    return Run(start, stop, texts, longest, filled.flatten().nonzero()[:, 0], filled[:, None, None, :])


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    runs: list[Run],
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each text; signature and layout are those of the transformers attention interface.

    Args:
        module: The attention layer; its ``is_causal`` holds where the argument is None.
        query: ``[1, heads, T, d]``, texts end to end.
        key: ``[1, key heads, T, d]``.
        value: ``[1, key heads, T, d]``.
        attention_mask: Not used: there is no padding outside the runs.
        runs: The texts, in the order of the tokens.
        dropout: Probability with which an attention weight is dropped.
        scaling: Multiplier of the scores; None: ``d ** -0.5``.
        is_causal: Whether a token sees only itself and what is before it.

    Returns:
        ``[1, T, heads, d]`` and no attention weights.
    """
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    for run in runs:
        q, k, v = (_batched(tensor[0, :, run.start : run.stop].transpose(0, 1), run) for tensor in (query, key, value))
        mask = run.mask
        if _by_products(q, dropout) and not causal and not grouped:
            attended = _attention_by_products(q, k, v, mask, dropout, scaling)
        else:
            if mask is not None and causal:
                mask = mask & torch.ones(run.tokens, run.tokens, dtype=torch.bool, device=mask.device).tril()
            attended = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask,
                dropout_p=dropout,
                scale=scaling,
                is_causal=causal and mask is None and run.tokens > 1,
                enable_gqa=grouped,
            )
        flat = attended.transpose(1, 2).flatten(0, 1)  # [n * L, heads, d]
        outputs.append(flat if run.place is None else flat[run.place])
    return torch.cat(outputs)[None] if outputs else query.transpose(1, 2), None


def _by_products(query: Tensor, dropout: float) -> bool:
    """Whether to multiply rather than to call the fused kernel.

    On a processor the fused kernel has no dropout, and in bfloat16 it is slow over short texts, above all in the
    backward pass: docs/performance.md has the ratios.
    """
    slow = query.dtype == torch.bfloat16 or dropout > 0
    return slow and query.device.type == "cpu" and query.shape[2] <= PRODUCTS_UP_TO


def _attention_by_products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scaling: float | None
) -> Tensor:
    """Attend as the fused kernel does, holding the weights ``[n, heads, L, L]``."""
    query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    scores = torch.matmul(query * (query.shape[-1] ** -0.5 if scaling is None else scaling), key.transpose(-1, -2))
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), -math.inf)
    weights = torch.softmax(scores, -1)
    return torch.matmul(drop(weights, dropout), value)


def _batched(tokens: Tensor, run: Run) -> Tensor:
    """Bring the tokens of a run ``[tokens, heads, d]`` into the form of a batch ``[n, heads, L, d]``."""
    if run.place is not None:
        padded = tokens.new_zeros(run.texts * run.tokens, *tokens.shape[1:])
        tokens = padded.index_copy(0, run.place, tokens)
    batched: Tensor = tokens.unflatten(0, (run.texts, run.tokens))
    return batched.transpose(1, 2)


def register_packed_attention() -> None:
    """Make the attention known to transformers; doing so twice changes nothing."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
    AttentionMaskInterface.register(PACKED_ATTENTION, lambda *_, **__: None)
