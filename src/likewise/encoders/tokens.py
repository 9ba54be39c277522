"""Token rows without padding, and the picklable tokenizer that makes them in the loader's workers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from likewise.encoders.prompts import ANY_TEXT
from likewise.errors import InputError

# Loader workers are forked after the tokenizer was used; its own threads do not survive that.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__all__ = ["TextTokenizer", "Tokens"]


@dataclass(frozen=True)
class Tokens:
    """Token ids of ``B`` texts laid end to end: no padding is made, moved or multiplied until somebody needs it.

    Args:
        ids: All ids, int64 ``[T]`` with ``T = lengths.sum()``.
        lengths: Tokens of each text, int64 ``[B]``.
        prompt_tokens: Leading tokens of every text that are its prompt; poolings that leave prompts out need it.
        segments: Which side of a pair each token belongs to, int64 ``[T]``; None for single texts, and for encoders
            that do not ask for it.
    """

    ids: Tensor
    lengths: Tensor
    prompt_tokens: int = 0
    segments: Tensor | None = None

    def __len__(self) -> int:
        return int(self.lengths.shape[0])

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[int]], prompt_tokens: int = 0) -> Tokens:
        """Lay the ids of each text end to end.

        Example:
            >>> Tokens.from_lists([[5, 6, 7], [8]]).ids.tolist()
            [5, 6, 7, 8]
        """
        ids = torch.tensor(list(chain.from_iterable(rows)), dtype=torch.int64)
        return cls(ids, torch.tensor([len(row) for row in rows], dtype=torch.int64), prompt_tokens)

    def select(self, index: Tensor) -> Tokens:
        """Return the texts ``index`` (int64 ``[b]``), in that order.

        Example:
            >>> Tokens.from_lists([[5, 6, 7], [8]]).select(torch.tensor([1, 0])).ids.tolist()
            [8, 5, 6, 7]
        """
        places = self.places(index)
        segments = None if self.segments is None else self.segments[places]
        return Tokens(self.ids[places], self.lengths[index], self.prompt_tokens, segments)

    def places(self, index: Tensor) -> Tensor:
        """Return where in ``ids`` the tokens of the texts ``index`` (int64 ``[b]``) stand, text after text.

        Example:
            >>> Tokens.from_lists([[5, 6, 7], [8]]).places(torch.tensor([1, 0])).tolist()
            [3, 0, 1, 2]
        """
        starts = torch.cumsum(self.lengths, 0) - self.lengths
        lengths = self.lengths[index]
        return torch.repeat_interleave(starts[index], lengths) + _positions(lengths)

    def repeat(self, times: int) -> Tokens:
        """Return all texts ``times`` times, one whole copy after the other: rows ``i`` and ``i + B`` agree."""
        segments = None if self.segments is None else self.segments.repeat(times)
        return Tokens(self.ids.repeat(times), self.lengths.repeat(times), self.prompt_tokens, segments)

    def followed_by(self, *others: Tokens) -> Tokens:
        """Return these texts, then those of ``others``.

        Raises:
            ValueError: The prompts differ in length, so no one number of prompt tokens is right for all; or some are
                pairs with segments and others are not.
        """
        every = (self, *others)
        sided = [part.segments for part in every if part.segments is not None]
        if sided and len(sided) < len(every):
            raise ValueError("Tokens: pairs with segments and single texts cannot share one pass; encode them apart.")
        if len({part.prompt_tokens for part in every}) > 1:
            raise ValueError(
                f"Tokens: prompts of {[part.prompt_tokens for part in every]} tokens cannot share one pass; "
                "encode the sides separately."
            )
        return Tokens(
            torch.cat([part.ids for part in every]),
            torch.cat([part.lengths for part in every]),
            self.prompt_tokens,
            torch.cat(sided) if sided else None,
        )

    def starting_with(self, first: Tensor) -> Tokens:
        """Return the texts with other first tokens, ``first`` int64 ``[B]``.

        Example:
            >>> Tokens.from_lists([[5, 6, 7], [8]]).starting_with(torch.tensor([1, 2])).ids.tolist()
            [1, 6, 7, 2]
        """
        ids = self.ids.clone()
        ids[torch.cumsum(self.lengths, 0) - self.lengths] = first
        return Tokens(ids, self.lengths, self.prompt_tokens)

    def positions(self) -> Tensor:
        """Return the place of each token within its text, int64 ``[T]``, from 0."""
        return _positions(self.lengths)

    def padded(self, pad_id: int) -> tuple[Tensor, Tensor]:
        """Return ids and attention mask padded on the right, both int64 ``[B, L]``."""
        mask = self._filled()
        return self._spread(self.ids, mask, pad_id), mask.long()

    def padded_segments(self) -> Tensor | None:
        """Return the segments padded on the right with 0, int64 ``[B, L]``; None where there are none."""
        return None if self.segments is None else self._spread(self.segments, self._filled(), 0)

    def to(self, device: torch.device | str) -> Tokens:
        """Return the same tokens on another device."""
        segments = None if self.segments is None else self.segments.to(device)
        return Tokens(self.ids.to(device), self.lengths.to(device), self.prompt_tokens, segments)

    def _filled(self) -> Tensor:
        """Say which places of ``[B, L]`` hold a token."""
        width = int(self.lengths.max()) if len(self) else 0
        return torch.arange(width, device=self.lengths.device)[None, :] < self.lengths[:, None]

    @staticmethod
    def _spread(values: Tensor, mask: Tensor, fill: int) -> Tensor:
        spread = torch.full(mask.shape, fill, dtype=torch.int64, device=values.device)
        spread[mask] = values
        return spread


def _positions(lengths: Tensor) -> Tensor:
    starts = torch.cumsum(lengths, 0) - lengths
    total = int(lengths.sum())
    return torch.arange(total, device=lengths.device) - torch.repeat_interleave(starts, lengths)


@dataclass(frozen=True)
class TextTokenizer:
    """Texts to :class:`Tokens`: prompt in front, special tokens added, cut at ``max_tokens``.

    Args:
        tokenizer: A Hugging Face tokenizer.
        max_tokens: Longest text in tokens, special tokens included, >= 1; what is beyond is cut off.
        prompts: Text put in front of every input of a role ("query", "document"), and of texts without one ("default").
        first_token: Id that takes the place of the first special token of every text; None: the usual one stays.
        once: Id that every text has exactly once, because its vector is read there; None: nothing is asked for.
    """

    tokenizer: Any
    max_tokens: int
    prompts: Mapping[str, str] = field(default_factory=dict)
    first_token: int | None = None
    once: int | None = None

    def __call__(self, texts: Sequence[str], role: str | None = None) -> Tokens:
        """Tokenise ``B`` texts; ``role`` chooses the prompt, that of texts without one where not given.

        Raises:
            InputError: A text has the token that every text has once more than once, or not at all.
        """
        prompt = self.prompts.get(role or ANY_TEXT, "")
        rows: list[list[int]] = (
            self.tokenizer(
                [prompt + text for text in texts], truncation=True, max_length=self.max_tokens, padding=False
            )["input_ids"]
            if texts
            else []
        )
        if self.once is not None:
            self._check_once(rows, texts)
        if self.first_token is not None:
            rows = [[self.first_token, *row[1:]] for row in rows]
        return Tokens.from_lists(rows, self._prompt_tokens(prompt))

    def pairs(self, first: Sequence[str], second: Sequence[str]) -> Tokens:
        """Tokenise ``B`` pairs, each as one text with a separator between its sides.

        The prompt of texts without a role stands in front of the first side. A pair that is too long is cut at
        ``max_tokens`` together, token by token at the end of its longer side.

        Args:
            first: One side of each pair.
            second: The other side.

        Returns:
            A text a pair, with segments where the tokenizer gives its encoder any.
        """
        if not first:
            return Tokens.from_lists([])
        prompt = self.prompts.get(ANY_TEXT, "")
        made = self.tokenizer(
            [prompt + text for text in first],
            list(second),
            truncation=True,
            max_length=self.max_tokens,
            padding=False,
        )
        rows = made["input_ids"]
        if self.first_token is not None:
            rows = [[self.first_token, *row[1:]] for row in rows]
        tokens = Tokens.from_lists(rows, self._prompt_tokens(prompt))
        if "token_type_ids" not in made:
            return tokens
        return dataclasses.replace(tokens, segments=Tokens.from_lists(made["token_type_ids"]).ids)

    def _check_once(self, rows: Sequence[Sequence[int]], texts: Sequence[str]) -> None:
        for row, text in zip(rows, texts, strict=True):
            if (times := row.count(self.once)) != 1:
                token = self.tokenizer.convert_ids_to_tokens(self.once)
                shown = text if len(text) <= 60 else f"{text[:57]}..."
                what = f"holds the token {token} itself" if times else f"is left without the token {token}"
                raise InputError(
                    f"the text {shown!r} {what}, at which its vector is read; every text has it once, from the "
                    "prompt. Take it out of the text, raise --max-tokens, or use another pooling."
                )

    @property
    def special_tokens_around(self) -> tuple[int, int]:
        """How many special tokens are put before and behind a text; ``(1, 1)`` for BERT."""
        special: list[int] = self.tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
        ordinary = [place for place, is_special in enumerate(special) if not is_special]
        return ordinary[0], len(special) - 1 - ordinary[-1]

    def _prompt_tokens(self, prompt: str) -> int:
        if not prompt:
            return 0
        ids: list[int] = self.tokenizer(prompt)["input_ids"]
        # The closing special token belongs to the text's end, not to the prompt.
        return len(ids) - int(ids[-1] in set(self.tokenizer.all_special_ids))
