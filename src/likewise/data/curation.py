"""Which triples are worth training on, by how alike their pairs are: the rule, and why each triple was kept or not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from likewise.errors import InputError

__all__ = ["CURATION_RULES", "CuratedTriple", "Curation", "CurationReport", "CurationRule", "Triple", "self_curate"]

HIGHEST = 5.0
"""Scores go from 0 (nothing in common) to this (the same meaning)."""


class Triple(NamedTuple):
    """A text, one that means the same and one that does not; None where there is none."""

    text: str
    positive: str | None
    negative: str | None


@dataclass(frozen=True)
class CurationRule:
    """From which scores on a triple is kept.

    Args:
        alpha: Lowest score of the positive that is kept, in [0, 5].
        beta: Highest score of the negative that is kept, in [0, 5].
        gap: Whether the two scores have to differ.

    Raises:
        InputError: A score is outside its range.

    Example:
        >>> rule = CurationRule()
        >>> rule.judge(Triple("a dog barks", "a dog is loud", "a cat sleeps"), (1.0, 4.5))
        CuratedTriple(text='a dog barks', positive='a cat sleeps', negative='a dog is loud', positive_score=4.5,
            negative_score=1.0, swapped=True, dropped=None, why='kept, with positive and negative swapped')
    """

    alpha: float = 3.0
    beta: float = 3.0
    gap: bool = True

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            if not 0 <= getattr(self, name) <= HIGHEST:
                raise InputError(
                    f"{name} is {getattr(self, name)}; it is a score of similarity, 0 to 5 (usual: 3). Give one in "
                    "that range."
                )

    @property
    def overlaps(self) -> bool:
        """Whether one and the same score makes a positive and a negative."""
        return self.alpha < self.beta and not self.gap

    def judge(self, triple: Triple, scores: tuple[float | None, float | None]) -> CuratedTriple:
        """Decide about one triple.

        Args:
            triple: The texts.
            scores: How alike text and positive are, and text and negative, each in [0, 5]; None: no valid score.

        Raises:
            InputError: A score is not a number from 0 to 5.
        """
        text, positive, negative = triple
        if not positive or not negative:
            missing = " and ".join(name for name, one in (("positive", positive), ("negative", negative)) if not one)
            return CuratedTriple(*triple, *scores, dropped="incomplete", why=f"dropped: no {missing}")
        high, low = scores
        if high is None or low is None:
            return CuratedTriple(*triple, *scores, dropped="invalid", why="dropped: no valid score")
        for score in scores:
            if score is None or not 0 <= score <= HIGHEST or not math.isfinite(score):
                raise InputError(
                    f"the triple of {text[:40]!r} has a score of {score}; scores are numbers from 0 to 5. Mend the "
                    "score, or leave the scores out and have them made."
                )
        swapped = high < low
        if swapped:
            positive, negative, high, low = negative, positive, low, high
        dropped, why = self._verdict(high, low)
        if dropped is None and swapped:
            why = "kept, with positive and negative swapped"
        return CuratedTriple(text, positive, negative, high, low, swapped, dropped, why)

    def _verdict(self, high: float, low: float) -> tuple[str | None, str]:
        if high < self.alpha:
            return "below_alpha", f"dropped: the better score {high:g} is below alpha {self.alpha:g}"
        if low > self.beta:
            return "above_beta", f"dropped: the lower score {low:g} is above beta {self.beta:g}"
        if self.gap and high == low:
            return "tie", f"dropped: both scores are {high:g}"
        return None, "kept"


_OFFICIAL = [(4, 3), (4, 2), (5, 3), (5, 2), (4, 1), (4, 0), (5, 1), (5, 0), (3, 0), (3, 1), (3, 2), (4, 4), (5, 4),
             (3, 3), (2, 0), (2, 1), (2, 2)]  # fmt: skip

CURATION_RULES: Mapping[int, CurationRule] = {
    number: CurationRule(alpha, beta, gap=alpha == beta) for number, (alpha, beta) in enumerate(_OFFICIAL, start=2)
}
"""The rules of the official code of MultiCSR by their number there (``filter_type``); 15 is its default."""


class CuratedTriple(NamedTuple):
    """A triple with its scores, and what was decided about it.

    Args:
        text: The text.
        positive: What means the same, after a swap.
        negative: What does not, after a swap.
        positive_score: How alike text and positive are.
        negative_score: How alike text and negative are.
        swapped: Whether positive and negative have changed places.
        dropped: None for a triple that is kept; else "incomplete", "invalid", "below_alpha", "above_beta" or "tie".
        why: The same in words.
    """

    text: str
    positive: str | None
    negative: str | None
    positive_score: float | None
    negative_score: float | None
    swapped: bool = False
    dropped: str | None = None
    why: str = "kept"


@dataclass
class CurationReport:
    """How many triples were kept, and how many were not and why.

    Args:
        counts: Triples by what was decided: ``kept``, and the values of ``CuratedTriple.dropped``.
        swapped: How many of the kept ones have changed places.
    """

    counts: Counter[str] = field(default_factory=Counter)
    swapped: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> CurationReport:
        """Make one again of what :meth:`as_dict` returned."""
        return cls(Counter({name: n for name, n in counts.items() if name != "swapped"}), counts["swapped"])

    def add(self, triple: CuratedTriple) -> None:
        """Count one more."""
        self.counts[triple.dropped or "kept"] += 1
        self.swapped += triple.swapped and triple.dropped is None

    @property
    def kept(self) -> int:
        """Triples that were kept."""
        return self.counts["kept"]

    def as_dict(self) -> dict[str, int]:
        """Return all counts by name."""
        names = ("invalid", "incomplete", "below_alpha", "above_beta", "tie")
        return {"kept": self.kept, "swapped": self.swapped, **{name: self.counts[name] for name in names}}

    def __str__(self) -> str:
        told = {
            "invalid": "without a valid score",
            "incomplete": "without a positive or a negative",
            "below_alpha": "whose positive scores too low",
            "above_beta": "whose negative scores too high",
            "tie": "with equal scores",
        }
        dropped = [f"{self.counts[name]:,} {words}" for name, words in told.items() if self.counts[name]]
        return (
            f"kept {self.kept:,} of {self.counts.total():,} triples ({self.swapped:,} of them swapped)"
            f"{'; dropped ' if dropped else ''}{', '.join(dropped)}"
        )


@dataclass(frozen=True)
class Curation:
    """Triples that were looked at, in their order, and a report over them."""

    triples: list[CuratedTriple]
    report: CurationReport

    @property
    def kept(self) -> list[CuratedTriple]:
        """Those that are worth training on."""
        return [triple for triple in self.triples if triple.dropped is None]


def self_curate(
    triples: Iterable[Sequence[Any]],
    scores: Iterable[tuple[float | None, float | None]],
    alpha: float = 3.0,
    beta: float = 3.0,
    gap: bool = True,
) -> Curation:
    """Keep consistent triples, putting positive and negative in their places.

    With ``u`` and ``v`` the scores of (text, positive) and (text, negative): where ``u < v`` the two texts and their
    scores change places. A triple is kept where then ``u >= alpha``, ``v <= beta`` and, with ``gap``, ``u != v``.

    Args:
        triples: (text, positive, negative) each; with fewer parts, or an empty one, a triple is counted as incomplete.
        scores: Two numbers from 0 to 5 for each triple; None where a scorer gave no valid one.
        alpha: As in :class:`CurationRule`.
        beta: As in :class:`CurationRule`.
        gap: As in :class:`CurationRule`.

    Raises:
        InputError: A score or a threshold is outside 0 to 5.
        ValueError: There are not as many pairs of scores as triples.

    Source: MultiCSR (arXiv 2310.10962), second stage; ``flan_filter.py`` of the official code.

    Example:
        >>> found = self_curate([("a", "b", "c"), ("d", "e", "f")], [(4.0, 1.0), (3.0, 3.0)])
        >>> print(found.report)
        kept 1 of 2 triples (0 of them swapped); dropped 1 with equal scores
    """
    rule, report = CurationRule(alpha, beta, gap), CurationReport()
    judged = []
    for parts, pair in zip(triples, scores, strict=True):
        text, positive, negative = (*parts, None, None)[:3]
        judged.append(rule.judge(Triple(text, positive, negative), pair))
        report.add(judged[-1])
    return Curation(judged, report)
