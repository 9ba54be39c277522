"""Towers by modality, and the one place that loads foreign weights."""

from likewise.encoders.base import Encoder
from likewise.encoders.batch_norm import BatchNorm, has_batch_norm, share_batch_norm
from likewise.encoders.calibration import Calibrator
from likewise.encoders.cross_encoder import CrossEncoder, JointEncoder, PretrainedCrossEncoder
from likewise.encoders.domains import Domain
from likewise.encoders.embedder import Embedder, Role
from likewise.encoders.experts import Experts, ExpertsPlan, Router, add_experts, experts_of
from likewise.encoders.image import ImageEncoder, ImageEncoderConfig, is_image_encoder, load_image_encoder
from likewise.encoders.pooling import TokenPooling
from likewise.encoders.precision import has_fast_bf16, resolve_precision
from likewise.encoders.pretrained import (
    TextEncoderConfig,
    load_cross_encoder,
    load_text_encoder,
    masked_language_weights,
    sentence_head_weights,
)
from likewise.encoders.prompts import add_words
from likewise.encoders.text import TextEncoder
from likewise.encoders.tokens import TextTokenizer, Tokens

__all__ = [
    "BatchNorm",
    "Calibrator",
    "CrossEncoder",
    "Domain",
    "Embedder",
    "Encoder",
    "Experts",
    "ExpertsPlan",
    "ImageEncoder",
    "ImageEncoderConfig",
    "JointEncoder",
    "PretrainedCrossEncoder",
    "Role",
    "Router",
    "TextEncoder",
    "TextEncoderConfig",
    "TextTokenizer",
    "TokenPooling",
    "Tokens",
    "add_experts",
    "add_words",
    "experts_of",
    "has_batch_norm",
    "has_fast_bf16",
    "is_image_encoder",
    "load_cross_encoder",
    "load_image_encoder",
    "load_text_encoder",
    "masked_language_weights",
    "resolve_precision",
    "sentence_head_weights",
    "share_batch_norm",
]
