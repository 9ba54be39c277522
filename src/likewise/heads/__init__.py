"""What stands between a tower and a loss."""

from likewise.heads.masked_language import MaskedLanguageHead, MaskedLanguageModel
from likewise.heads.projector import TanhProjection

__all__ = ["MaskedLanguageHead", "MaskedLanguageModel", "TanhProjection"]
