"""What drawn pairs are like: how much of their likeness is on the surface, how far apart their lengths are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from likewise.sampling.inverse_propensity import SOURCES

if TYPE_CHECKING:
    from likewise.sampling.inverse_propensity import IPWPairSampler

__all__ = ["LONGEST_DIFFERENCE", "describe_pairs"]

LONGEST_DIFFERENCE = 10
"""Differences in length, in words, from which on they are counted together."""

BLOCK = 4096


def describe_pairs(sampler: IPWPairSampler, lengths: NDArray[np.integer[Any]]) -> list[dict[str, Any]]:
    """Describe the pairs that a sampler draws, beside a text with itself and with a random text.

    Everything is an expectation over the sampler's chances, not over a draw, each text counting alike; texts that have
    nothing to draw are left out of all but ``without``.

    Args:
        sampler: Draws the pairs.
        lengths: Words of each text ``[N]``.

    Returns:
        A row for each kind of ``pairs``, "positive", "negative", "random", "copy" (a text with itself, the rule of
        dropout): mean likeness on the ``surface`` and in meaning (``semantic``); ``length_difference``, the share of
        pairs that differ by 0, 1, ..., 9, and 10 or more words; ``allowed``, candidates that may be drawn, in the mean;
        ``effective``, the number of evenly weighted candidates that the weights are worth, ``1 / sum P^2``; and
        ``without``, the share of texts with nothing to draw.

    Cost: O(N K), a few thousand texts at a time.
    """
    positive, negative, random = _Sums(), _Sums(), _Sums()
    for start in range(0, len(sampler), BLOCK):
        block = slice(start, start + BLOCK)
        candidates = np.asarray(sampler.candidates[block])
        apart = np.abs(lengths[block, None] - lengths[np.maximum(candidates["row"], 0)])
        drawn = (candidates["row"] >= 0) & (candidates["source"] == SOURCES.index("random"))
        even = drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1)
        positive.add(candidates, apart, sampler.positive_chances(block))
        negative.add(candidates, apart, sampler.negative_chances(block))
        random.add(candidates, apart, even)
    itself = {
        "surface": 1.0,
        "semantic": 1.0,
        "length_difference": [1.0, *[0.0] * LONGEST_DIFFERENCE],
        "allowed": 1.0,
        "effective": 1.0,
        "without": 0.0,
    }
    named = {"positive": positive.means(), "negative": negative.means(), "random": random.means(), "copy": itself}
    return [{"pairs": name, **figures} for name, figures in named.items()]


class _Sums:
    """Sums over texts of what is expected of a draw."""

    def __init__(self) -> None:
        self.texts = self.without = 0
        self.figures = np.zeros(4)
        self.apart = np.zeros(LONGEST_DIFFERENCE + 1)

    def add(self, candidates: NDArray[Any], apart: NDArray[Any], chances: NDArray[np.float64]) -> None:
        some = chances.any(axis=1)
        self.texts += len(candidates)
        self.without += int((~some).sum())
        self.figures += [
            (chances * candidates["surface"]).sum(),
            (chances * candidates["semantic"]).sum(),
            (chances > 0).sum(),
            (1 / (chances[some] ** 2).sum(axis=1)).sum(),
        ]
        self.apart += np.bincount(
            np.minimum(apart, LONGEST_DIFFERENCE).ravel(), weights=chances.ravel(), minlength=LONGEST_DIFFERENCE + 1
        )

    def means(self) -> dict[str, Any]:
        counted = max(self.texts - self.without, 1)
        surface, semantic, allowed, effective = (self.figures / counted).tolist()
        return {
            "surface": surface,
            "semantic": semantic,
            "length_difference": (self.apart / counted).tolist(),
            "allowed": allowed,
            "effective": effective,
            "without": self.without / max(self.texts, 1),
        }
