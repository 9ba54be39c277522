"""Objectives, each a thin use of :mod:`likewise.pairwise`; all return :class:`RowLosses`."""

from __future__ import annotations

from likewise.losses.alike_targets import alike_targets
from likewise.losses.attraction_repulsion import (
    attraction,
    kernel_repulsion,
    positive_weights,
    repulsion,
    weighed_prediction,
)
from likewise.losses.bce_softmax import bce_softmax
from likewise.losses.cosine import cosine_alignment, cosine_uniformity
from likewise.losses.distilled_pair import DistilledPairLoss, distillation
from likewise.losses.gaussian import attribute_alignment, gaussian_alignment, gaussian_uniformity, joint_entropy
from likewise.losses.global_contrast import GlobalTerms, global_contrast, paired_global_contrast
from likewise.losses.hard_contrast import hard_contrast, hardest_threshold, simple_contrast
from likewise.losses.info_nce import InfoNCE, info_nce
from likewise.losses.listwise import listwise_distillation
from likewise.losses.nested import LayerWeighting, Nested2D, NestedDraw, NestedVariant, nested_widths
from likewise.losses.other_texts import other_texts
from likewise.losses.own_vs_negatives import GateNorm, own_vs_negatives
from likewise.losses.pair_task import PairTask
from likewise.losses.prior_matching import prior_matching
from likewise.losses.queue_contrast import MixedScores, mixed_scores, queue_contrast
from likewise.losses.reduction import RowLosses
from likewise.losses.routing import load_balance, mutual_information, specified_expert
from likewise.losses.similarity_mask import SimilarityMask
from likewise.losses.soft_contrast import soft_contrast
from likewise.losses.soft_positives import soft_positives
from likewise.losses.spectral import spectral
from likewise.losses.table import table_cross_entropy

__all__ = [
    "DistilledPairLoss",
    "GateNorm",
    "GlobalTerms",
    "InfoNCE",
    "LayerWeighting",
    "MixedScores",
    "Nested2D",
    "NestedDraw",
    "NestedVariant",
    "PairTask",
    "RowLosses",
    "SimilarityMask",
    "alike_targets",
    "attraction",
    "attribute_alignment",
    "bce_softmax",
    "cosine_alignment",
    "cosine_uniformity",
    "distillation",
    "gaussian_alignment",
    "gaussian_uniformity",
    "global_contrast",
    "hard_contrast",
    "hardest_threshold",
    "info_nce",
    "joint_entropy",
    "kernel_repulsion",
    "listwise_distillation",
    "load_balance",
    "mixed_scores",
    "mutual_information",
    "nested_widths",
    "other_texts",
    "own_vs_negatives",
    "paired_global_contrast",
    "positive_weights",
    "prior_matching",
    "queue_contrast",
    "repulsion",
    "simple_contrast",
    "soft_contrast",
    "soft_positives",
    "specified_expert",
    "spectral",
    "table_cross_entropy",
    "weighed_prediction",
]
