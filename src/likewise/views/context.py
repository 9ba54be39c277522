"""A sentence and one near it in the same document: positives that nobody has to label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from likewise.encoders.tokens import TextTokenizer
from likewise.errors import InputError
from likewise.views.base import Batch
from likewise.views.text import TextInput, TextViews

__all__ = ["ContextViews", "context_pair"]


def context_pair(number: int, width: int, random: np.random.Generator) -> tuple[int, int]:
    """Draw a sentence of a document, and another at most ``width`` places away from it.

    The first is uniform over all places, the second over those of ``[c - width, c + width]`` that the document has, but
    ``c`` itself.

    Args:
        number: Sentences of the document, >= 2.
        width: Farthest place, >= 1; from ``number - 1`` on any other sentence may be drawn.
        random: What everything is drawn from.

    Raises:
        ValueError: There are fewer than two sentences, or ``width`` < 1.

    Example:
        >>> context_pair(2, 5, np.random.default_rng(0)) in [(0, 1), (1, 0)]
        True
    """
    if number < 2:
        raise ValueError(f"context_pair: the document has {number} sentences; at least 2 are needed.")
    if width < 1:
        raise ValueError(f"context_pair: width is {width}; at least 1 is accepted.")
    centre = int(random.integers(number))
    first, last = max(0, centre - width), min(number - 1, centre + width)
    other = int(random.integers(first, last))  # one place fewer than there are: the centre is passed over
    return centre, other + (other >= centre)


@dataclass(frozen=True)
class ContextViews:
    """Rows that hold the sentences of a document to two token batches, ``centre`` and ``context``.

    Each epoch draws another pair of a document. ``centre_id`` and ``context_id`` tell equal texts.

    Args:
        tokenizer: The encoder's tokenizer.
        width: Most places between the two sentences, >= 1.
        column: Column that holds the sentences of a document, in their order.

    Raises:
        InputError: ``width`` is below 1.
    """

    tokenizer: TextTokenizer
    width: int = 2
    column: str = "sentences"

    def __post_init__(self) -> None:
        """Check the range."""
        if self.width < 1:
            raise InputError(f"the window is {self.width} sentences wide; it is 1 or more.")

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Draw the two sentences of one document."""
        sentences = row[self.column]
        centre, context = context_pair(len(sentences), self.width, random)
        return self._texts({"centre": sentences[centre], "context": sentences[context]}, random)

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Tokenise both sides of ``B`` documents."""
        return self._texts.collate(examples, row_index)

    @property
    def _texts(self) -> TextViews:
        return TextViews(self.tokenizer, {side: TextInput(side, with_ids=True) for side in ("centre", "context")})
