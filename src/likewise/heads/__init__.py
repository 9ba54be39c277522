"""What stands between a tower and a loss."""

from likewise.heads.masked_language import MaskedLanguageHead, MaskedLanguageModel
from likewise.heads.projector import NORM_FLOOR, MLPProjection, TanhProjection, unit_vectors
from likewise.heads.whitening import ShuffledGroupWhitening, Whitening

__all__ = [
    "NORM_FLOOR",
    "MLPProjection",
    "MaskedLanguageHead",
    "MaskedLanguageModel",
    "ShuffledGroupWhitening",
    "TanhProjection",
    "Whitening",
    "unit_vectors",
]
