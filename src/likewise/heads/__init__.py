"""What stands between a tower and a loss."""

from likewise.heads.cosine_classifier import CosineClassifier
from likewise.heads.masked_language import MaskedLanguageHead, MaskedLanguageModel
from likewise.heads.pair import PairHead
from likewise.heads.pair_gate import GateForm, PairGate
from likewise.heads.pair_norm import PairBatchNorm, PairNorm, PairProjector
from likewise.heads.pair_scorer import PairIndex, PairScorer, ranked
from likewise.heads.pooler import BackbonePooler
from likewise.heads.projector import NORM_FLOOR, MLPProjector, TanhProjection, unit_vectors
from likewise.heads.reweight import FixedReweight
from likewise.heads.symmetric_relu import SymmetricReLU
from likewise.heads.tapped import POST, PRE, HeadKind, TappedHead
from likewise.heads.top_layers import TopLayersPool
from likewise.heads.whitening import ShuffledGroupWhitening, Whitening

__all__ = [
    "NORM_FLOOR",
    "POST",
    "PRE",
    "BackbonePooler",
    "CosineClassifier",
    "FixedReweight",
    "GateForm",
    "HeadKind",
    "MLPProjector",
    "MaskedLanguageHead",
    "MaskedLanguageModel",
    "PairBatchNorm",
    "PairGate",
    "PairHead",
    "PairIndex",
    "PairNorm",
    "PairProjector",
    "PairScorer",
    "ShuffledGroupWhitening",
    "SymmetricReLU",
    "TanhProjection",
    "TappedHead",
    "TopLayersPool",
    "Whitening",
    "ranked",
    "unit_vectors",
]
