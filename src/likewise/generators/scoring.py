"""How alike the two pairs of a triple are: scored by a sentence encoder, or by a language model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from likewise.encoders import Embedder
from likewise.generators.base import Generator

__all__ = ["EncoderScorer", "PromptScorer", "TripleScorer", "parse_score", "scoring_prompt"]

HIGHEST = 5.0
_VALID = re.compile(r"[0-5](\.[0-9])?")


@runtime_checkable
class TripleScorer(Protocol):
    """Says how alike the two texts of a pair are."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """Return a number from 0 (nothing in common) to 5 (the same meaning) for each pair; None: no valid one."""
        ...


class EncoderScorer:
    """Scores by the cosine of a sentence encoder: ``5 max(0, cos(a, b))``.

    Most encoders find a sentence and its contradiction alike, because they speak of the same things; such a triple is
    dropped (its negative scores above beta), not trained on.

    Args:
        encoder: Encodes, in evaluation mode.
        batch_size: Texts encoded at a time.
    """

    def __init__(self, encoder: Embedder, batch_size: int = 256) -> None:
        self.encoder, self.batch_size = encoder, batch_size

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """Return the scores; see :class:`TripleScorer`."""
        from torch.nn.functional import cosine_similarity

        if not pairs:
            return []
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        place = {text: number for number, text in enumerate(texts)}
        vectors = self.encoder.encode(texts, batch_size=self.batch_size, precision="fp32")
        first, second = (vectors[[place[pair[side]] for pair in pairs]] for side in (0, 1))
        found: list[float | None] = (HIGHEST * cosine_similarity(first, second).clamp(0.0, 1.0)).tolist()
        return found


class PromptScorer:
    """Asks a language model for a number; see :func:`parse_score` for which replies are one.

    Args:
        generator: Answers.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """Return the scores; see :class:`TripleScorer`."""
        return [parse_score(reply) for reply in self.generator.generate([scoring_prompt(*pair) for pair in pairs])]


def scoring_prompt(first: str, second: str) -> str:
    """Return the prompt that asks how alike two texts are."""
    first, second = (" ".join(text.split()) for text in (first, second))
    return (
        "Score the semantic similarity of the following two sentences between 0.0 and 5.0. Answer with the number "
        f"only. (a) {first} (b) {second}"
    )


def parse_score(reply: str) -> float | None:
    """Read a reply: one digit from 0 to 5, or such a digit, a point and one digit; anything else is no score.

    White space around it does not count; 5.1 to 5.9 are of the form and are taken as 5.

    Source: MultiCSR (arXiv 2310.10962), ``flan_generate_scoring.py`` of the official code.

    Example:
        >>> [parse_score(reply) for reply in ("4.5", "3", "5.7", "4.5.", "6", "4.55", "about 4")]
        [4.5, 3.0, 5.0, None, None, None, None]
    """
    text = reply.strip()
    return min(float(text), HIGHEST) if _VALID.fullmatch(text) else None
