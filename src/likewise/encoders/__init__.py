"""Towers by modality, and the one place that loads foreign weights."""

from likewise.encoders.base import Encoder
from likewise.encoders.domains import Domain
from likewise.encoders.embedder import Embedder, Role
from likewise.encoders.precision import has_fast_bf16, resolve_precision
from likewise.encoders.pretrained import TextEncoderConfig, load_text_encoder, masked_language_weights
from likewise.encoders.text import TextEncoder
from likewise.encoders.tokens import TextTokenizer, Tokens

__all__ = [
    "Domain",
    "Embedder",
    "Encoder",
    "Role",
    "TextEncoder",
    "TextEncoderConfig",
    "TextTokenizer",
    "Tokens",
    "has_fast_bf16",
    "load_text_encoder",
    "masked_language_weights",
    "resolve_precision",
]
