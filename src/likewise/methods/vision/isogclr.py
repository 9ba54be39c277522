"""iSogCLR: a small batch that stands for all negatives, and a temperature for each picture; SogCLR without the latter.

Papers: Qiu, Hu, Yuan, Zhou, Zhang, Yang 2023, "Not All Semantics are Created Equal: Contrastive Self-supervised
Learning with Automatic Temperature Individualization", ICML 2023, arXiv 2305.11965; on Yuan, Wu, Qiu, Du, Zhang, Zhou,
Yang 2022, "Provable Stochastic Optimization for Global Contrastive Learning: Small Batch Does Not Harm Performance",
ICML 2022, arXiv 2202.12387 (SogCLR).

What is new there: SogCLR takes the negatives of a picture from the whole data set, though a batch is small: a picture
carries a moving average of its own normaliser from visit to visit. iSogCLR learns a temperature for each picture: one
that has many look-alikes gets a high one, which is lenient with them; a rare one gets a low one.

Objective, with two unit vectors z_i, z_i' of a picture, negatives S_i (the views of all other pictures) and
h_i(z) = z_i.z - z_i.z_i'::

    SogCLR:  F = 1/n sum_i t log( mean_{z in S_i} exp(h_i(z) / t) )
    iSogCLR: F = 1/n sum_i { t_i log( mean_{z in S_i} exp(h_i(z) / t_i) ) + t_i rho }

The second is minimised over the temperatures t_i too, whose gradient is ``rho - KL(p_i || even)`` with the softmax p_i
of the negatives: t_i rises where a few look-alikes have most of the weight, until their divergence is rho.

One step: the loss of :func:`likewise.losses.global_contrast`, whose gradient is meant and whose value is not; the
optimiser's step; then averages and temperatures of the batch's rows, from what the loss has found. ``objective`` in the
log is the estimate of F over the batch.

What a row brings: a picture, and perhaps its class, which training does not read: the table of temperatures shows it.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    the first visit of a row is   official iSogCLR: as if the average were 0  weights would be 1 / gamma too large;
    its average, row by row       (it asks for epoch 0, and counts from 1);   rows meet in other batches each epoch
                                  LibAUC: only if all rows of a batch are new
    the average is the mean of    SogCLR in the repository of iSogCLR: their  the SogCLR repository has the mean too
    that of both views            sum
    averages are logarithms       numbers; with a running maximum for texts   no temperature overflows
    the gradient of several       that of the own rows alone                  exactness: W processes equal one
    processes equals one's
    AdamW, batch norm in the      SGD at 0.8 with momentum, or LARS           one optimiser for all methods
    head
    100 epochs                    400 on CIFAR, 800 on ImageNet               the shared default of pictures here
    ============================  ==========================================  =====================================
Settings are those of the official script for CIFAR. SogCLR has ``--no-individual-temperatures --gamma 0.9``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise import distributed
from likewise.data import Column, Image, Label, class_names
from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.heads import MLPProjector, unit_vectors
from likewise.losses import GlobalTerms, global_contrast
from likewise.memory import GlobalContrastState, RobustTemperature
from likewise.methods.base import AugmentSettings, Contrast, ImageMethod, Paper, StepOutput
from likewise.views import Batch, ImageViews

if TYPE_CHECKING:
    from likewise.data import Stages, Table
    from likewise.encoders import Embedder

__all__ = ["Config", "ISogCLR"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config(AugmentSettings):
    """Settings of ``isogclr``."""

    temperature: float = 0.1
    """Divisor of the cosines, > 0; of every row at first where rows have their own (official: 0.1)."""
    individual_temperatures: bool = True
    """Learn a temperature for each row (iSogCLR); off: one for all, which stays (SogCLR)."""
    gamma: float = 0.8
    """Weight of the batch in a row's average normaliser, in (0, 1]; 1: the batch alone (iSogCLR: 0.8, SogCLR: 0.9)."""
    rho: float = 0.4
    """How far the weights of a row's negatives may be from even, in nats, >= 0, below log(2 batch_size - 2); higher:
    lower temperatures (official: 0.4 on CIFAR, 0.1 to 0.5)."""
    temperature_rate: float = 0.03
    """How far a temperature moves for a gradient of 1, >= 0 (official: 0.03)."""
    gradient_weight: float = 0.5
    """Weight of a step's gradient in the running one of a row's temperature, in (0, 1] (official: 0.5)."""
    min_temperature: float = 0.05
    """Lowest temperature of a row, > 0 (official: 0.05)."""
    max_temperature: float = 1.0
    """Highest temperature of a row (official: 1)."""
    gradient_clip: float = 3.0
    """Largest size of the gradient of a temperature, > 0 (official: 3)."""
    hidden: int | None = None
    """Width of the head between its layers, >= 1; that of the features where not given."""
    head_size: int = 128
    """Length of the vectors that the loss compares, >= 1 (paper: 128)."""


class ISogCLR(ImageMethod[Config]):
    """Embeddings of pictures with global negatives and a temperature for each; see the module."""

    paper = Paper(
        "Not All Semantics are Created Equal: Contrastive Self-supervised Learning with Automatic Temperature "
        "Individualization",
        venue="ICML 2023",
        arxiv="2305.11965",
    )
    columns = (
        Column("image", Image, help="a picture"),
        Column("label", Label, required=False, help="the name of its class, only shown beside its temperature"),
    )
    training_defaults = {"batch_size": 128, "lr": 1e-3, "weight_decay": 1e-4, "epochs": 100.0}
    products = {"temperatures": "likewise.products.temperatures:Temperatures"}

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        if not 0 < config.gamma <= 1:
            raise InputError(f"gamma is {config.gamma}; it is in (0, 1], the weight of the batch (paper: 0.8).")
        self.head = MLPProjector(encoder.dim, config.hidden or encoder.dim, config.head_size)
        self.state = self._state_of(0)
        self._about: dict[str, Any] = {}  # what is known of each row beside its temperature
        self._found: tuple[Tensor, GlobalTerms] | None = None  # of this step, on its way into the state
        self._warned = False

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Make room for what each row remembers."""
        self.state = self._state_of(len(table)).to(next(self.parameters()).device)
        if self.config.individual_temperatures:
            self._about = _about(table)
        return table

    def views(self) -> ImageViews:
        """Two views of each picture."""
        return self.augmented("first", "second")

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over both views, and the loss with what the rows remember."""
        views: Tensor = torch.cat([batch["first"], batch["second"]])
        first, second = unit_vectors(self.head(self.encoder(views))).chunk(2)  # [B, head_size] each
        temperature, log_average = self.state.read(batch.row_index)
        terms = global_contrast(
            first,
            second,
            batch.row_index,
            temperature=temperature,
            log_average=log_average,
            gamma=self.config.gamma,
        )
        self._found = batch.row_index, terms
        self._warn_once(len(batch))
        objective = terms.objective
        if self.config.individual_temperatures:
            objective = objective + self.config.rho * temperature
        mean = temperature.mean()
        metrics: dict[str, Tensor | float] = {"objective": objective.mean()}
        if self.config.individual_temperatures:
            metrics |= {"mean_temperature": mean, "divergence": terms.divergence.mean()}
        contrast = Contrast(first.detach(), second.detach(), mean)
        return StepOutput({"global_contrast": terms.rows.mean()}, metrics, contrast)

    def after_step(self) -> None:
        """Let the rows of the step remember, and move their temperatures."""
        if self._found is not None:
            rows, terms = self._found
            self.state.update(rows, terms.log_average, terms.divergence)
            self._found = None

    def kept(self) -> Mapping[str, Any]:
        """Keep each row's temperature, where the row is, and its class; nothing where all have one temperature."""
        if not self._about:
            return {}
        return {"temperatures": self.state.temperatures, "seen": self.state.rows.seen.clone(), **self._about}

    def _state_of(self, num_rows: int) -> GlobalContrastState:
        config = self.config
        robust = RobustTemperature(
            rho=config.rho,
            rate=config.temperature_rate,
            gradient_weight=config.gradient_weight,
            lowest=config.min_temperature,
            highest=config.max_temperature,
            gradient_clip=config.gradient_clip,
        )
        return GlobalContrastState(
            num_rows, temperature=config.temperature, robust=robust if config.individual_temperatures else None
        )

    def _warn_once(self, size: int) -> None:
        if self._warned:
            return
        self._warned = True  # of the first batch: a shorter one at the end of an epoch is no matter
        negatives = 2 * sum(distributed.row_counts(size)) - 2
        most = self.state.most_divergence(negatives)
        if most is not None and self.config.rho > most:
            logger.warning(
                "rho is %g, and the %d negatives of a view can differ from even weights by %.3g at most: every "
                "temperature falls to the lowest; use a lower --rho or a larger --batch-size",
                self.config.rho,
                negatives,
                most,
            )


def _about(table: Table) -> dict[str, Any]:
    """Return where each row is, the names of the classes, and the number of each row's class (-1: none)."""
    labels = table.values("label") if "label" in table.column_names else [None] * len(table)
    classes = class_names(table, "label", least=0) if "label" in table.column_names else ()
    number = {name: place for place, name in enumerate(classes)}
    return {
        "places": table.names(),
        "classes": list(classes),
        "labels": torch.tensor([-1 if label is None else number[label] for label in labels], dtype=torch.int64),
    }
