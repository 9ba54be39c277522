"""What figures of a space say is wrong with it, in sentences that a person can act on.

Each threshold stands with the reason for it. They are set so far out that a healthy encoder does not reach them, be it
trained or not; a space can be poor without any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Finding", "find"]

FEWEST_ROWS = 20
"""Rows from which on anything is said: a handful of texts may well be paraphrases of each other."""

CONSTANT_COSINE = 0.99
"""Mean cosine of two unrelated rows from which on the encoder gives one vector for everything: angles below 8 degrees.
Untrained two-layer towers have 0.6; the cosines of E5, trained at temperature 0.01, lie between 0.7 and 1 (its model
card), for related texts too."""

CONE_COSINE = 0.9
"""Mean cosine from which on the space is an extreme cone: angles around 26 degrees. Above what encoders have
that are trained at temperature 0.01 and rank well (see above)."""

RANK_SHARE = 0.1
"""Share of the directions that there could be, ``min(N - 1, D)``, of which a space that has not collapsed uses more.
The packaged MiniLM uses 0.8 of them on definitions, two layers of it 0.7, either 0.9 on 50 rows."""

DEAD_SHARE = 0.05
"""Share of dead directions that is worth a word. The packaged MiniLM has 3 of 384 (0.8 %); a final layer norm alone
makes one."""

ROWS_A_DIMENSION = 2
"""Rows for each dimension from which on a direction without variance is the encoder's and not the sample's: with fewer
the smallest variances of random vectors go to 0 too (Marchenko and Pastur)."""

COPIES_SHARE = 0.1
"""Share of rows with a copy among the others that is worth a word. 3 % of the definitions of WordNet have one."""

HUB_SHARE = 0.1
"""Share of the rows that have one and the same point among their ten nearest; and it must be ten times what chance
gives. Healthy encoders have 2 to 3 % on 3,000 rows."""

HUB_TIMES_CHANCE = 10.0
"""See ``HUB_SHARE``: among few rows every point is a neighbour of many."""

CHANCE_SHARE = 0.4
"""Mean share of negatives before the positive from which on pairs do not belong together: chance gives 0.5, and with 20
rows its standard error is 0.065. An untrained tower has 0.14 on definitions and words, the packaged MiniLM 0.07."""

GAP_COSINE = 0.1
"""How far the cosine within pairs must lie below that between any two rows of the first side before the sides lie
apart: any other query is then nearer than the own positive. Definitions and words, which an untrained tower tells
apart without fail, differ by 0.01."""

FLAT_SHARE = 0.995
"""Share of the negatives that push at a temperature from which on they all push alike. At temperature 1, where Wang and
Liu (2021, table 1) lose 8 points to the best temperature, it is 0.997; at 0.5, as SimCLR is used, 0.99."""

SHARP_NEGATIVES = 1.05
"""Effective negatives at a temperature up to which a row is pushed by one negative only. At temperature 0.01, which is
in use, the packaged MiniLM has 1.5."""

FEWEST_NEGATIVES = 16
"""Negatives from which on anything is said of a temperature."""

LENGTH_CORRELATION = 0.5
"""Rank correlation with length that is worth a word. Untrained towers have 0.24."""

FOLLOWS = {"low_rank": ("dead_dimensions",), "positives": ("gap",)}
"""What goes without saying where something graver is said."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a space.

    Args:
        level: "warning".
        name: What it is, for programs: "low_rank".
        message: What it is and what to do, for people.
    """

    level: Literal["warning"]
    name: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return the finding as plain values, ready for JSON."""
        return asdict(self)


def find(figures: Mapping[str, float]) -> tuple[Finding, ...]:
    """Say what is wrong with a space.

    Args:
        figures: Those of :func:`likewise.geometry.describe`; what is not there is not judged.

    Returns:
        The findings, the gravest first; none with fewer than 20 rows. A space in which all is one point is said to be
        that and nothing else.

    Example:
        >>> (found,) = find({"rows": 100, "dim": 8, "mean_cosine": 0.999})
        >>> found.name
        'constant'
    """
    if figures["rows"] < FEWEST_ROWS:
        return ()
    judges: dict[str, Callable[[Mapping[str, float]], str | None]] = {
        "constant": _constant,
        "low_rank": _low_rank,
        "cone": _cone,
        "positives": _positives,
        "gap": _gap,
        "dead_dimensions": _dead_dimensions,
        "duplicates": _duplicates,
        "hubs": _hubs,
        "flat_temperature": _flat_temperature,
        "sharp_temperature": _sharp_temperature,
        "length": _length,
    }
    said = {name: message for name, judge in judges.items() if (message := judge(figures)) is not None}
    follows = {other for name, others in FOLLOWS.items() if name in said for other in others}
    if "constant" in said:
        follows = judges.keys() - {"constant"}
    return tuple(Finding("warning", name, message) for name, message in said.items() if name not in follows)


def _constant(figures: Mapping[str, float]) -> str | None:
    if figures["mean_cosine"] < CONSTANT_COSINE:
        return None
    return (
        f"mean cosine {figures['mean_cosine']:.3f} between any two rows: the encoder gives nearly one vector for every "
        "input; the space has collapsed. Start again with a lower learning rate, and check that the texts and views of "
        "the rows differ."
    )


def _usable(figures: Mapping[str, float]) -> int:
    return int(min(figures["rows"] - 1, figures["dim"]))


def _low_rank(figures: Mapping[str, float]) -> str | None:
    rank = figures.get("centered_effective_rank")
    usable = _usable(figures)
    if rank is None or rank > 1 + RANK_SHARE * (usable - 1):
        return None
    return (
        f"effective rank {rank:.1f} of {usable}: the space has collapsed to a few directions. Check that the views "
        "keep what tells rows apart, add rows to the batch, and raise the temperature or lower the learning rate."
    )


def _cone(figures: Mapping[str, float]) -> str | None:
    if figures["mean_cosine"] < CONE_COSINE:
        return None
    return (
        f"mean cosine {figures['mean_cosine']:.2f} between any two rows: all vectors lie in a narrow cone, so cosines "
        "say little in themselves. Train with more negatives or a higher temperature, or compare ranks instead of "
        "cosines."
    )


def _positives(figures: Mapping[str, float]) -> str | None:
    share = figures.get("negatives_above_positive")
    if share is None or share < CHANCE_SHARE:
        return None
    return (
        f"{share:.0%} of the other rows' positives score above a row's own, and chance gives 50 %: the pairs do not "
        "belong together. Check that both columns are in the same order and that --columns names the right ones."
    )


def _gap(figures: Mapping[str, float]) -> str | None:
    positive = figures.get("positive_cosine")
    if positive is None or positive > figures["mean_cosine"] - GAP_COSINE:
        return None
    return (
        f"cosine {positive:.2f} within pairs but {figures['mean_cosine']:.2f} between any two of the first side: the "
        f"two sides lie apart (their middles by {figures['centroid_gap']:.2f}), so one index cannot hold both. Compare "
        "across the sides only, or train with uniformity within and across them."
    )


def _dead_dimensions(figures: Mapping[str, float]) -> str | None:
    dead, dim = figures.get("dead_dimensions"), figures["dim"]
    if dead is None or figures["rows"] < ROWS_A_DIMENSION * dim or dead <= DEAD_SHARE * dim:
        return None
    return (
        f"{dead:.0f} of {dim:.0f} directions have no variance: they cost memory and say nothing. Use fewer dimensions, "
        "or check the head (a weight that is zero, units that never fire)."
    )


def _duplicates(figures: Mapping[str, float]) -> str | None:
    share = figures.get("duplicates")
    if share is None or share <= COPIES_SHARE:
        return None
    return (
        f"{share:.0%} of the rows have an exact copy among the others: a copy in one batch is a false negative. Remove "
        "repeated rows, or look for texts that are equal once they are cut to the longest length."
    )


def _hubs(figures: Mapping[str, float]) -> str | None:
    share, neighbours = figures.get("largest_hub"), figures.get("neighbours")
    if share is None or neighbours is None:
        return None
    chance = neighbours / (figures["pair_rows"] - 1)
    if share <= HUB_SHARE or share < HUB_TIMES_CHANCE * chance:
        return None
    return (
        f"one row is among the {neighbours:.0f} nearest of {share:.0%} of the rows (chance gives {chance:.1%}): a hub "
        "that searches will show again and again. Look for rows that say next to nothing (headings, boiler-plate), and "
        "subtract the mean vector before comparing."
    )


def _negatives(figures: Mapping[str, float]) -> float:
    return figures["pair_rows"] - 1 if "pair_rows" in figures else 0.0


def _flat_temperature(figures: Mapping[str, float]) -> str | None:
    share = figures.get("effective_negatives_share")
    if share is None or _negatives(figures) < FEWEST_NEGATIVES or share < FLAT_SHARE:
        return None
    return (
        f"at temperature {figures['temperature']:g} {share:.1%} of the negatives push alike: the loss does not look "
        "for hard negatives. Lower the temperature."
    )


def _sharp_temperature(figures: Mapping[str, float]) -> str | None:
    number = figures.get("effective_negatives")
    if number is None or _negatives(figures) < FEWEST_NEGATIVES or number > SHARP_NEGATIVES:
        return None
    return (
        f"at temperature {figures['temperature']:g} a row is pushed by {number:.2f} negatives in effect: one false "
        "negative decides a row's gradient. Raise the temperature."
    )


def _length(figures: Mapping[str, float]) -> str | None:
    correlation = figures.get("length_bias")
    if correlation is None or correlation <= LENGTH_CORRELATION:
        return None
    return (
        f"cosines of unrelated texts follow their lengths (rank correlation {correlation:.2f}): texts look alike "
        "because they are equally long. Train with views that change the length."
    )
