"""Contrastive decoding: what an instruction asks for, less what its opposite asks for with the same beginning."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["ContrastiveLogits", "check_contrast", "contrastive_logits"]


def contrastive_logits(
    wanted: Float[Tensor, "*axes V"], opposite: Float[Tensor, "*axes V"], beta: float = 0.5, gamma: float = 0.1
) -> Float[Tensor, "*axes V"]:
    """Return ``(1 + beta) wanted - beta opposite`` for plausible tokens, -inf for all others.

    A token is plausible where ``p >= gamma max p`` with ``p = softmax(wanted)``: one that both instructions find
    unlikely must not win by a difference between two small numbers.

    Args:
        wanted: Logits of the next token under the instruction.
        opposite: Those under the opposite instruction, behind the same beginning of the reply.
        beta: How much the opposite counts, >= 0; 0 is plain decoding: the logits come back as they are.
        gamma: Share of the highest probability that a token needs, in [0, 1]; 0 lets all tokens through.

    Raises:
        InputError: beta or gamma is outside its range.

    Source: MultiCSR (arXiv 2310.10962), first stage, whose code is not released; the form is that of contrastive
        decoding, Li et al. 2023, arXiv 2210.15097, with (1 + beta) and beta as weights.

    Example:
        >>> contrastive_logits(torch.tensor([2.0, 1.0, -4.0]), torch.tensor([2.0, 0.0, -9.0]), beta=0.5)
        tensor([2.0000, 1.5000,   -inf])
    """
    check_contrast(beta, gamma)
    if not beta:
        return wanted
    # With beta times the difference, equal logits stay as they are to the bit.
    mixed = wanted + beta * (wanted - opposite)
    if not gamma:
        return mixed
    lowest = wanted.amax(-1, keepdim=True) + math.log(gamma)
    return mixed.masked_fill(wanted < lowest, -math.inf)


class ContrastiveLogits:
    """A logits processor of transformers' ``generate``: its ``scores`` against those of an opposite prompt.

    The opposite prompt is read once; then each new token goes through the model once more. For greedy decoding: with
    beams, rows would change places between two calls.

    Args:
        model: The model that decodes, causal or sequence to sequence.
        opposite: ``input_ids`` and ``attention_mask`` of the opposite prompts ``[B, L]``, padded on the left for a
            causal model.
        beta: As in :func:`contrastive_logits`.
        gamma: As in :func:`contrastive_logits`.

    Cost: doubles the time and the cache of decoding.
    """

    def __init__(self, model: Any, opposite: Mapping[str, Tensor], beta: float, gamma: float) -> None:
        check_contrast(beta, gamma)
        self._model, self._beta, self._gamma = model, beta, gamma
        self._mask = opposite["attention_mask"]
        self._read = 0  # tokens of the reply's side that the opposite pass has read, or the prompt's length before it
        self._cache: Any = None
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._cache_name = "cache" if "cache" in accepted else "past_key_values"  # as older versions call it
        self._encoded: Any = None
        self._prompt = opposite["input_ids"]
        if model.config.is_encoder_decoder:
            self._encoded = model.get_encoder()(input_ids=self._prompt, attention_mask=self._mask)

    def __call__(self, input_ids: Int[Tensor, "B L"], scores: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
        """Return the contrasted scores of the next token."""
        new = input_ids[:, self._read :]
        cache = {self._cache_name: self._cache, "use_cache": True}
        if self._encoded is not None:
            output = self._model(
                encoder_outputs=self._encoded,
                attention_mask=self._mask,
                decoder_input_ids=new,
                **cache,
            )
        else:
            if self._cache is None:
                new = self._prompt  # in place of the prompt that generate has read
            else:
                self._mask = torch.cat([self._mask, self._mask.new_ones(new.shape)], dim=1)
            positions = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -new.shape[1] :]
            output = self._model(
                input_ids=new,
                attention_mask=self._mask,
                **cache,
                **({"position_ids": positions} if self._takes_positions else {}),
            )
        self._read, self._cache = input_ids.shape[1], output[self._cache_name]
        opposite = output.logits[:, -1].to(scores)
        return contrastive_logits(scores, opposite, self._beta, self._gamma)


def check_contrast(beta: float, gamma: float) -> None:
    """Refuse values that are out of their range."""
    if not 0 <= beta < math.inf:
        raise InputError(f"beta of contrastive decoding is {beta}; it is 0 (plain decoding) or more (usual: 0.5).")
    if not 0 <= gamma <= 1:
        raise InputError(f"gamma of contrastive decoding is {gamma}; it is a share, 0 to 1 (usual: 0.1).")
