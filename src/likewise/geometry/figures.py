"""What the figures of a space are called, what they say, and which way is good."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FIGURES", "Meaning"]


class Meaning(NamedTuple):
    """What a figure says.

    Args:
        about: What it is, in a few words.
        worst: Its value in a useless space; empty where there is no such value.
        best: Its value in the best space there is: D numbers of a vector, k neighbours, "even" for vectors that are
            spread evenly; empty where there is no such value.
    """

    about: str
    worst: str
    best: str


FIGURES: dict[str, Meaning] = {
    "rows": Meaning("vectors described", "", ""),
    "dim": Meaning("numbers of a vector, D", "", ""),
    "effective_rank": Meaning("directions in use", "1", "D"),
    "mean_cosine": Meaning("cosine of any two rows: a cone?", "1", "0"),
    "uniformity": Meaning("how evenly the sphere is covered", "0", "even"),
    "uniformity_rows": Meaning("rows that uniformity was computed on", "", ""),
    "even_uniformity": Meaning("uniformity of vectors that are spread evenly", "", ""),
    "alignment": Meaning("squared distance within pairs", "2", "0"),
    "positive_cosine": Meaning("cosine within pairs", "0", "1"),
    "isotropy": Meaning("1 - mean cosine", "0", "1"),
    "centered_effective_rank": Meaning("directions in use beside the mean", "0", "D"),
    "dead_dimensions": Meaning("directions without variance", "D", "0"),
    "explained_by_first": Meaning("share of the variance along one direction", "1", "1/D"),
    "dimensions_for_90": Meaning("directions that hold 90 % of the variance", "1", "0.9 D"),
    "tolerance": Meaning("cosine within classes", "0", "1"),
    "same_label_negatives": Meaning("share of negatives of the row's own class", "1", "0"),
    "length_bias": Meaning("rank correlation of cosines with equal length", "1", "0"),
    "frequency_bias": Meaning("rank correlation of word frequency with nearness to the mean", "1", "0"),
    "pair_rows": Meaning("rows that all figures below were computed on", "", ""),
    "neighbours": Meaning("nearest rows looked at for hubs, k", "", ""),
    "hubness": Meaning("skewness of how often a row is a neighbour", "10", "0"),
    "anti_hubs": Meaning("share of rows that are nobody's neighbour", "1", "0"),
    "largest_hub": Meaning("largest share of rows with one and the same neighbour", "1", "k/rows"),
    "duplicates": Meaning("share of rows with an exact copy", "1", "0"),
    "hardest_negative_cosine": Meaning("cosine with the nearest negative", "1", ""),
    "negative_cosine": Meaning("cosine with the positives of other rows", "1", "0"),
    "negatives_above_positive": Meaning("share of negatives found before the positive", "0.5", "0"),
    "false_negative_rows": Meaning("share of rows with a negative near the positive", "1", "0"),
    "false_negative_pairs": Meaning("share of negatives near the positive", "1", "0"),
    "centroid_gap": Meaning("distance of the middles of the two sides", "2", "0"),
    "separability": Meaning("accuracy of telling the two sides apart", "1", "0.5"),
    "cross_uniformity": Meaning("how evenly one side is spread around the other", "0", "even"),
    "temperature": Meaning("temperature that the figures below hold for", "", ""),
    "penalty_entropy": Meaning("spread of the penalty over negatives, nats", "", ""),
    "effective_negatives": Meaning("negatives that push a row: neither 1 nor all", "", ""),
    "effective_negatives_share": Meaning("the same as a share of all negatives", "", ""),
}
"""Every figure of :func:`likewise.geometry.describe`, in its order."""
