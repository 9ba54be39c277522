"""Drawing pairs by inverse propensity: a simple rule's taste for easy pairs is estimated and divided out.

Whoever makes pairs by a rule ("the same text is alike", "any other text is not") draws from a biased sampler. Here a
text's candidates are weighed by what is wanted of a pair, divided by how readily the rule would have made it:

- a positive should agree in meaning; the rule makes those that agree on the surface;
- a negative should look alike and differ in meaning; the rule makes those that have nothing in common.

A pair is told by two similarities: that on the surface (:mod:`likewise.sampling.surface`), and the semantic one, the
cosine of the vectors of some encoder, not below 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from likewise import pairwise
from likewise.errors import InputError
from likewise.sampling.duplicates import text_key
from likewise.sampling.surface import SurfaceMeasure, SurfaceTexts

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.pairwise import Side

__all__ = [
    "CANDIDATE",
    "SOURCES",
    "Drawn",
    "IPWPairSampler",
    "find_candidates",
    "inverse_propensity",
    "quantile_thresholds",
]

SOURCES = ("nearest", "surface", "random")
"""How a candidate was found; by the first of these where several found it."""

CANDIDATE = np.dtype([("row", np.int32), ("surface", np.float32), ("semantic", np.float32), ("source", np.int8)])
"""A candidate: its row (-1: there is none), both similarities, and the place in :data:`SOURCES`."""

BLOCK = 4096
"""Texts whose candidates are worked on at a time."""

POSITIVE_QUANTILE, NEGATIVE_QUANTILE = 0.9, 0.5
"""Of the semantic similarities of nearest neighbours: the thresholds where none are given."""

Floats = NDArray[np.floating[Any]]


def inverse_propensity(
    wanted: Floats, propensity: Floats, allowed: NDArray[np.bool_], *, temperature: float, epsilon: float,
    max_weight: float = math.inf,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the chance of each candidate: what is wanted of it, divided by what a simple rule prefers.

    ``P(j) ~ allowed_j exp(wanted_j / temperature) / (epsilon + propensity_j)``, where a weight is at most
    ``max_weight`` times the median of the allowed ones, and the weights are divided by their sum.

    Args:
        wanted: Quality that a pair should have ``[..., K]``, in [0, 1].
        propensity: What makes the simple rule prefer it ``[..., K]``, >= 0.
        allowed: Which candidates may be drawn ``[..., K]``.
        temperature: Divisor of what is wanted, > 0; small: the best candidate alone.
        epsilon: Added to the propensity, > 0; large: the propensity does not matter.
        max_weight: Limit of a weight, >= 1, in medians of the row's allowed weights: a few rare pairs shall not make
            up an epoch. ``inf``: no limit.

    Returns:
        Chances ``[..., K]``, float64; they add up to 1, or are all 0 where nothing is allowed.

    Raises:
        InputError: temperature or epsilon is not more than 0, or max_weight is less than 1.

    Source: DebCSE (arXiv 2309.07396) has inverse propensity weights for positives and negatives; the formula is this
        library's. Clipping and self-normalising are usual in importance sampling.

    Example:
        >>> surface, semantic = np.array([1.0, 0.5, 0.2]), np.array([0.99, 0.9, 0.6])
        >>> chances = inverse_propensity(semantic, surface, semantic >= 0.7, temperature=0.1, epsilon=0.1)
        >>> [round(x, 4) for x in chances.tolist()]  # without the division it would be 0.71 and 0.29
        [0.5729, 0.4271, 0.0]
    """
    _check_rule(temperature, epsilon, max_weight)
    allowed = np.asarray(allowed, dtype=bool)
    logarithm = np.where(allowed, np.asarray(wanted, dtype=np.float64) / temperature, -np.inf)
    highest = logarithm.max(axis=-1, keepdims=True, initial=-np.inf)
    weight = np.exp(logarithm - np.where(np.isfinite(highest), highest, 0.0))
    weight = weight * ((epsilon + 1.0) / (epsilon + np.asarray(propensity, dtype=np.float64)))
    some = allowed.any(axis=-1)
    if math.isfinite(max_weight) and some.any():
        known = np.where(allowed, weight, np.nan)
        median = np.zeros(some.shape)
        median[some] = np.nanmedian(known[some], axis=-1)
        weight = np.minimum(weight, max_weight * median[..., None])
    total = weight.sum(axis=-1, keepdims=True)
    chances: NDArray[np.float64] = weight / np.where(total > 0, total, 1.0)
    return chances


def find_candidates(
    texts: Sequence[str],
    vectors: Float[torch.Tensor, "N D"],
    *,
    nearest: int = 64,
    random: int = 64,
    surface: int = 32,
    measure: SurfaceMeasure = "edit",
    seed: int = 0,
    exact_up_to: int = 100_000,
) -> NDArray[Any]:
    """Find for every text the texts that a pair may be made with, and how alike they are in both ways.

    Its nearest neighbours, texts that share rare words with it, and random ones. Texts that are equal but for case and
    white space are one text here: no copy of it is a candidate of a text, and of several copies the first stands for
    all. Where there are fewer other texts than are asked for, all of them are found.

    Args:
        texts: ``N`` texts.
        vectors: What an encoder makes of them; rows are put on the unit sphere first.
        nearest: Nearest neighbours by the cosine, >= 0.
        random: Texts drawn evenly, >= 0.
        surface: Texts that share rare words, >= 0.
        measure: How likeness on the surface is measured.
        seed: Seed of the random ones.
        exact_up_to: Different texts up to which neighbours are exact; beyond, they come from an inverted file of
            faiss, which misses some.

    Returns:
        Candidates of the dtype :data:`CANDIDATE`, ``[N, K]`` with ``K = nearest + surface + random`` at most; a row
        with fewer ends with candidates of row -1.

    Raises:
        InputError: Fewer than two different texts, or a count is less than 0 or all are 0.
        ValueError: There are not as many vectors as texts, or one is zero or not finite.

    Cost: 13 bytes a candidate; two products of N x N x D while that is exact; a microsecond a candidate.
    """
    if len(vectors) != len(texts):
        raise ValueError(
            f"find_candidates: {len(vectors)} vectors for {len(texts)} texts; every text has one. Encode the same "
            "texts that are given."
        )
    check_counts(nearest, random, surface)
    keys = np.array([text_key(text) for text in texts], dtype=np.int64)
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) < 2:
        raise InputError(f"the {len(texts)} texts are all the same; a pair needs two different ones. Give more texts.")
    order = np.argsort(first)  # different texts, in the order of their first copies
    own, group = first[order], np.argsort(order)[group]
    units = _unit(vectors)[own]
    words = SurfaceTexts([texts[i] for i in own])
    others = len(own) - 1
    found = [
        _nearest(units, min(nearest, others), exact=len(own) <= exact_up_to),
        words.neighbours(min(surface, others)),
        _random(len(own), min(random, others), seed),
    ]
    source = np.repeat(np.arange(len(found), dtype=np.int8), [one.shape[1] for one in found])
    candidates = np.zeros((len(own), len(source)), dtype=CANDIDATE)
    for start in range(0, len(own), BLOCK):
        rows = np.concatenate([one[start : start + BLOCK] for one in found], axis=1)
        candidates[start : start + BLOCK] = _compared(start, rows, source, units, words, measure)
    width = max(1, int((candidates["row"] >= 0).sum(axis=1).max()))
    candidates = candidates[:, :width]
    candidates["row"] = np.where(candidates["row"] < 0, -1, own[candidates["row"]])
    return candidates if len(own) == len(texts) else candidates[group]


def quantile_thresholds(
    candidates: NDArray[Any], positive: float = POSITIVE_QUANTILE, negative: float = NEGATIVE_QUANTILE
) -> tuple[float, float]:
    """Return thresholds of positives and negatives that fit the scale of whatever encoder made the similarities.

    Encoders differ in scale; untrained ones call almost everything alike. The thresholds are quantiles of the semantic
    similarity over all pairs of a text with one of its nearest neighbours.

    Args:
        candidates: What :func:`find_candidates` returned.
        positive: Quantile of the threshold of positives, in [0, 1].
        negative: Quantile of that of negatives, in [0, 1].

    Raises:
        InputError: There are no nearest neighbours among the candidates.
    """
    nearest = (candidates["source"] == SOURCES.index("nearest")) & (candidates["row"] >= 0)
    similarities = candidates["semantic"][nearest]
    if not len(similarities):
        raise InputError(
            "thresholds are to be found among nearest neighbours, but none are candidates; ask for nearest neighbours, "
            "or give both thresholds."
        )
    high, low = np.quantile(similarities, [positive, negative]).tolist()
    return high, low


@dataclass(frozen=True)
class Drawn:
    """A draw: one candidate for each of ``B`` rows, or none.

    Args:
        candidate: The candidates ``[B]``; their row is -1 where none may be drawn.
        chance: The chance that the rule gives each, however it was drawn ``[B]``; 0 where nothing was drawn.
        weight: What the loss has to multiply a draw with for its expectation to be that under the chances, > 0
            ``[B]``: 1 where drawn by them; where drawn evenly, the chance times the number of allowed candidates. 1
            where nothing was drawn.
    """

    candidate: NDArray[Any]
    chance: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def row(self) -> NDArray[np.int64]:
        """Rows of what was drawn, -1 where nothing was."""
        rows: NDArray[np.int64] = self.candidate["row"].astype(np.int64)
        return rows


@dataclass(frozen=True)
class IPWPairSampler:
    """Draws a positive and a hard negative for a text, by inverse propensity.

    With the similarities u on the surface and v in meaning of a text's candidates::

        P+(j) ~ [v_j >= positive_threshold] exp(v_j / positive_temperature) / (epsilon + u_j)
        P-(j) ~ [v_j <= negative_threshold] exp(u_j / negative_temperature) / (epsilon + v_j)

    both by :func:`inverse_propensity`. Between the thresholds lie pairs that are neither. A candidate is never both.

    Args:
        candidates: What :func:`find_candidates` returned ``[N, K]``; may be memory-mapped.
        positive_threshold: Least v of a positive; above 1 there is none.
        negative_threshold: Largest v of a negative, at most ``positive_threshold``; below 0 there is none.
        positive_temperature: Divisor of v for positives, > 0.
        negative_temperature: Divisor of u for negatives, > 0.
        epsilon: Added to propensities, > 0; large: propensities do not matter.
        max_weight: Largest weight of a candidate, >= 1, in medians of its row.
        evenly: Draw evenly from what is allowed and leave the weights to the loss (``Drawn.weight``).

    Raises:
        InputError: A number is out of its range, or negative_threshold is above positive_threshold: a pair would be
            both.

    Source: DebCSE, arXiv 2309.07396; formula and numbers are this library's.

    Example:
        >>> candidates = np.zeros((1, 2), dtype=CANDIDATE)
        >>> candidates["row"], candidates["surface"], candidates["semantic"] = [[4, 7]], [[0.9, 0.1]], [[0.9, 0.2]]
        >>> sampler = IPWPairSampler(candidates, positive_threshold=0.8, negative_threshold=0.6)
        >>> positive, negative = sampler.draw([0], [np.random.default_rng(0)])
        >>> positive.row.tolist(), negative.row.tolist()
        ([4], [7])
    """

    candidates: NDArray[Any]
    positive_threshold: float = 0.8
    negative_threshold: float = 0.6
    positive_temperature: float = 0.1
    negative_temperature: float = 0.2
    epsilon: float = 0.1
    max_weight: float = 10.0
    evenly: bool = False

    def __post_init__(self) -> None:
        for temperature in (self.positive_temperature, self.negative_temperature):
            _check_rule(temperature, self.epsilon, self.max_weight)
        if not (math.isfinite(self.positive_threshold) and math.isfinite(self.negative_threshold)):
            raise InputError(
                f"the thresholds are {self.positive_threshold} and {self.negative_threshold}; they are similarities, "
                "in [0, 1]."
            )
        if self.negative_threshold > self.positive_threshold:
            raise InputError(
                f"the threshold of negatives is {self.negative_threshold:g} and that of positives is "
                f"{self.positive_threshold:g}; a pair between them would be both. Give negatives the lower one."
            )

    def __len__(self) -> int:
        return len(self.candidates)

    def positive_chances(self, rows: Any) -> NDArray[np.float64]:
        """Return P+ of the candidates of some rows: an index of rows, ``[B]`` gives ``[B, K]``."""
        candidates = self.candidates[rows]
        return inverse_propensity(
            candidates["semantic"], candidates["surface"], self._positives(candidates),
            temperature=self.positive_temperature, epsilon=self.epsilon, max_weight=self.max_weight,
        )  # fmt: skip

    def negative_chances(self, rows: Any) -> NDArray[np.float64]:
        """Return P- of the candidates of some rows, likewise."""
        candidates = self.candidates[rows]
        return inverse_propensity(
            candidates["surface"], candidates["semantic"], self._negatives(candidates),
            temperature=self.negative_temperature, epsilon=self.epsilon, max_weight=self.max_weight,
        )  # fmt: skip

    def draw(self, rows: Sequence[int], random: Sequence[np.random.Generator]) -> tuple[Drawn, Drawn]:
        """Draw a positive and a negative for some rows.

        Args:
            rows: The rows ``[B]``.
            random: Where the chance of each row is drawn from, ``B`` of them; two numbers of each.

        Returns:
            The positives and the negatives.
        """
        index = np.asarray(rows, dtype=np.int64)
        candidates = np.asarray(self.candidates[index])
        chance = np.array([one.random(2) for one in random]).reshape(len(index), 2)
        return (
            self._drawn(candidates, self.positive_chances(index), chance[:, 0]),
            self._drawn(candidates, self.negative_chances(index), chance[:, 1]),
        )

    def _positives(self, candidates: NDArray[Any]) -> NDArray[np.bool_]:
        allowed: NDArray[np.bool_] = (candidates["row"] >= 0) & (candidates["semantic"] >= self.positive_threshold)
        return allowed

    def _negatives(self, candidates: NDArray[Any]) -> NDArray[np.bool_]:
        low = candidates["semantic"] <= self.negative_threshold
        allowed: NDArray[np.bool_] = (candidates["row"] >= 0) & low & ~self._positives(candidates)
        return allowed

    def _drawn(self, candidates: NDArray[Any], chances: NDArray[np.float64], number: NDArray[np.float64]) -> Drawn:
        allowed = chances > 0
        some, count = allowed.any(axis=1), allowed.sum(axis=1)
        drawn_by = allowed / np.maximum(count, 1)[:, None] if self.evenly else chances
        place = (drawn_by.cumsum(axis=1) <= number[:, None]).sum(axis=1)
        # The chances may add up to a little less than 1, and nothing behind the last allowed candidate is drawn.
        place = np.minimum(place, chances.shape[1] - 1 - allowed[:, ::-1].argmax(axis=1))
        line = np.arange(len(candidates))
        found = candidates[line, place]
        found["row"][~some] = -1
        chance = chances[line, place]
        return Drawn(found, chance, np.where(some & self.evenly, chance * count, 1.0))


def check_counts(nearest: int, random: int, surface: int) -> None:
    """Refuse numbers of candidates that cannot be.

    Raises:
        InputError: One is less than 0, or all are 0.
    """
    if min(nearest, random, surface) < 0 or not nearest + random + surface:
        raise InputError(
            f"the numbers of nearest, random and surface candidates are {nearest}, {random} and {surface}; each is 0 "
            "or more, and one of them is more than 0 (usual: 64, 64 and 32)."
        )


def _check_rule(temperature: float, epsilon: float, max_weight: float) -> None:
    if not 0 < temperature < math.inf:
        raise InputError(
            f"a temperature of the sampler is {temperature}; it is more than 0 and finite (usual: 0.1 and 0.2)."
        )
    if not 0 < epsilon < math.inf:
        raise InputError(f"epsilon is {epsilon}; it is more than 0 and finite (usual: 0.1).")
    if not max_weight >= 1:
        raise InputError(f"max_weight is {max_weight}; it is 1 or more, in medians (usual: 10).")


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    norm = torch.linalg.vector_norm(vectors, dim=1)
    wrong = (~norm.isfinite() | (norm == 0)).nonzero().flatten()
    if len(wrong):
        raise ValueError(
            f"find_candidates: vector {int(wrong[0])} is zero or not finite; a direction is needed. Look at its text."
        )
    units: torch.Tensor = vectors / norm[:, None]
    return units


def _nearest(units: torch.Tensor, k: int, *, exact: bool) -> NDArray[np.int64]:
    """Return the k nearest other texts of each, -1 where the search found fewer."""
    if not k:
        return np.empty((len(units), 0), dtype=np.int64)
    if exact:
        return pairwise.topk(units, units, k, mask_mod=_others, precision="fp32")[1].numpy()
    import faiss

    rows = units.float().numpy()
    lists = 4 * math.isqrt(len(rows))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1  # it would print a warning about few texts
    index.train(rows)
    index.add(rows)
    index.nprobe = max(8, lists // 32)
    _, found = index.search(rows, k + 1)
    itself = found == np.arange(len(rows))[:, None]
    itself[~itself.any(axis=1), -1] = True  # one of several equal vectors may push it out of its own list
    others: NDArray[np.int64] = found[~itself].reshape(len(rows), k)
    return others


def _others(row: Side, column: Side) -> torch.Tensor:
    other: torch.Tensor = row.index != column.index
    return other


def _random(number: int, k: int, seed: int) -> NDArray[np.int64]:
    """Return k different other texts of each of a number of texts."""
    generator = np.random.default_rng([seed, 0x1B5])
    parts = []
    for start in range(0, number, BLOCK):
        own = np.arange(start, min(start + BLOCK, number))[:, None]
        if number - 1 <= 16 * k:
            drawn = generator.random((len(own), number - 1)).argsort(axis=1)[:, :k]
        else:  # so few of many that there is hardly one twice; those few are left out by the caller
            drawn = generator.integers(number - 1, size=(len(own), k))
        parts.append(drawn + (drawn >= own))
    return np.concatenate(parts).astype(np.int64)


def _compared(
    start: int,
    rows: NDArray[np.int64],
    source: NDArray[np.int8],
    units: torch.Tensor,
    words: SurfaceTexts,
    measure: SurfaceMeasure,
) -> NDArray[Any]:
    """Compare a block of texts with what was found for them; each found text once, the empty places last."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    again = np.zeros_like(rows, dtype=bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    rows = np.where(again, -1, rows)
    order = np.argsort(rows < 0, axis=1, kind="stable")
    made = np.zeros(rows.shape, dtype=CANDIDATE)
    made["row"] = np.take_along_axis(rows, order, axis=1)
    made["source"] = np.broadcast_to(source, rows.shape)[np.arange(len(rows))[:, None], order]
    line, place = np.nonzero(made["row"] >= 0)
    own, other = start + line, made["row"][line, place].astype(np.int64)
    made["surface"][line, place] = words.similarity(own, other, measure)
    cosines = [
        torch.linalg.vecdot(units[torch.from_numpy(a)], units[torch.from_numpy(b)])
        for a, b in zip(np.array_split(own, 64), np.array_split(other, 64), strict=True)
    ]
    made["semantic"][line, place] = torch.cat(cosines).clamp(0, 1).numpy()
    return made
