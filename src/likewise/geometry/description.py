"""A space described: every figure that its vectors allow, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise.geometry.bias import frequency_bias, length_bias, words_of
from likewise.geometry.figures import FIGURES
from likewise.geometry.findings import Finding, find
from likewise.geometry.gap import FEWEST_FOR_SEPARABILITY, centroid_gap, cross_uniformity, separability
from likewise.geometry.groups import tolerance
from likewise.geometry.histograms import Histogram, counted, hardest
from likewise.geometry.negatives import false_negatives, penalty_entropy, same_label_share
from likewise.geometry.neighbours import copies, nearest, occurrences
from likewise.geometry.rows import sampled, unit_pair, unit_rows
from likewise.geometry.spectrum import spectrum
from likewise.geometry.summary import summary

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Geometry", "describe"]

NEIGHBOURS = 10
"""Neighbours of a row that are looked at for hubs, as in the literature on them."""


@dataclass(frozen=True)
class Geometry:
    """What a space is like.

    Args:
        figures: Every figure by name; :data:`likewise.geometry.FIGURES` says what each is, and the function of its name
            how it is computed.
        spectrum: Singular values of the centred vectors as shares of the largest.
        histograms: Cosines of ``negatives`` and ``hardest_negatives``, and of ``positives`` where there are pairs.
        findings: What is wrong, the gravest first.
    """

    figures: dict[str, float]
    spectrum: list[float]
    histograms: dict[str, Histogram]
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return {
            "figures": dict(self.figures),
            "spectrum": list(self.spectrum),
            "histograms": {name: histogram.as_dict() for name, histogram in self.histograms.items()},
            "findings": [finding.as_dict() for finding in self.findings],
        }


@torch.no_grad()
def describe(
    embeddings: Float[Tensor, "N D"],
    positives: Float[Tensor, "N D"] | None = None,
    *,
    labels: Tensor | Sequence[Any] | None = None,
    texts: Sequence[str] | None = None,
    temperature: float | None = None,
    max_rows: int | None = 10_000,
    seed: int = 0,
) -> Geometry:
    """Describe a space by every figure that can be computed from what is given.

    Args:
        embeddings: Vectors of different things; rows are put on the unit sphere first.
        positives: Row i is a positive of row i of the embeddings. Brings ``alignment``, ``positive_cosine``,
            ``negative_cosine``, ``negatives_above_positive``, ``false_negative_rows``, ``false_negative_pairs``,
            ``centroid_gap``, ``cross_uniformity`` and, from 10 rows on, ``separability``.
        labels: The class of each row. Brings ``tolerance`` and ``same_label_negatives``.
        texts: The text of each row. Brings ``length_bias`` (in words) and ``frequency_bias``.
        temperature: Divisor of the cosines, > 0. Brings ``temperature``, ``penalty_entropy``, ``effective_negatives``
            and ``effective_negatives_share``.
        max_rows: Figures that look at pairs (uniformity, and those from ``pair_rows`` on) are computed on no more than
            this many rows, drawn without replacement, >= 2; None: on all. The other figures are always exact.
        seed: Seed of every draw.

    Returns:
        The :class:`Geometry`. Findings are given from 20 rows on.

    Raises:
        ValueError: Fewer than two rows, shapes that differ, a row that is not finite or is zero, a class with one row
            (it is named), temperature <= 0.

    Cost: O(N D^2) time for the figures of all rows; a few products of max_rows x max_rows x D (three, and up to seven
        with positives and a temperature). O(N D) memory: no figure holds the pairs.

    Example:
        >>> rows = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
        >>> healthy = describe(rows, rows + 0.1, temperature=0.05)
        >>> round(healthy.figures["effective_rank"], 1), healthy.findings
        (8.0, ())
        >>> [finding.name for finding in describe(rows[:1].repeat(200, 1)).findings]
        ['constant']
    """
    if positives is None:
        rows, keys = unit_rows(embeddings, "describe", at_least=2), None
    else:
        rows, keys = unit_pair(embeddings, positives, "describe", at_least=2)
    figures = summary(rows, keys, max_rows=max_rows, seed=seed)
    directions = spectrum(rows)
    figures |= {
        "isotropy": 1 - figures["mean_cosine"],
        "centered_effective_rank": directions.effective_rank,
        "dead_dimensions": directions.dead_dimensions,
        "explained_by_first": directions.explained[0],
        "dimensions_for_90": directions.dimensions_for(0.9),
    }
    if labels is not None:
        figures["tolerance"] = tolerance(rows, labels)
        figures["same_label_negatives"] = same_label_share(labels, len(rows))
    if texts is not None:
        lengths = [float(len(words_of(text))) for text in texts]
        figures["length_bias"] = length_bias(rows, lengths, seed=seed)
        figures["frequency_bias"] = frequency_bias(rows, texts)
    rows, keys = sampled(rows, max_rows, seed), None if keys is None else sampled(keys, max_rows, seed)
    k = min(NEIGHBOURS, len(rows) - 1)
    cosines, index = nearest(rows, k)
    hubs = occurrences(index)
    highest = cosines[:, 0] if keys is None else hardest(rows, keys)
    figures |= {
        "pair_rows": len(rows),
        "neighbours": k,
        "hubness": hubs.skewness,
        "anti_hubs": hubs.anti_hubs,
        "largest_hub": hubs.largest,
        "duplicates": copies(cosines),
        "hardest_negative_cosine": float(highest.double().mean()),
    }
    if keys is not None:
        figures |= _with_positives(rows, keys, seed)
    if temperature is not None:
        figures |= _at_temperature(rows, keys, temperature)
    return Geometry(
        figures={name: float(figures[name]) for name in FIGURES if name in figures},
        spectrum=directions.values,
        histograms=counted(rows, keys, highest),
        findings=find(figures),
    )


def _with_positives(rows: Tensor, keys: Tensor, seed: int) -> dict[str, float]:
    near = false_negatives(rows, keys)
    count = len(rows)
    sums = [side.sum(dim=0, dtype=torch.float64) for side in (rows, keys)]
    within = float(torch.linalg.vecdot(rows, keys).sum(dtype=torch.float64))
    figures = {
        "negative_cosine": (float(sums[0] @ sums[1]) - within) / (count * (count - 1)),
        "negatives_above_positive": false_negatives(rows, keys, share_of_positive=1.0).pairs,
        "false_negative_rows": near.rows,
        "false_negative_pairs": near.pairs,
        "centroid_gap": centroid_gap(rows, keys),
        "cross_uniformity": cross_uniformity(rows, keys),
    }
    if count >= FEWEST_FOR_SEPARABILITY:
        figures["separability"] = separability(rows, keys, seed=seed)
    return figures


def _at_temperature(rows: Tensor, keys: Tensor | None, temperature: float) -> dict[str, float]:
    entropy = float(penalty_entropy(rows, keys, temperature=temperature).double().mean())
    return {
        "temperature": temperature,
        "penalty_entropy": entropy,
        "effective_negatives": math.exp(entropy),
        "effective_negatives_share": math.exp(entropy) / (len(rows) - 1),
    }
