"""Views of texts: which columns become which inputs, tokenised in the loader's workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from likewise.encoders.tokens import TextTokenizer
from likewise.sampling.duplicates import text_key
from likewise.views.base import Batch

__all__ = ["TextInput", "TextViews"]


@dataclass(frozen=True)
class TextInput:
    """One model input made from one column of text.

    Args:
        column: The column; a row may lack it, or hold a list of texts in it.
        role: Which prompt goes in front: "query", "document", or None.
        with_ids: Also give ``<input>_id``, the int64 ``text_key`` of each text, so that a loss can tell a text that is
            somebody's positive from a true negative, by the rule that keeps equal texts out of a batch.
    """

    column: str
    role: str | None = None
    with_ids: bool = False


@dataclass(frozen=True)
class TextViews:
    """Rows of texts to token batches; draws nothing at random (dropout is the encoder's).

    Args:
        tokenizer: The encoder's tokenizer.
        inputs: Model inputs by name. An input is in a batch when at least one of its rows has the column; a list
            contributes all of its texts, in the order of the rows.
    """

    tokenizer: TextTokenizer
    inputs: Mapping[str, TextInput]

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Pick the texts of one row."""
        texts: dict[str, Any] = {}
        for name, source in self.inputs.items():
            value = row.get(source.column)
            if value is not None:
                texts[name] = [value] if isinstance(value, str) else list(value)
        return texts

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Tokenise the texts of ``B`` rows, one call an input."""
        inputs: dict[str, Any] = {}
        for name, source in self.inputs.items():
            texts = [text for example in examples for text in example.get(name, ())]
            if not texts and examples:
                continue
            inputs[name] = self.tokenizer(texts, source.role)
            if source.with_ids:
                inputs[f"{name}_id"] = torch.tensor([text_key(text) for text in texts], dtype=torch.int64)
        return Batch(inputs, torch.tensor(list(row_index), dtype=torch.int64))
