"""What stands between a tower and a loss."""

from likewise.heads.masked_language import MaskedLanguageHead, MaskedLanguageModel
from likewise.heads.projector import NORM_FLOOR, MLPProjection, TanhProjection, unit_vectors

__all__ = ["NORM_FLOOR", "MLPProjection", "MaskedLanguageHead", "MaskedLanguageModel", "TanhProjection", "unit_vectors"]
