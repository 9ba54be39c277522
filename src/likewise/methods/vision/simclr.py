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
    any number of views           two                                         with labels for views, eq. 2 of SupCon
    no batch norm behind the      one in the official code, with weights      not in the paper; ``last_norm`` of
    last layer of the head                                                    other heads
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.heads import unit_vectors
from likewise.losses import InfoNCE
from likewise.methods.base import Contrast, Paper, ProjectedMethod, ProjectorSettings, StepOutput
from likewise.views import Batch, ImageViews, view_names

__all__ = ["Config", "SimCLR"]


@dataclass(frozen=True)
class Config(ProjectorSettings):
    """Settings of ``simclr``."""

    temperature: float = 0.5
    """Divisor of the cosines, > 0 (paper: 0.1 for long training on ImageNet, 0.5 on CIFAR-10)."""
    num_views: int = 2
    """Views of each picture, >= 2; each looks for all others of its picture (paper: 2)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_views < 2:
            raise InputError(f"num_views is {self.num_views}; a view looks for another one, so that 2 are needed.")


class SimCLR(ProjectedMethod[Config]):
    """Embeddings of pictures from two views of each; see the module."""

    paper = Paper(
        "A Simple Framework for Contrastive Learning of Visual Representations", venue="ICML 2020", arxiv="2002.05709"
    )
    training_defaults = {"batch_size": 256, "lr": 1e-3, "weight_decay": 1e-6, "epochs": 100.0}

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        self.loss = InfoNCE(config.temperature)

    def views(self) -> ImageViews:
        """As many views of each picture as ``num_views`` says."""
        return self.augmented(*view_names(self.config.num_views))

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over all views, and every view looks for the others of its picture."""
        number = self.config.num_views
        views: Tensor = torch.cat([batch[name] for name in view_names(number)])
        embedded = unit_vectors(self.head(self.encoder(views)))  # [V B, head_size]
        rows = self.loss(embedded, None, labels=batch.row_index.repeat(number))
        first, second, *_ = embedded.detach().chunk(number)
        return StepOutput({"nt_xent": rows.mean()}, contrast=Contrast(first, second, self.config.temperature))
