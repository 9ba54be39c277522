"""Objectives, each a thin use of :mod:`likewise.pairwise`; all return :class:`RowLosses`."""

from __future__ import annotations

from likewise.losses.info_nce import InfoNCE, info_nce
from likewise.losses.reduction import RowLosses
<<<<<<< HEAD
from likewise.losses.soft_contrast import soft_contrast

__all__ = ["InfoNCE", "RowLosses", "info_nce", "soft_contrast"]
=======
from likewise.losses.similarity_mask import SimilarityMask

__all__ = ["InfoNCE", "RowLosses", "SimilarityMask", "info_nce"]
>>>>>>> ccp
