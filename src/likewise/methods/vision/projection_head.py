"""Projection heads: which layer of tower and head makes the better model, by training with any of them and looking.

Paper: Xue, Gan, Ni, Joshi, Mirzasoleiman 2024, "Investigating the Benefits of Projection Head for Representation
Learning", ICLR 2024, arXiv 2403.11391.

What is new there: why what comes before the head is better than what goes out of it. Training weighs features more and
more unequally from layer to layer. With two linear layers, features i of strength phi_i and views that disturb them by
sigma_i, the spectral loss from a small start ends with::

    w_i = phi_i / (phi_i^2 + sigma_i^2)  behind the head,   sqrt(w_i)  before it   (w_i^(l/L) behind layer l of L)

so that a feature which views destroy, or which is very strong, is nearer to the others before the head. What follows: a
head without weights, ``r_i kappa^-i``, does as much as one of layers.

What a row brings: a picture; its class, where the loss asks for it; and, for the paper's pictures of digits on
photographs, the same picture without its subject, which one view then sees with a probability.

Objective, over the 2B views of a batch behind the head h, cosines s over temperature t, P(i) the views alike to i::

    nt-xent, supcon   rows[i] = -(1 / |P(i)|) sum_{p in P(i)} s_ip / t + log sum_{k != i} exp(s_ik / t)
    spectral          rows[i] = -2 <z_i, z'_i> + (1 / (B - 1)) sum_{j != i} <z_i, z'_j>^2, z = h(f(x)) as it is
    cross-entropy     that of a linear classifier on h(f(x)), one view

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    AdamW, 1e-3                   Adam (views), SGD (classes), by data set    one default; ``--lr`` and the like
    no batch norm in the head     none in the authors' code; an independent   the paper's heads have none, and it
                                  reproduction has it                         makes directions alike again
    two views for supcon          one view of each picture                    every view then has a positive
    weights kappa^-i >= 1.2e-38   float32, 0 in the last dimensions           gradients stay numbers
    b of symrelu >= 0             may become negative                         what the paper says of it
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise.data import Column, Image, Label, class_names
from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.heads import PRE, HeadKind, TappedHead, unit_vectors
from likewise.losses import InfoNCE, RowLosses, spectral
from likewise.methods.base import AugmentSettings, Contrast, ImageMethod, Paper, StepOutput
from likewise.views import Batch, LabelledViews, ReplacedViews, Views

if TYPE_CHECKING:
    from likewise.data import StreamedTable, Table

__all__ = ["Config", "ProjectionHead"]

WITH_CLASSES = ("supcon", "cross-entropy")
OF_ANY_WIDTH = ("linear", "mlp", "mlp3")


@dataclass(frozen=True)
class Config(AugmentSettings):
    """Settings of ``projection-head``."""

    loss: Literal["nt-xent", "supcon", "cross-entropy", "spectral"] = "nt-xent"
    """What is minimised behind the head: nt-xent (SimCLR) and spectral need no classes, supcon and cross-entropy do."""
    head: HeadKind = "mlp"
    """Layers behind the tower in training: none, linear, mlp (two), mlp3 (three), symrelu (two square layers that start
    as the identity, small values cut between them), reweight (no weights: dimension i times kappa^-i)."""
    kappa: float = 1.05
    """Ratio of one weight of the head reweight to the next, >= 1 (paper: 1.05; with classes 1.2 and 1.5)."""
    hidden: int | None = None
    """Width of the heads mlp and mlp3 between their layers, >= 1; that of the features where not given (paper)."""
    head_size: int | None = None
    """Length of what goes out of the heads linear, mlp and mlp3, >= 1; 128 where not given, but no longer than the
    features."""
    temperature: float = 0.5
    """Divisor of the cosines of nt-xent and supcon, > 0 (paper: 0.5)."""
    keep: str = PRE
    """Tap that becomes the model: pre, layer1, layer2, post, as the head has them; all of it stays beside the model."""
    drop: float = 0.0
    """Probability that the first view shows the picture of the column without, in [0, 1] (paper: 0 to 1)."""
    classes: tuple[str, ...] = ()
    """Names of the classes; those of the data where not given."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.kappa) and self.kappa >= 1):
            raise InputError(f"kappa is {self.kappa}; a finite number of 1 or more is accepted, as 1.05.")
        if not 0 <= self.drop <= 1:
            raise InputError(f"drop is {self.drop}; a probability between 0 and 1 is accepted.")
        if self.head != "reweight" and self.kappa != Config.kappa:
            raise InputError(f"kappa is of the head 'reweight', and the head is '{self.head}'; leave it out.")
        for name in ("hidden", "head_size"):
            width = getattr(self, name)
            if width is not None and width < 1:
                raise InputError(f"{name} is {width}; at least 1 is accepted.")
            if width is not None and self.head not in OF_ANY_WIDTH:
                raise InputError(
                    f"{name} is {width}, but a head '{self.head}' keeps the features' length; leave it out."
                )


class ProjectionHead(ImageMethod[Config]):
    """A tower with a head of which every layer is kept; see the module."""

    paper = Paper(
        "Investigating the Benefits of Projection Head for Representation Learning",
        venue="ICLR 2024",
        arxiv="2403.11391",
    )
    columns = (
        Column("image", Image, help="a picture"),
        Column("label", Label, required=False, help="the name of its class (losses supcon and cross-entropy)"),
        Column("without", Image, required=False, help="the same picture without its subject (--drop)"),
    )
    training_defaults = {"batch_size": 512, "lr": 1e-3, "weight_decay": 1e-6, "epochs": 400.0}
    products = {"layers": "likewise.products.layers:Layers"}
    from_data = frozenset({"classes"})

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        dim = encoder.dim
        size = (config.head_size or min(128, dim)) if config.head in OF_ANY_WIDTH else None
        self.head = TappedHead(config.head, dim, hidden=config.hidden, out_features=size, kappa=config.kappa)
        self.head.width(config.keep)
        self.info_nce = InfoNCE(config.temperature)
        self.classifier: nn.Linear | None = None
        if config.loss == "cross-entropy":
            self.classifier = nn.Linear(self.head.out_features, max(2, len(config.classes)))

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """Ask for the columns that loss and views read."""
        image, label, without = cls.columns
        return (
            image,
            *([dataclasses.replace(label, required=True)] if config.loss in WITH_CLASSES else []),
            *([dataclasses.replace(without, required=True)] if config.drop else []),
        )

    @classmethod
    def completed(cls, config: Config, table: Table | StreamedTable) -> Config:
        """Find the names of the classes in the data where the loss needs them."""
        if config.loss not in WITH_CLASSES or config.classes:
            return config
        return dataclasses.replace(config, classes=class_names(table, "label"))

    def views(self) -> Views:
        """Two views of each picture (one for the cross-entropy), and its class."""
        views: Views = self.augmented("first", *(["second"] if self.classifier is None else []))
        if self.config.drop:
            views = ReplacedViews(views, "first", "image", "without", self.config.drop)
        if self.config.loss in WITH_CLASSES:
            views = LabelledViews(views, "label", classes=self.config.classes)
        return views

    def training_step(self, batch: Batch) -> StepOutput:
        """The loss behind the head."""
        if self.classifier is not None:
            logits = self.classifier(self.head(self.encoder(batch["first"])))
            rows = RowLosses.of(F.cross_entropy(logits, batch["label"], reduction="none"))
            return StepOutput({"cross_entropy": rows.mean()})
        embedded: Tensor = self.head(self.encoder(torch.cat([batch["first"], batch["second"]])))  # [2 B, D]
        unit = unit_vectors(embedded)
        if self.config.loss == "spectral":
            rows = spectral(*embedded.chunk(2))
        else:
            labels = batch["label"] if self.config.loss == "supcon" else batch.row_index
            rows = self.info_nce(unit, None, labels=labels.repeat(2))
        first, second = unit.detach().chunk(2)
        name = self.config.loss.replace("-", "_")
        return StepOutput({name: rows.mean()}, contrast=Contrast(first, second, self.config.temperature))

    def after_step(self) -> None:
        """Bring the weights of the head back into their range."""
        self.head.project()

    def embedder(self) -> ImageEncoder:
        """Keep the tower, with as much of the head as ``keep`` says."""
        tower = self.encoder.served()
        return tower if self.config.keep == PRE else tower.with_head(self.head, self.config.keep)

    def kept(self) -> Mapping[str, Any]:
        """Keep the head and the names of the classes."""
        return {"head": self.head.kept(), "classes": list(self.config.classes)}
