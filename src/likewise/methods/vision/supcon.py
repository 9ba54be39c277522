"""SupCon: all views of one class find each other among all views of the batch.

Paper: Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan 2020, "Supervised Contrastive Learning",
NeurIPS 2020, arXiv 2004.11362.

What is new there: the labels say which pictures are alike, so a view has many positives; their mean stands outside the
logarithm, which the paper finds better than inside.

Objective (eq. 2), over the 2B views z of a batch, cosines s over temperature t, P(i) the other views of i's class (its
own second view among them)::

    rows[i] = -(1 / |P(i)|) sum_{p in P(i)} s(z_i, z_p) / t + log sum_{k != i} exp(s(z_i, z_k) / t)

What a row brings: a picture and the name of its class.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    AdamW                         SGD or LARS, batches of 6,144               batches here are small
    the loss as it is             times temperature / 0.07                    with Adam it changes nothing
    batch norm in the head        none                                        as all heads for pictures here; off
                                                                              by ``--no-batch-norm``
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise.data import Column, Image, Label, class_names
from likewise.encoders import ImageEncoder
from likewise.heads import unit_vectors
from likewise.losses import InfoNCE
from likewise.methods.base import Contrast, Paper, ProjectedMethod, ProjectorSettings, StepOutput
from likewise.views import Batch, LabelledViews

if TYPE_CHECKING:
    from likewise.data import Stages, Table
    from likewise.encoders import Embedder

__all__ = ["Config", "SupCon"]


@dataclass(frozen=True)
class Config(ProjectorSettings):
    """Settings of ``supcon``."""

    temperature: float = 0.1
    """Divisor of the cosines, > 0 (paper: 0.1)."""
    batch_norm: bool = True
    """Whether the head has batch norm between its layers."""


class SupCon(ProjectedMethod[Config]):
    """Embeddings of pictures from their classes; see the module."""

    paper = Paper("Supervised Contrastive Learning", venue="NeurIPS 2020", arxiv="2004.11362")
    columns = (
        Column("image", Image, help="a picture"),
        Column("label", Label, help="the name of its class"),
    )
    training_defaults = {"batch_size": 256, "lr": 1e-3, "weight_decay": 1e-4, "epochs": 100.0}

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder, batch_norm=config.batch_norm)
        self.loss = InfoNCE(config.temperature)
        self._classes: tuple[str, ...] = ()

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Number the classes."""
        self._classes = class_names(table, "label")
        return table

    def views(self) -> LabelledViews:
        """Two views of each picture, and its class."""
        return LabelledViews(self.augmented("first", "second"), "label", classes=self._classes)

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over both views, and every view looks for those of its class."""
        views: Tensor = torch.cat([batch["first"], batch["second"]])
        embedded = unit_vectors(self.head(self.encoder(views)))  # [2 B, head_size]
        rows = self.loss(embedded, None, labels=batch["label"].repeat(2))
        first, second = embedded.detach().chunk(2)
        return StepOutput({"supcon": rows.mean()}, contrast=Contrast(first, second, self.config.temperature))

    def kept(self) -> Mapping[str, Any]:
        """Keep the head and the names of the classes."""
        return {**super().kept(), "classes": list(self._classes)}
