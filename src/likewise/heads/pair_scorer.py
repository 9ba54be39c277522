"""Scores of pairs from vectors that are made once a text: for pairs as they come, and for one query among many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise import pairwise
from likewise.encoders.cross_encoder import weights_digest
from likewise.encoders.text import TextEncoder
from likewise.errors import InputError, unknown
from likewise.heads.pair import PairHead, Prepared

if TYPE_CHECKING:
    from likewise.losses import PairTask

__all__ = ["PairIndex", "PairScorer", "ranked"]

PAIRS_AT_A_TIME = 8192
"""Pairs whose features are held at a time: four vectors a pair."""


class PairScorer:
    """An encoder of single texts with the head that scores pairs of them; a :class:`likewise.encoders.CrossEncoder`.

    Args:
        encoder: Its features before a trailing normalisation go into the head.
        head: As it was trained with them.
        task: What the scores say.
        both_orders: Whether the score of (a, b) is the mean of those of (a, b) and (b, a): a head that compares is not
            symmetric.

    Raises:
        ValueError: Encoder, head and task do not fit each other.
    """

    def __init__(self, encoder: TextEncoder, head: PairHead, task: PairTask, *, both_orders: bool = False) -> None:
        if head.dim != encoder.dim or head.num_scores != task.num_scores:
            raise ValueError(
                f"PairScorer: the head takes {head.dim} numbers and gives {head.num_scores} scores, but the encoder "
                f"gives {encoder.dim} numbers and the task has {task.num_scores} scores. Give the head of this model."
            )
        self.encoder, self.head, self.task, self.both_orders = encoder, head, task, both_orders
        self.passes = 0

    @property
    def name(self) -> str:
        """Where the encoder came from."""
        return self.encoder.name

    @property
    def fingerprint(self) -> str:
        """Digest of encoder and head."""
        return weights_digest(self.encoder.fingerprint, self.head, self.both_orders, self.score_names)

    @property
    def score_names(self) -> tuple[str, ...]:
        """What each score is called."""
        return self.task.score_names

    def embed(
        self, texts: Sequence[str], *, batch_size: int = 64, precision: str = "fp32", progress: bool = False
    ) -> Tensor:
        """Return what the head compares: features, not normalised, float32 ``[n, D]``; equal texts are read once."""
        different = list(dict.fromkeys(texts))
        self.passes += len(different)
        tokens = self.encoder.tokenizer(different)
        vectors = self.encoder.encode_tokens(tokens, batch_size=batch_size, precision=precision, progress=progress)
        place = {text: number for number, text in enumerate(different)}
        return vectors[[place[text] for text in texts]]

    @torch.no_grad()
    def score(
        self, pairs: Sequence[tuple[str, str]], *, batch_size: int = 64, precision: str = "fp32", progress: bool = False
    ) -> Tensor:
        """Score pairs; a text that occurs several times is encoded once. See :class:`likewise.encoders.CrossEncoder`.

        Cost: one encoder pass for each different text, where a cross-encoder makes one for each pair.
        """
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        place = {text: number for number, text in enumerate(texts)}
        vectors = self.embed(texts, batch_size=batch_size, precision=precision, progress=progress)
        sides = torch.tensor([[place[a], place[b]] for a, b in pairs], dtype=torch.int64).reshape(-1, 2)
        scores = [self._both(vectors[some[:, 0]], vectors[some[:, 1]]) for some in sides.split(PAIRS_AT_A_TIME)]
        return torch.cat(scores)

    @torch.no_grad()
    def index(
        self, candidates: Sequence[str], *, batch_size: int = 64, precision: str = "fp32", progress: bool = False
    ) -> PairIndex:
        """Encode candidates, and do what of the head depends on them alone.

        Args:
            candidates: ``M`` texts, at least one.
            batch_size: Texts encoded at a time.
            precision: "auto", "bf16" or "fp32".
            progress: Show a progress bar on stderr.

        Raises:
            InputError: There is no candidate.
        """
        if not candidates:
            raise InputError("no candidates are given; an index needs at least one.")
        texts = list(dict.fromkeys(candidates))
        vectors = self.embed(texts, batch_size=batch_size, precision=precision, progress=progress)
        number = {text: place for place, text in enumerate(texts)}
        text_of = torch.tensor([number[text] for text in candidates])
        return PairIndex(self, self.head.prepared(vectors, both_orders=self.both_orders), text_of)

    def _both(self, first: Tensor, second: Tensor) -> Tensor:
        scores: Tensor = self.head(first, second)
        return (scores + self.head(second, first)) / 2 if self.both_orders else scores


def ranked(task: PairTask, scores: Tensor, k: int, by: str | None = None) -> tuple[Tensor, Tensor]:
    """Rank candidates by one of their scores.

    Args:
        task: What the scores say.
        scores: Of each candidate ``[M, C]``.
        k: How many are returned, >= 1; at most all.
        by: Which score ranks, where there are several: by its log-probability among them.

    Returns:
        Scores ``[k]``, highest first, and places, int64 ``[k]``; of equal scores the lower place comes first.

    Raises:
        InputError: k < 1; there are several scores and none is named, or none has this name.
    """
    names = task.score_names
    if k < 1:
        raise InputError(f"k is {k}; it is 1 or more.")
    if by is None and len(names) > 1:
        raise InputError(f"a pair has a score for each of {', '.join(names)}; say with --by which of them ranks.")
    if by is not None and by not in names:
        raise unknown("score", by, names)
    if task.kind == "classes":
        scores = scores.log_softmax(dim=1)
    values, order = scores[:, 0 if by is None else names.index(by)].sort(descending=True, stable=True)
    return values[:k], order[:k]


@dataclass(frozen=True)
class PairIndex:
    """Candidates that are encoded; made by :meth:`PairScorer.index`.

    Args:
        scorer: Scores them.
        texts: The different texts among the ``M`` candidates; equal ones score equally, to the bit.
        text_of: Which of them each candidate is, int64 ``[M]``.
        block: Texts scored at a time, >= 1.
    """

    scorer: PairScorer
    texts: Prepared
    text_of: Tensor
    block: int = 4096

    def __len__(self) -> int:
        return len(self.text_of)

    @torch.no_grad()
    def scores(self, query: str) -> Tensor:
        """Return the scores of (query, candidate) for all candidates, ``[M, C]``."""
        return self._against(self.scorer.embed([query])[0], self.texts)[self.text_of]

    @torch.no_grad()
    def topk(self, query: str, k: int, *, by: str | None = None, shortlist: int | None = None) -> tuple[Tensor, Tensor]:
        """Find the candidates with the highest scores beside a query.

        Args:
            query: The first side of each pair.
            k: How many, >= 1; at most all.
            by: Which score ranks, where a pair has several: by its log-probability among them.
            shortlist: Score only so many different texts, the nearest by cosine; all where not given, which is exact.

        Returns:
            Scores ``[k]``, highest first (of classes: log-probabilities), and places of the candidates, int64 ``[k]``;
            of equal scores the lower place comes first.

        Raises:
            InputError: k < 1, or a shortlist shorter than k.

        Cost: one encoder pass, and ``2 h D`` products for each text scored.
        """
        if shortlist is not None and shortlist < k:
            raise InputError(f"the shortlist holds {shortlist} candidates and {k} are asked for; make it longer.")
        vector = self.scorer.embed([query])[0]
        if shortlist is None:
            return ranked(self.scorer.task, self._against(vector, self.texts)[self.text_of], k, by)
        near = self._nearest(vector, shortlist)
        found = torch.full((len(self.texts.vectors),), -1)
        found[near] = torch.arange(len(near))
        places = (found[self.text_of] >= 0).nonzero()[:, 0]
        scores = self._against(vector, self.texts.select(near))[found[self.text_of[places]]]
        values, order = ranked(self.scorer.task, scores, k, by)
        return values, places[order]

    def _nearest(self, vector: Tensor, number: int) -> Tensor:
        vectors = F.normalize(self.texts.vectors, dim=1)
        return pairwise.topk(F.normalize(vector, dim=0)[None], vectors, min(number, len(vectors)))[1][0]

    def _against(self, vector: Tensor, texts: Prepared) -> Tensor:
        parts = [slice(i, i + self.block) for i in range(0, len(texts.vectors), self.block)]
        return torch.cat([self.scorer.head.against(vector, texts.select(part)) for part in parts])
