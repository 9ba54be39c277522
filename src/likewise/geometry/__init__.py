"""What a space is like: alignment, uniformity, anisotropy, effective rank. Pure functions of vectors."""

from likewise.geometry.spectrum import effective_rank, singular_values
from likewise.geometry.sphere import alignment, even_uniformity, mean_cosine, positive_cosine, uniformity
from likewise.geometry.summary import one_line, summary

__all__ = [
    "alignment",
    "effective_rank",
    "even_uniformity",
    "mean_cosine",
    "one_line",
    "positive_cosine",
    "singular_values",
    "summary",
    "uniformity",
]
