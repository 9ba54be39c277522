"""Objectives, each a thin use of :mod:`likewise.pairwise`; all return :class:`RowLosses`."""

from __future__ import annotations

from likewise.losses.info_nce import InfoNCE, info_nce
from likewise.losses.nested import LayerWeighting, Nested2D, NestedDraw, NestedVariant, nested_widths
from likewise.losses.other_texts import other_texts
from likewise.losses.reduction import RowLosses
from likewise.losses.similarity_mask import SimilarityMask
from likewise.losses.soft_contrast import soft_contrast

__all__ = [
    "InfoNCE",
    "LayerWeighting",
    "Nested2D",
    "NestedDraw",
    "NestedVariant",
    "RowLosses",
    "SimilarityMask",
    "info_nce",
    "nested_widths",
    "other_texts",
    "soft_contrast",
]
