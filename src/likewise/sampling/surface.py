"""How alike texts are on the surface: words they share, in which order, and how many. No meaning, no encoder."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from likewise.geometry.bias import words_of

__all__ = ["SurfaceMeasure", "SurfaceTexts", "surface_similarity"]

SurfaceMeasure = Literal["edit", "bigram", "length"]
"""``edit``: ``1 - lev / max(words)`` with the edit distance of words; ``bigram``: Jaccard index of the sets of pairs of
neighbouring words (a text of one word is its own pair); ``length``: words of the shorter text / of the longer one."""

RARE = 1000
"""Most texts in which a word that makes neighbours may stand: what all texts say tells nothing, and would cost."""

BLOCK = 1024
"""Texts whose shared words are counted at a time."""


class SurfaceTexts:
    """Texts cut into words once, to be compared many times; words are runs of letters and digits, in lower case.

    Args:
        texts: ``N`` texts.

    Example:
        >>> texts = SurfaceTexts(["A man is playing a guitar.", "A man is not playing a guitar."])
        >>> texts.similarity(np.array([0, 0]), np.array([1, 0])).tolist()
        [0.8571428571428572, 1.0]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        numbers: dict[str, int] = {}
        self.words = [array("Q", [numbers.setdefault(word, len(numbers)) for word in words_of(one)]) for one in texts]
        self.vocabulary = len(numbers)
        self.lengths = np.array([len(words) for words in self.words], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.words)

    def similarity(
        self, first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]], measure: SurfaceMeasure = "edit"
    ) -> NDArray[np.float64]:
        """Compare text ``first[i]`` with text ``second[i]``.

        Args:
            first: Numbers of texts ``[P]``.
            second: Likewise ``[P]``.
            measure: What is compared; see :data:`SurfaceMeasure`.

        Returns:
            Similarities in [0, 1], ``[P]``; 1 for a text with itself.

        Cost: about a microsecond a pair; bigrams several.
        """
        if measure == "length":
            one, other = self.lengths[first], self.lengths[second]
            ratio: NDArray[np.float64] = np.minimum(one, other) / np.maximum(one, other)
            return ratio
        if measure == "bigram":
            used = {int(i): self._bigrams(int(i)) for i in np.union1d(first, second)}
            sets = ((used[int(i)], used[int(j)]) for i, j in zip(first, second, strict=True))
            return np.array([len(a & b) / len(a | b) for a, b in sets], dtype=np.float64)
        from rapidfuzz import process
        from rapidfuzz.distance import Levenshtein

        # Words are numbers here, which rapidfuzz compares as they are; of strings it compares hashes.
        found: NDArray[np.float64] = process.cpdist(
            [self.words[i] for i in first],
            [self.words[i] for i in second],
            scorer=Levenshtein.normalized_similarity,
            dtype=np.float64,
        )
        return found

    def neighbours(self, k: int) -> NDArray[np.int64]:
        """Find the texts that share the most, and the rarest, words with each text.

        Those of the highest ``sum of log(1 + N / n_w)`` over the words w that both hold, of which ``n_w`` texts hold
        one: 2 to 1,000 of them, so that what is common to all texts makes no neighbours.

        Args:
            k: How many, >= 0.

        Returns:
            Numbers of texts, int64 ``[N, k]``, the most alike first (of equal ones the lower number); -1 where fewer
            share a word.

        Cost: a sparse product; at most 1,000 texts for each word of each text.
        """
        from scipy import sparse

        found = np.full((len(self), k), -1, dtype=np.int64)
        if not k:
            return found
        words = [np.unique(np.asarray(one, dtype=np.int64)) for one in self.words]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in words])])
        columns = np.concatenate(words) if words else np.empty(0, dtype=np.int64)
        held_by = np.bincount(columns, minlength=self.vocabulary)
        weight = np.where((held_by > 1) & (held_by <= RARE), np.log1p(len(self) / np.maximum(held_by, 1)), 0.0)
        weighted = sparse.csr_array((weight[columns], columns, starts), shape=(len(self), self.vocabulary))
        weighted.eliminate_zeros()
        holds = weighted.copy()
        holds.data[:] = 1.0
        holders = holds.T.tocsr()
        for first in range(0, len(self), BLOCK):
            shared = (weighted[first : first + BLOCK] @ holders).tocsr()
            for row in range(shared.shape[0]):
                part = slice(shared.indptr[row], shared.indptr[row + 1])
                others, scores = shared.indices[part].astype(np.int64), shared.data[part]
                others, scores = others[others != first + row], scores[others != first + row]
                best = others[np.lexsort((others, -scores))[:k]]
                found[first + row, : len(best)] = best
        return found

    def _bigrams(self, text: int) -> frozenset[int | tuple[int, int]]:
        words = self.words[text]
        if len(words) == 1:
            return frozenset(words)
        return frozenset(itertools.pairwise(words))


def surface_similarity(
    first: Sequence[str], second: Sequence[str], measure: SurfaceMeasure = "edit"
) -> NDArray[np.float64]:
    """Compare texts pair by pair on the surface.

    Args:
        first: ``P`` texts.
        second: ``P`` texts.
        measure: What is compared; see :data:`SurfaceMeasure`.

    Returns:
        Similarities in [0, 1], ``[P]``.

    Raises:
        ValueError: The numbers of texts differ.

    Example:
        >>> surface_similarity(["the dog", "the dog"], ["The dog!", "a cat sleeps"]).tolist()
        [1.0, 0.0]
    """
    if len(first) != len(second):
        raise ValueError(
            f"surface_similarity: first has {len(first)} texts and second has {len(second)}; they are compared pair by "
            "pair. Give as many of both."
        )
    places = np.arange(len(first))
    return SurfaceTexts([*first, *second]).similarity(places, places + len(first), measure)
