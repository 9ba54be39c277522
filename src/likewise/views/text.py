"""Views of texts: which columns become which inputs, tokenised in the loader's workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from likewise.encoders.tokens import TextTokenizer, Tokens
from likewise.errors import InputError
from likewise.sampling.duplicates import text_key
from likewise.views.base import Batch

__all__ = ["PairViews", "Swapped", "TextChange", "TextInput", "TextViews", "TokenChange"]


class TextChange(Protocol):
    """Makes another view of a text before it is tokenised; picklable."""

    def __call__(self, text: str, random: np.random.Generator) -> str:
        """Return the changed text; everything random is drawn from ``random``."""
        ...


class TokenChange(Protocol):
    """Makes other views of texts after they are tokenised and cut; picklable."""

    def __call__(self, tokens: Tokens, random: Sequence[np.random.Generator]) -> Tokens:
        """Return the ``B`` changed texts; everything random about a text is drawn from its own generator."""
        ...


@dataclass(frozen=True)
class TextInput:
    """One model input made from one column of text.

    Args:
        column: The column; a row may lack it, or hold a list of texts in it.
        role: Which prompt goes in front: "query", "document", or None.
        with_ids: Also give ``<input>_id``, the int64 ``text_key`` of each text as the row holds it, so that a loss can
            tell a text that is somebody's positive from a true negative, by the rule that keeps equal texts out of a
            batch.
        change_text: Changes each text before it is tokenised; None leaves it as it is.
        change_tokens: Changes the tokens of each text; None leaves them as they are. A text without any token but
            special ones is refused then.
    """

    column: str
    role: str | None = None
    with_ids: bool = False
    change_text: TextChange | None = None
    change_tokens: TokenChange | None = None


@dataclass(frozen=True)
class TextViews:
    """Rows of texts to token batches; only what changes a text draws at random (dropout is the encoder's).

    Args:
        tokenizer: The encoder's tokenizer.
        inputs: Model inputs by name. An input is in a batch when at least one of its rows has the column; a list
            contributes all of its texts, in the order of the rows. Inputs of one column and one role that change no
            text are tokenised once.
        values: Columns of numbers or vectors that a batch holds as they are: float32 ``[B]`` or ``[B, n]`` under the
            column's name. A column is in a batch when all of its rows have it.
    """

    tokenizer: TextTokenizer
    inputs: Mapping[str, TextInput]
    values: Sequence[str] = ()

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Pick the texts of one row, and draw what their changes will be."""
        example: dict[str, Any] = {}
        for name, source in self.inputs.items():
            value = row.get(source.column)
            if value is None:
                continue
            texts: list[str] = [value] if isinstance(value, str) else list(value)
            if source.with_ids:
                example[f"{name}_id"] = [text_key(text) for text in texts]
            if source.change_text is not None:
                texts = [source.change_text(text, random) for text in texts]
            if source.change_tokens is not None:
                # Tokens exist only in the batch; this number is all of the row's chance that goes there.
                example[f"{name}_seed"] = [int(random.integers(2**63)) for _ in texts]
            example[name] = texts
        for name in self.values:
            if row.get(name) is not None:
                example[name] = row[name]
        return example

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Tokenise the texts of ``B`` rows, one call for each column and role.

        Raises:
            InputError: A text whose tokens are to be changed has none.
        """
        inputs: dict[str, Any] = {}
        tokenised: dict[tuple[str, str | None], Tokens] = {}
        for name, source in self.inputs.items():
            texts = _of_all(examples, name)
            if not texts and examples:
                continue
            like = (source.column, source.role)
            tokens = tokenised.get(like) if source.change_text is None else None
            if tokens is None:
                tokens = self.tokenizer(texts, source.role)
                if source.change_text is None:
                    tokenised[like] = tokens
            if source.change_tokens is not None:
                rows = [row for row, example in zip(row_index, examples, strict=True) for _ in example.get(name, ())]
                self._refuse_empty(tokens, texts, rows, source.column)
                random = [np.random.default_rng(seed) for seed in _of_all(examples, f"{name}_seed")]
                tokens = source.change_tokens(tokens, random)
            inputs[name] = tokens
            if source.with_ids:
                inputs[f"{name}_id"] = torch.tensor(_of_all(examples, f"{name}_id"), dtype=torch.int64)
        for name in self.values:
            if all(name in example for example in examples):
                inputs[name] = torch.from_numpy(np.array([example[name] for example in examples], dtype=np.float32))
        return Batch(inputs, torch.tensor(list(row_index), dtype=torch.int64))

    def _refuse_empty(self, tokens: Tokens, texts: Sequence[str], rows: Sequence[int], column: str) -> None:
        leading, trailing = self.tokenizer.special_tokens_around
        for place in (tokens.lengths <= max(leading, tokens.prompt_tokens) + trailing).nonzero().flatten().tolist():
            raise InputError(
                f"row {rows[place]}: column '{column}' is {texts[place]!r}, of which the encoder's tokenizer leaves no "
                "token; a text needs at least one. Remove the row."
            )


@dataclass(frozen=True)
class Swapped:
    """Views in which two columns of a row change places, each time with the chance 1/2.

    Args:
        views: What is made of the row then.
        columns: The two columns.
    """

    views: TextViews
    columns: tuple[str, str]

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Make the inputs of one row, perhaps with the columns swapped."""
        one, other = self.columns
        swapped = {**row, one: row[other], other: row[one]} if random.random() < 0.5 else row
        return self.views(swapped, random)

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Put rows together as the views within do."""
        return self.views.collate(examples, row_index)


def _of_all(examples: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Lay what the rows hold under a name end to end."""
    return [value for example in examples for value in example.get(name, ())]


@dataclass(frozen=True)
class PairViews:
    """Rows of two texts to token batches in which both are one text, for encoders that read pairs.

    Args:
        tokenizer: The encoder's tokenizer.
        first: Column of the first side.
        second: Column of the second side.
        values: As in :class:`TextViews`.
    """

    tokenizer: TextTokenizer
    first: str
    second: str
    values: Sequence[str] = ()

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Pick both texts and the values of one row; nothing is drawn."""
        return {"pair": (row[self.first], row[self.second]), **self._of_values(row, random)}

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Tokenise ``B`` pairs in one call, as the input "pair"."""
        batch = self._of_values.collate(examples, row_index)
        sides = [[example["pair"][side] for example in examples] for side in (0, 1)]
        return Batch({"pair": self.tokenizer.pairs(*sides), **batch.inputs}, batch.row_index)

    @property
    def _of_values(self) -> TextViews:
        return TextViews(self.tokenizer, {}, self.values)
