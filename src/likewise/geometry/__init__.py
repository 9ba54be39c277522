"""What a space is like: how it is spread, what lies near what, and what is wrong. Pure functions of vectors."""

from likewise.geometry.bias import correlation_within, frequency_bias, length_bias, partial_correlation
from likewise.geometry.description import Geometry, describe
from likewise.geometry.figures import FIGURES
from likewise.geometry.findings import Finding
from likewise.geometry.gap import centroid_gap, cross_uniformity, separability
from likewise.geometry.gradients import GradientShare, gradient_shares
from likewise.geometry.groups import isotropy, tolerance
from likewise.geometry.histograms import Histogram, similarity_histograms
from likewise.geometry.negatives import (
    FalseNegatives,
    effective_negatives,
    false_negatives,
    penalty_entropy,
    same_label_push,
)
from likewise.geometry.neighbours import Hubness, duplicates, hubness
from likewise.geometry.spectrum import Spectrum, channel_correlation, effective_rank, singular_values, spectrum
from likewise.geometry.sphere import (
    alignment,
    coordinate_spread,
    even_uniformity,
    mean_cosine,
    positive_cosine,
    uniformity,
)
from likewise.geometry.summary import one_line, summary

__all__ = [
    "FIGURES",
    "FalseNegatives",
    "Finding",
    "Geometry",
    "GradientShare",
    "Histogram",
    "Hubness",
    "Spectrum",
    "alignment",
    "centroid_gap",
    "channel_correlation",
    "coordinate_spread",
    "correlation_within",
    "cross_uniformity",
    "describe",
    "duplicates",
    "effective_negatives",
    "effective_rank",
    "even_uniformity",
    "false_negatives",
    "frequency_bias",
    "gradient_shares",
    "hubness",
    "isotropy",
    "length_bias",
    "mean_cosine",
    "one_line",
    "partial_correlation",
    "penalty_entropy",
    "positive_cosine",
    "same_label_push",
    "separability",
    "similarity_histograms",
    "singular_values",
    "spectrum",
    "summary",
    "tolerance",
    "uniformity",
]
