"""Objectives, each a thin use of :mod:`likewise.pairwise`; all return :class:`RowLosses`."""

from __future__ import annotations

from likewise.losses.info_nce import InfoNCE, info_nce
from likewise.losses.reduction import RowLosses
from likewise.losses.soft_contrast import soft_contrast

__all__ = ["InfoNCE", "RowLosses", "info_nce", "soft_contrast"]
