"""What stands between a tower and a loss."""

from likewise.heads.masked_language import MaskedLanguageHead, MaskedLanguageModel
from likewise.heads.pair_norm import PairBatchNorm, PairNorm, PairProjector
from likewise.heads.projector import NORM_FLOOR, TanhProjection, unit_vectors

__all__ = [
    "NORM_FLOOR",
    "MaskedLanguageHead",
    "MaskedLanguageModel",
    "PairBatchNorm",
    "PairNorm",
    "PairProjector",
    "TanhProjection",
    "unit_vectors",
]
