"""WhitenedCSE: SimCSE on several views, each whitened in groups of channels that are shuffled anew.

Paper: Zhuo, Sun, Wang, Zhu, Yang 2023, "WhitenedCSE: Whitening-based Contrastive Learning of Sentence Embeddings",
ACL 2023, arXiv 2305.17746.

What is new there: contrast and whitening both spread a space, and one after the other they say the same thing twice.
Here the whitening makes positives instead. Between the tower and the head, in training only, the channels of a view are
permuted at random, cut into groups, each group is whitened over the batch, and every channel goes back to its place.
Another permutation mixes other channels, so the views of a sentence differ by more than dropout.

A row brings a sentence. It goes through the tower ``V`` times in one pass, each time under a dropout mask of its own.

Objective, one direction, cosines s over temperature t; x^v is view v of the batch, P_v its permutation of the ``D``
channels, drawn at each step, and W_v the whitening of its ``G`` groups of ``m = D / G`` channels::

    u^v = P_v^-1 W_v (P_v x^v - mean)      W_v^T C_v W_v = I in each group, with C_v the covariance over the batch
    z^v = tanh(A u^v + b)
    rows[i] = sum_(v = 2..V) ( -s(z^1_i, z^v_i) / t + log sum_j exp(s(z^1_i, z^v_j) / t) )

a sum over the positives, each among negatives of its own view, not one softmax over all. ``W_v`` is a constant in the
backward pass. The model is the tower alone: no whitening, no head, no statistics of batches.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    a permutation and a           paper: as here; code: cuts the rows (three  what the paper describes; there, the
    whitening for each view       of a sentence in a row) into thirds of the  views of one sentence share a
                                  batch, each with a permutation              permutation and a covariance
    eps of 1e-5 of the mean       none                                        a channel that says nothing would be
    variance                                                                  blown up, or make a matrix singular
    statistics of the rows of     of each process's rows, with a permutation  W processes equal one
    all processes, and one        of its own
    permutation for all
    the gradient through W, if    that of the eigenvectors, which does not    it does exist for the root itself
    asked for, also where         exist there
    eigenvalues are equal
    whitening by Cholesky runs    stops with a NameError; written to let the  -
    and obeys detach_whitening    gradient through
    the gradient of several       1 / W of it (remote keys carry none)        exactness: W processes equal one
    processes equals one's
    the encoder's own pooling     first token                                 first-token pooling of an encoder that
    (cls for --pooling cls)                                                   was trained with means gets worse
    ``num_views`` >= 2            3, hard-wired                               -
    no running statistics         buffers that are never read                 -
    ============================  ==========================================  =====================================
The settings are those of the official run for BERT-base (README and script: batch 128, learning rate 1e-5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from likewise.encoders import TextEncoder, Tokens
from likewise.errors import InputError
from likewise.heads import ShuffledGroupWhitening, TanhProjection, unit_vectors
from likewise.losses import InfoNCE
from likewise.methods.base import Contrast, Paper, SentenceMethod, StepOutput
from likewise.views import Batch, TextInput, TextViews

__all__ = ["Config", "WhitenedCSE"]


@dataclass(frozen=True)
class Config:
    """Settings of ``whitenedcse``."""

    temperature: float = 0.05
    """Divisor of the cosines, > 0 (official: 0.05)."""
    head: bool = True
    """Put a fresh tanh projection after the whitening in training; it is no part of the model."""
    num_views: int = 3
    """How often each sentence is encoded, >= 2: an anchor and its positives (official: 3)."""
    whitening: Literal["zca", "cholesky", "none"] = "zca"
    """Which matrix whitens a group: the root of its inverse covariance, or its Cholesky factor; or none, which leaves
    SimCSE with num_views - 1 positives (official: zca)."""
    groups: int = 128
    """Groups that the channels of a vector are cut into, >= 1, a divisor of their number; as many as channels:
    standardise each, 1: whiten all together. A batch should have ten times the channels of a group (official: 128 of
    768 channels)."""
    shuffle: bool = True
    """Draw the channels of the groups anew for each view and step; else neighbours form a group (paper: yes)."""
    detach_whitening: bool = True
    """Take the whitening matrices as constants in the backward pass (official: yes)."""
    whitening_eps: float = 1e-5
    """Added to each variance, as a share of the mean variance, >= 0; with 0 every batch needs more rows than a group
    has channels (official: 0)."""
    statistics: Literal["all", "process"] = "all"
    """Of whose rows mean and covariance are: those of all processes, or of each by itself (official: process)."""


class WhitenedCSE(SentenceMethod[Config]):
    """Sentence embeddings from several views, whitened in shuffled groups; see the module."""

    paper = Paper(
        "WhitenedCSE: Whitening-based Contrastive Learning of Sentence Embeddings",
        venue="ACL 2023",
        arxiv="2305.17746",
    )
    training_defaults = {**SentenceMethod.training_defaults, "batch_size": 128, "lr": 1e-5}

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        if config.num_views < 2:
            raise InputError(
                f"num_views is {config.num_views}; an anchor needs a positive, so 2 or more are accepted (paper: 3)."
            )
        self.head: nn.Module = TanhProjection(encoder.dim, encoder.dim) if config.head else nn.Identity()
        self.whitening: nn.Module = nn.Identity()
        if config.whitening != "none":
            self.whitening = ShuffledGroupWhitening(
                encoder.dim,
                config.groups,
                shuffle=config.shuffle,
                engine=config.whitening,
                eps=config.whitening_eps,
                detach=config.detach_whitening,
                statistics=config.statistics,
            )
        self.loss = InfoNCE(config.temperature)

    def views(self) -> TextViews:
        """Tokenise each text once; all views of a sentence are the same tokens."""
        return TextViews(self.encoder.tokenizer, {"text": TextInput("text")})

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over all views, so that each row draws a dropout mask of its own; then view by view."""
        text: Tokens = batch["text"]
        features: Tensor = self.encoder(text.repeat(self.config.num_views))
        by_view = features.unflatten(0, (self.config.num_views, len(text)))  # [V, B, D]
        white = torch.stack([self.whitening(view) for view in by_view])
        anchor, *positives = unit_vectors(self.head(white))  # [B, D] each
        losses = [self.loss(anchor, positive).mean() for positive in positives]
        contrast = Contrast(anchor.detach(), positives[0].detach(), self.config.temperature)
        return StepOutput({"info_nce": torch.stack(losses).sum()}, contrast=contrast)
