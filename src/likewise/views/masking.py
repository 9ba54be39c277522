"""Hiding tokens from a tower that has to guess them: the 80/10/10 rule of masked language models."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.encoders.tokens import TextTokenizer, Tokens
from likewise.errors import InputError

__all__ = ["TokenMasking"]

HIDDEN_SHARE = 0.8
"""Share of the chosen tokens that the mask token takes the place of."""
RANDOM_SHARE = 0.1
"""Share of the chosen tokens that any token of the vocabulary takes the place of; the rest stay as they are."""


@dataclass(frozen=True)
class TokenMasking:
    """Choose tokens to be guessed, and hide most of them.

    Each token that is not special is chosen with ``probability``. Of the chosen ones 80 % become the mask token, 10 %
    a token drawn evenly from the vocabulary, and 10 % stay, so that the tower cannot tell which tokens are asked for.

    Args:
        mask_id: Id of the mask token.
        special_ids: Ids that are never chosen: mask, padding, unknown, first and last token of a text.
        vocabulary: Number of ids, ``V``.
        probability: Chance of a token to be chosen, in (0, 1) (BERT: 0.15).

    Raises:
        InputError: ``probability`` is outside (0, 1).

    Source: Devlin et al. 2019 (BERT), arXiv 1810.04805, section 3.1.
    """

    mask_id: int
    special_ids: tuple[int, ...]
    vocabulary: int
    probability: float = 0.15

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise InputError(
                f"the probability of masking a token is {self.probability}; it is more than 0 and less than 1 (usual: "
                "0.15)."
            )

    @classmethod
    def of(cls, tokenizer: TextTokenizer, probability: float) -> TokenMasking:
        """Take the ids from a tokenizer.

        Raises:
            InputError: It has no mask token.
        """
        inner = tokenizer.tokenizer
        mask_id = getattr(inner, "mask_token_id", None)
        if mask_id is None:
            raise InputError(
                "the encoder's tokenizer has no mask token, so no masked-language loss can be trained with it; leave "
                "that loss out, or take an encoder that was trained by masking (BERT and its family)."
            )
        return cls(int(mask_id), tuple(sorted(inner.all_special_ids)), len(inner), probability)

    def __call__(self, tokens: Tokens, generator: torch.Generator | None = None) -> tuple[Tokens, Tensor]:
        """Mask the tokens of ``B`` texts, on the device where they are.

        Args:
            tokens: The texts, with special tokens and without padding.
            generator: Where chances are drawn from; that of the device, which a run seeds and saves, where not given.

        Returns:
            The texts as the tower is to see them, and which of their tokens were chosen, bool ``[T]``.
        """
        ids, device = tokens.ids, tokens.ids.device
        chance = torch.rand(2, len(ids), device=device, generator=generator)
        word = torch.randint(self.vocabulary, ids.shape, device=device, generator=generator)
        special = torch.isin(ids, torch.tensor(self.special_ids, dtype=ids.dtype, device=device))
        chosen = (chance[0] < self.probability) & ~special
        masked = torch.where(chosen & (chance[1] < HIDDEN_SHARE), self.mask_id, ids)
        masked = torch.where(chosen & (chance[1] >= 1 - RANDOM_SHARE), word, masked)
        return Tokens(masked, tokens.lengths, tokens.prompt_tokens), chosen
