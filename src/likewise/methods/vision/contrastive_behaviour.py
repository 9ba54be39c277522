"""Contrast with a vector of every picture: softmax or none, all negatives or the hardest only, any temperature.

Paper: Wang, Liu 2021, "Understanding the Behaviour of Contrastive Loss", CVPR 2021, arXiv 2012.09740.

What is new there: why the temperature matters. The softmax pushes a picture away from the others by shares that are a
Boltzmann distribution over the similarities, so a low temperature presses on the nearest alone: the space becomes even
(uniformity), and pictures of one kind are torn apart (tolerance). A high temperature does the contrary, and without a
softmax, where all are pushed alike, the space is poor. Keeping only the hardest negatives makes the temperature matter
little, and the softmax nearly superfluous.

What a row brings: a picture. A bank holds a unit vector v_i of each picture, which is its positive in the next epoch.

Objective, cosines s over temperature t, with s_ii to the own vector of the bank (or to another view), s_ij to those of
all other pictures, and K_i the ones that are kept: all, or those with s_ij no less than the K-th largest::

    contrastive  rows[i] = -log( exp(s_ii / t) / ( exp(s_ii / t) + sum_{j in K_i} exp(s_ij / t) ) )
    simple       rows[i] = -s_ii + w sum_{j in K_i} s_ij,   w = 1 / |K_i| where not given

One step: tower and head; the K-th largest similarity of each row, held constant; the loss against the bank as it is;
the optimiser's step; then ``v_i <- unit(m v_i + (1 - m) z_i)``.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper (there is no official code)           why
    ============================  ==========================================  =====================================
    w = 1 / |K_i|                 lambda, no value given                      what an infinite temperature leaves
    bank momentum 0.5, random     a memory bank, not described                as in the work the bank is from
    unit vectors at first                                                     (arXiv 1805.01978)
    batch norm without weights    not said                                    without it the hardest negatives hold
    behind the head                                                           small towers in a narrow cone
    the hardest of all pictures   4,095 of the bank, by a quantile            the same
    similarities nearer than      >= the quantile                             what rounding cannot tell apart is
    1e-6 to the K-th are kept                                                 equal
    AdamW, 100 epochs             SGD at 0.03, 200 epochs                     one optimiser for all methods
    ============================  ==========================================  =====================================
The paper's tolerance is the mean cosine within a class, though its formula says less (see
:func:`likewise.geometry.tolerance`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.heads import unit_vectors
from likewise.losses import RowLosses, hard_contrast, hardest_threshold, simple_contrast
from likewise.memory import FeatureBank
from likewise.methods.base import Contrast, Paper, ProjectedMethod, ProjectorSettings, StepOutput
from likewise.views import AugmentationName, Batch, ImageViews

if TYPE_CHECKING:
    from likewise.data import Stages, Table
    from likewise.encoders import Embedder

__all__ = ["Config", "ContrastiveBehaviour"]


@dataclass(frozen=True)
class Config(ProjectorSettings):
    """Settings of ``contrastive-behaviour``."""

    augment: AugmentationName = "cifar"
    loss: Literal["contrastive", "simple"] = "contrastive"
    """contrastive: the softmax; simple: none, all kept negatives push alike."""
    temperature: float = 0.3
    """Divisor of the cosines, > 0 (paper: 0.3 is best of 0.07, 0.3, 0.7 and 1); nothing to the simple loss."""
    keep_top_k: int | None = None
    """Keep only so many of the hardest negatives of each row, >= 1 and below the number of pictures (paper: 4,095)."""
    keep_fraction: float | None = None
    """The same as a share of all pictures, in (0, 1] (paper: 0.0819 on CIFAR, 0.034 on ImageNet-100)."""
    negative_weight: float | None = None
    """Weight of the sum of similarities in the simple loss, >= 0; 1 / kept negatives where not given."""
    positive: Literal["bank", "view"] = "bank"
    """What a view is drawn to: the picture's own vector of the bank (paper), or another view of it."""
    bank_momentum: float = 0.5
    """Weight of the old vector when one of the bank follows, in [0, 1)."""
    last_norm: bool = True
    """Whether batch norm without weights stands behind the head; hard negatives need it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < math.inf:
            raise InputError(f"temperature is {self.temperature}; it must be above 0 and finite (paper: 0.07 to 1).")
        if self.keep_top_k is not None and self.keep_fraction is not None:
            raise InputError(
                f"keep_top_k is {self.keep_top_k} and keep_fraction is {self.keep_fraction}; both say how many "
                "negatives are kept. Give one of them."
            )
        if self.keep_top_k is not None and self.keep_top_k < 1:
            raise InputError(f"keep_top_k is {self.keep_top_k}; at least 1 negative has to be kept.")
        if self.keep_fraction is not None and not 0 < self.keep_fraction <= 1:
            raise InputError(f"keep_fraction is {self.keep_fraction}; a share in (0, 1] is accepted (paper: 0.0819).")
        if self.negative_weight is not None:
            if self.loss != "simple":
                raise InputError(f"negative_weight is {self.negative_weight}, but only the simple loss has one.")
            if not 0 <= self.negative_weight < math.inf:
                raise InputError(f"negative_weight is {self.negative_weight}; 0 or more is accepted.")


class ContrastiveBehaviour(ProjectedMethod[Config]):
    """Embeddings of pictures against a bank of all of them; see the module."""

    paper = Paper("Understanding the Behaviour of Contrastive Loss", venue="CVPR 2021", arxiv="2012.09740")
    training_defaults = {"batch_size": 128, "lr": 1e-3, "weight_decay": 1e-4, "epochs": 100.0}
    products = {
        **ProjectedMethod.products,
        "temperature": "likewise.studies.temperature:TemperatureSweep",
    }

    seed: Tensor

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder, last_norm=config.last_norm)
        self.register_buffer("seed", torch.randint(2**31, ()))  # of the first vectors of the bank, once it has a size
        self.bank = self._bank_of(0)
        self._arriving: tuple[Tensor, Tensor] | None = None  # rows and vectors of this step, on their way into the bank

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Make the bank."""
        if len(table) < 2:
            raise InputError(f"{table.name} has one picture, and there is nothing to tell it from; give more.")
        most = len(table) - 1
        if self.config.keep_top_k is not None and self.config.keep_top_k > most:
            raise InputError(
                f"keep_top_k is {self.config.keep_top_k}, but of {len(table):,} pictures each has {most:,} negatives; "
                "at most as many are accepted. Give fewer, or --keep-fraction."
            )
        self.bank = self._bank_of(len(table)).to(self.seed.device)
        return table

    def views(self) -> ImageViews:
        """One view of each picture; two where a view is drawn to another."""
        return self.augmented("first", *(["second"] if self.config.positive == "view" else []))

    def training_step(self, batch: Batch) -> StepOutput:
        """Each view against the bank as it is, without the picture's own vector among the negatives."""
        names = ("first", "second") if self.config.positive == "view" else ("first",)
        views = torch.cat([batch[name] for name in names])
        embedded = unit_vectors(self.head(self.encoder(views))).chunk(len(names))  # [B, head_size] each
        stored = self.bank.read(batch.row_index)
        positives = embedded[::-1] if len(names) > 1 else (stored,)
        found = [self._rows(query, key, batch.row_index) for query, key in zip(embedded, positives, strict=True)]
        self._arriving = batch.row_index, torch.stack([one.detach() for one in embedded]).mean(0)
        terms: dict[str, Tensor] = {self.config.loss: torch.stack([rows.mean() for rows, _ in found]).mean()}
        metrics = {"hardness": found[0][1].mean()} if self._kept is not None else {}
        contrast = Contrast(embedded[0].detach(), positives[0].detach(), self.config.temperature)
        return StepOutput(terms, metrics, contrast)

    def after_step(self) -> None:
        """Let the bank follow."""
        if self._arriving is not None:
            self.bank.update(*self._arriving)
            self._arriving = None

    @property
    def _kept(self) -> int | None:
        """How many negatives a row keeps; None: all."""
        config, most = self.config, len(self.bank) - 1
        number = config.keep_top_k
        if config.keep_fraction is not None:
            number = max(1, round(config.keep_fraction * len(self.bank)))
        return None if number is None or number >= most else number

    def _rows(self, query: Tensor, key: Tensor, own: Tensor) -> tuple[RowLosses, Tensor]:
        """Return the losses of one view, and the similarity from which on negatives are kept."""
        bank, config = self.bank.vectors, self.config
        threshold, number = None, self._kept
        if number is not None:
            threshold = hardest_threshold(query.detach(), bank, number, own=own)
        if config.loss == "simple":
            rows = simple_contrast(query, key, bank, weight=config.negative_weight, own=own, threshold=threshold)
        else:
            rows = hard_contrast(query, key, bank, temperature=config.temperature, own=own, threshold=threshold)
        return rows, query.new_zeros(0) if threshold is None else threshold

    def _bank_of(self, num_rows: int) -> FeatureBank:
        config = self.config
        return FeatureBank(num_rows, config.head_size, config.bank_momentum, seed=int(self.seed))
