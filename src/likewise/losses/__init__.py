"""Objectives, each a thin use of :mod:`likewise.pairwise`; all return :class:`RowLosses`."""

from __future__ import annotations

from likewise.losses.info_nce import InfoNCE, info_nce
from likewise.losses.reduction import RowLosses
from likewise.losses.similarity_mask import SimilarityMask
from likewise.losses.soft_contrast import soft_contrast

__all__ = ["InfoNCE", "RowLosses", "SimilarityMask", "info_nce", "soft_contrast"]
