"""Reductions over all pairs of two sets of vectors, exact, without ever storing the pairs.

The caller says what a score is (``scale``, ``score_mod``) and which pairs count (``mask_mod``); the engine streams over
tiles of pairs, forward and backward, in O((N + M) D) memory. Every objective of this library that compares rows with
rows goes through here. :mod:`likewise.pairwise.reference` has the dense twin of each reduction, written for reading.
"""

from __future__ import annotations

from likewise.pairwise.complements import softmax_bce
from likewise.pairwise.counting import histogram
from likewise.pairwise.nearest import topk
from likewise.pairwise.operands import operand_values, operands_are_rounded, without_autocast
from likewise.pairwise.pairs import PairOptions
from likewise.pairwise.reducers import ScoreFunction
from likewise.pairwise.reductions import SoftmaxTerms, expectation, logsumexp, softmax_terms, sum
from likewise.pairwise.selection import kth
from likewise.pairwise.sides import MaskMod, Over, Precision, Score, ScoreMod, Side, Tile, Vectors
from likewise.pairwise.whole import whole_cross_entropy

__all__ = [
    "MaskMod",
    "Over",
    "PairOptions",
    "Precision",
    "Score",
    "ScoreFunction",
    "ScoreMod",
    "Side",
    "SoftmaxTerms",
    "Tile",
    "Vectors",
    "expectation",
    "histogram",
    "kth",
    "logsumexp",
    "operand_values",
    "operands_are_rounded",
    "softmax_bce",
    "softmax_terms",
    "sum",
    "topk",
    "whole_cross_entropy",
    "without_autocast",
]
