"""Saying a few words twice: a text gets longer and hardly changes its meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from likewise.encoders.tokens import TextTokenizer, Tokens
from likewise.errors import InputError

__all__ = ["SubwordRepeat", "WordRepeat"]


@dataclass(frozen=True)
class SubwordRepeat:
    """Repeat a few tokens of a text, each once and right behind itself.

    Of a text of ``L`` tokens, special ones included, ``k`` are repeated: ``k`` is drawn evenly from
    ``0, ..., most - 1`` with ``most = min(cap, max(floor, int(rate * L)))``, so often it is 0; then ``k`` different
    tokens are drawn evenly from those that are not special (nor part of a prompt; a prompt does not count in ``L``).
    The text gets ``k`` tokens longer, beyond the length limit too, so no token is lost.

    Args:
        rate: Share of the tokens, in [0, 1); 0 repeats none unless ``floor`` says so (ESimCSE: 0.32).
        cap: One more than the most tokens that are repeated, >= 1 (ESimCSE: 10).
        floor: Least value of ``int(rate * L)``, >= 0, for short texts (official code for tokens: 0).
        leading: Tokens at the beginning of a text that are never repeated, >= 0: its special ones.
        trailing: The same at the end, >= 0.

    Raises:
        InputError: A number is outside its range.

    Cost: one pass over the tokens; about 20 microseconds of drawing a text.
    Source: Wu et al. 2022 (ESimCSE), arXiv 2109.04380, section 3.1, and the official code (``train.py``), which has a
        cap of 10 and no floor where the paper has a floor of 2 and no cap.

    Example:
        >>> repeat = SubwordRepeat(rate=0.9)
        >>> tokens = Tokens.from_lists([[101, 7, 8, 9, 102], [101, 5, 102]])
        >>> repeat(tokens, [np.random.default_rng(4), np.random.default_rng(0)]).ids.tolist()
        [101, 7, 8, 8, 9, 9, 102, 101, 5, 5, 102]
    """

    rate: float
    cap: int = 10
    floor: int = 0
    leading: int = 1
    trailing: int = 1

    def __post_init__(self) -> None:
        _check(self.rate, self.cap, self.floor)
        if min(self.leading, self.trailing) < 0:
            raise InputError(f"leading and trailing are {self.leading} and {self.trailing}; they are 0 or more tokens.")

    @classmethod
    def of(
        cls, tokenizer: TextTokenizer, rate: float, cap: int = 10, floor: int = 0, *, protect_special: bool = True
    ) -> SubwordRepeat:
        """Take from a tokenizer how many special tokens stand around a text.

        Args:
            tokenizer: Makes the tokens.
            rate: As in the class.
            cap: As in the class.
            floor: As in the class.
            protect_special: Whether special tokens are never repeated.

        Raises:
            InputError: A number is outside its range, or special tokens are to be protected and there are none.
        """
        if not protect_special:
            return cls(rate, cap, floor, leading=0, trailing=0)
        leading, trailing = tokenizer.special_tokens_around
        if not leading + trailing:
            raise InputError(
                "the encoder's tokenizer puts no special tokens around a text, so there are none to protect from "
                "repetition; say --no-protect-special, or take another encoder."
            )
        return cls(rate, cap, floor, leading, trailing)

    def __call__(self, tokens: Tokens, random: Sequence[np.random.Generator]) -> Tokens:
        """Repeat tokens of ``B`` texts.

        Args:
            tokens: The texts.
            random: Where the chances of each text are drawn from, ``B`` of them.
        """
        lengths: list[int] = tokens.lengths.tolist()
        prompt = max(tokens.prompt_tokens - self.leading, 0)
        times = np.ones(len(tokens.ids), dtype=np.int64)
        added, start = [], self.leading + prompt
        for length, generator in zip(lengths, random, strict=True):
            candidates = length - prompt - self.leading - self.trailing
            most = min(self.cap, candidates + 1, max(self.floor, int(self.rate * (length - prompt))))
            chosen = _draw(candidates, most, generator)
            times[start + chosen] += 1
            added.append(len(chosen))
            start += length
        return Tokens(
            tokens.ids.repeat_interleave(torch.from_numpy(times)),
            tokens.lengths + torch.tensor(added, dtype=torch.int64),
            tokens.prompt_tokens,
        )


@dataclass(frozen=True)
class WordRepeat:
    """Repeat a few words of a text, each once and right behind itself; words are what white space separates.

    Of ``n`` words ``k`` are repeated: ``k`` is drawn evenly from ``0, ..., most - 1`` with
    ``most = min(cap, n, max(floor, int(rate * n)))``; then ``k`` different words are drawn evenly from all but the
    last. A text of which no word is repeated stays as it is, white space too.

    Args:
        rate: Share of the words, in [0, 1).
        cap: One more than the most words that are repeated, >= 1.
        floor: Least value of ``int(rate * n)``, >= 0, for short texts.

    Raises:
        InputError: A number is outside its range.

    Source: as :class:`SubwordRepeat`; the official code's word variant.

    Example:
        >>> WordRepeat(rate=0.9)("the river bends", np.random.default_rng(5))
        'the river river bends'
    """

    rate: float
    cap: int = 10
    floor: int = 2

    def __post_init__(self) -> None:
        _check(self.rate, self.cap, self.floor)

    def __call__(self, text: str, random: np.random.Generator) -> str:
        """Repeat words of one text."""
        words = text.split()
        most = min(self.cap, len(words), max(self.floor, int(self.rate * len(words))))
        twice = set(_draw(len(words) - 1, most, random).tolist())
        if not twice:
            return text
        return " ".join(word for place, word in enumerate(words) for _ in range(1 + (place in twice)))


def _draw(candidates: int, most: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw how many, evenly from 0 to ``most - 1``, and then as many different places of ``candidates``."""
    number = int(random.integers(most)) if most > 1 else 0
    return random.choice(candidates, number, replace=False) if number else np.empty(0, dtype=np.int64)


def _check(rate: float, cap: int, floor: int) -> None:
    if not 0 <= rate < 1:
        raise InputError(
            f"the rate of repetition is {rate}; it is a share of a text's tokens, 0 or more and less than 1 (usual: "
            "0.32)."
        )
    if cap < 1 or floor < 0:
        raise InputError(
            f"cap and floor of the repetition are {cap} and {floor}; cap is at least 1 (nothing is repeated) and floor "
            "at least 0 (usual: 10 and 0)."
        )
