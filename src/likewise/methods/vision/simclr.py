"""SimCLR: two random views of a picture find each other among all views of the batch.

Paper: Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual Representations",
ICML 2020, arXiv 2002.05709.

What is new there: nothing but views, a head and large batches. What matters is which views are drawn (crops and colours
together), that the loss is taken behind a head of two layers which is thrown away afterwards, and that the other views
of the batch are the negatives.

Objective, NT-Xent (eq. 1), over the 2B views z of a batch, cosines s over temperature t, p(i) the other view of i's
picture::

    rows[i] = -s(z_i, z_p(i)) / t + log sum_{k != i} exp(s(z_i, z_k) / t)

What a row brings: a picture.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    AdamW                         LARS, for batches of 4,096                  batches here are small
    batch norm of all processes   the same (global batch norm)                -
    no batch norm behind the      one in the official code, with weights      not in the paper; ``last_norm`` of
    last layer of the head                                                    other heads
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.encoders import ImageEncoder
from likewise.heads import MLPProjector, unit_vectors
from likewise.losses import InfoNCE
from likewise.methods.base import AugmentSettings, Contrast, ImageMethod, Paper, StepOutput
from likewise.views import Batch, ImageViews

__all__ = ["Config", "SimCLR"]


@dataclass(frozen=True)
class Config(AugmentSettings):
    """Settings of ``simclr``."""

    temperature: float = 0.5
    """Divisor of the cosines, > 0 (paper: 0.1 for long training on ImageNet, 0.5 on CIFAR-10)."""
    hidden: int | None = None
    """Width of the head between its layers, >= 1; that of the features where not given (paper)."""
    head_size: int = 128
    """Length of the vectors that the loss compares, >= 1 (paper: 128)."""


class SimCLR(ImageMethod[Config]):
    """Embeddings of pictures from two views of each; see the module."""

    paper = Paper(
        "A Simple Framework for Contrastive Learning of Visual Representations", venue="ICML 2020", arxiv="2002.05709"
    )
    training_defaults = {"batch_size": 256, "lr": 1e-3, "weight_decay": 1e-6, "epochs": 100.0}

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        self.head = MLPProjector(encoder.dim, config.hidden or encoder.dim, config.head_size)
        self.loss = InfoNCE(config.temperature)

    def views(self) -> ImageViews:
        """Two views of each picture."""
        return self.augmented("first", "second")

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over both views, and every view looks for its other one."""
        views: Tensor = torch.cat([batch["first"], batch["second"]])
        embedded = unit_vectors(self.head(self.encoder(views)))  # [2 B, head_size]
        rows = self.loss(embedded, None, labels=batch.row_index.repeat(2))
        first, second = embedded.detach().chunk(2)
        return StepOutput({"nt_xent": rows.mean()}, contrast=Contrast(first, second, self.config.temperature))
