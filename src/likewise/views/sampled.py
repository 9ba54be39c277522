"""Views that are other rows: a positive and a hard negative that a sampler draws for a text, anew in every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from likewise.encoders.tokens import TextTokenizer
from likewise.sampling.inverse_propensity import IPWPairSampler
from likewise.views.base import Batch

if TYPE_CHECKING:
    from likewise.data import Table

__all__ = ["SampledPairs"]


@dataclass(frozen=True)
class SampledPairs:
    """A text with a positive and a hard negative among the other rows, drawn by inverse propensity.

    Where there is no positive to draw it is the text itself, a second time; a row without a negative brings none. What
    was found before training is read from its files, so that every worker maps them and none holds them.

    A batch holds the tokens ``text``, ``positive`` ``[B]`` and, where a row has one, ``negative`` ``[K]``; of the three
    the vectors that meaning is judged by, ``text_vector``, ``positive_vector`` ``[B, n]``, ``negative_vector``
    ``[K, n]``; their weights in the loss ``positive_weight`` ``[B]``, ``negative_weight`` ``[K]``;
    ``positive_surface`` ``[B]``, how alike text and positive are on the surface; and the number ``threshold``, the
    least semantic similarity of a positive.

    Args:
        tokenizer: The encoder's tokenizer.
        table: The rows, whose ``text`` is read; row i is what candidates and vectors call i.
        candidates: File of what ``find_candidates`` returned ``[N, K]``.
        vectors: File of the judging vectors ``[N, n]``.
        rule: Settings of :class:`IPWPairSampler`, as (name, value).
        copies: Chance of a text to be its own positive whatever there is to draw, in [0, 1].
        negatives: Whether to draw negatives.
    """

    tokenizer: TextTokenizer
    table: Table = field(compare=False)
    candidates: Path
    vectors: Path
    rule: tuple[tuple[str, Any], ...]
    copies: float
    negatives: bool

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Pick the text of one row, and draw what the draw of its partners will begin with."""
        return {"text": row["text"], "seed": int(random.integers(2**63))}

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Draw the partners of ``B`` rows, and tokenise all."""
        rows = np.asarray(row_index, dtype=np.int64)
        random = [np.random.default_rng(example["seed"]) for example in examples]
        copied = np.array([one.random() < self.copies for one in random], dtype=bool)
        sampler = IPWPairSampler(np.load(self.candidates, mmap_mode="r"), **dict(self.rule))
        positive, negative = sampler.draw(rows.tolist(), random)
        copied |= positive.row < 0
        has_negative = negative.row >= 0 if self.negatives else np.zeros(len(rows), dtype=bool)
        others = {"positive": np.where(copied, rows, positive.row), "negative": negative.row[has_negative]}
        vectors = np.load(self.vectors, mmap_mode="r")
        inputs: dict[str, Any] = {
            "text": self.tokenizer([example["text"] for example in examples]),
            "text_vector": torch.from_numpy(vectors[rows]),
            "threshold": sampler.positive_threshold,
            "positive_weight": _floats(np.where(copied, 1.0, positive.weight)),
            "positive_surface": _floats(np.where(copied, 1.0, positive.candidate["surface"])),
        }
        for name, chosen in others.items():
            if len(chosen) or not examples:
                inputs[name] = self.tokenizer([row["text"] for row in self.table.rows(chosen.tolist())])
                inputs[f"{name}_vector"] = torch.from_numpy(vectors[chosen])
        if has_negative.any():
            inputs["negative_weight"] = _floats(negative.weight[has_negative])
        return Batch(inputs, torch.from_numpy(rows))


def _floats(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
