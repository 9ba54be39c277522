"""Hydra: any two classes are alike, in the dimensions that a gate opens for the pair.

Paper: Wu et al. 2024, "Rethinking Positive Pairs in Contrastive Learning", arXiv 2410.18200 (its second version calls
the method SimLAP).

What is new there: positives need not be alike as they are. For two classes a small network makes a gate, a number in
(0, 1) for each dimension; in the dimensions that it leaves open, pictures of the two are pulled together and told from
all others. Gate and tower are trained together, and the gates say afterwards what classes share.

What a row brings: a picture and the name of its class.

Objective, with z = projector(tower(x)), not normalised, of two views, classes y, partner classes y' and gates
g_i = g(y_i, y'_i)::

    l_ij = cos(g_i * q_i, g_i * k_j) / t
    L(q, k) = mean over all pairs with y_j = y'_i of log( 1 + sum_{m: y_m not y_i or y'_i} exp(l_im) / exp(l_ij) )
    simlap: (L(z, z') + L(z', z)) / 2
    moco:   (instance + beta * that) / (1 + beta), q = predictor(z), keys from a momentum tower, instance the
            cross-entropy of MoCo v3 on ungated unit vectors

Partners: arbitrary, those of the batch in another order; identical, the own class; distinct, any other class.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    pairs counted over processes  over the rows of each process               several processes train what one does
    AdamW                         LARS (ImageNet), Adam (CIFAR-10)            batches here are small
    cosines after the gate        newest code: products of vectors that are   the paper; ``--gate-norm none`` is
                                  normalised before the gate                  that code's
    two views                     one crop, met with itself, in one script    the paper
    constant momentum             rises to 1 by a cosine                      runs are short
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from likewise.data import Column, Image, Label, class_names
from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.heads import GateForm, MLPProjector, PairGate, unit_vectors
from likewise.losses import GateNorm, RowLosses, info_nce, own_vs_negatives
from likewise.memory import MomentumTower
from likewise.methods.base import AugmentSettings, Contrast, ImageMethod, Paper, StepOutput
from likewise.views import Batch, LabelledViews

if TYPE_CHECKING:
    from likewise.data import StreamedTable, Table

__all__ = ["Config", "Hydra"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config(AugmentSettings):
    """Settings of ``hydra``."""

    objective: Literal["simlap", "moco"] = "simlap"
    """simlap: both views through one tower; moco: keys from a momentum tower, and pictures told apart as well."""
    pairs: Literal["arbitrary", "identical", "distinct"] = "arbitrary"
    """Partner class of a row: that of another row of the batch, its own, or any other class (which the batch may not
    hold)."""
    gate: GateForm = "fused"
    """How a gate is made of two classes: fused (from the mean of their embeddings), product (of a gate each), open (no
    gate: the classes have to be alike in all dimensions)."""
    gate_norm: GateNorm = "cosine"
    """Compare gated vectors by their cosine (paper), or none: by products of vectors normalised before the gate."""
    temperature: float = 0.1
    """Divisor of the cosines, > 0 (paper: 0.1; with moco 1 or 0.2)."""
    hidden: int = 2048
    """Width of projector and predictor between their layers, >= 1 (paper: 2,048)."""
    head_size: int = 256
    """Length of a gate and of the vectors it bends, >= 1 (paper: 256)."""
    gate_embedding: int = 512
    """Length of the embedding of a class, >= 1 (paper: 512)."""
    gate_hidden: int = 1024
    """Width of the gate's network, >= 1 (paper: 1,024)."""
    momentum: float = 0.99
    """With moco: weight of the old value when the momentum tower follows, in [0, 1) (paper: 0.99)."""
    beta: float = 1.0
    """With moco: weight of the pairs beside that of pictures told apart, >= 0 (paper: 1)."""
    classes: tuple[str, ...] = ()
    """Names of the classes; those of the data where not given."""

    def __post_init__(self) -> None:
        for name in ("hidden", "head_size", "gate_embedding", "gate_hidden"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; at least 1 is accepted.")
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}; it must be above 0.")
        if not self.beta >= 0:
            raise InputError(f"beta is {self.beta}; 0 or more is accepted.")
        for name in ("momentum", "beta"):
            if self.objective != "moco" and getattr(self, name) != getattr(Config, name):
                raise InputError(f"{name} is of the objective moco; say --objective moco, or leave it out.")


class Hydra(ImageMethod[Config]):
    """A tower with a gate for each pair of classes; see the module."""

    paper = Paper("Rethinking Positive Pairs in Contrastive Learning", venue="2024", arxiv="2410.18200")
    columns = (
        Column("image", Image, help="a picture"),
        Column("label", Label, help="the name of its class"),
    )
    training_defaults = {"batch_size": 256, "lr": 1e-3, "weight_decay": 1e-4, "epochs": 100.0}
    products = {"relations": "likewise.products.relations:Relations"}
    from_data = frozenset({"classes"})

    step: Tensor
    seed: Tensor

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        size = config.head_size
        self.projector = nn.Sequential(MLPProjector(encoder.dim, config.hidden, size, layers=3), nn.LayerNorm(size))
        self.gate = PairGate(
            max(2, len(config.classes)),
            size,
            form=config.gate,
            embedding_size=config.gate_embedding,
            hidden=config.gate_hidden,
        )
        self.predictor: MLPProjector | None = None
        self.momentum_tower: MomentumTower | None = None
        if config.objective == "moco":
            self.predictor = MLPProjector(size, config.hidden, size)
            self.momentum_tower = MomentumTower(self._projected(), config.momentum, always_eval=False)
        # Partners are drawn from a generator of their own, which is saved: a number for the run and one for the step.
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._warned = False

    @classmethod
    def completed(cls, config: Config, table: Table | StreamedTable) -> Config:
        """Find the names of the classes in the data where they were not given."""
        if config.classes:
            return config
        return dataclasses.replace(config, classes=class_names(table, "label"))

    def views(self) -> LabelledViews:
        """Two views of each picture, and its class."""
        return LabelledViews(self.augmented("first", "second"), "label", classes=self.config.classes)

    def training_step(self, batch: Batch) -> StepOutput:
        """Both views look among those of the other view, each row for its partner class."""
        labels: Tensor = batch["label"]
        partners = self._partners(labels)
        views = torch.cat([batch["first"], batch["second"]])
        query: Tensor = self._projected()(views)  # [2 B, D]
        key = query
        if self.predictor is not None and self.momentum_tower is not None:
            key = self.momentum_tower(views)
            query = self.predictor(query)
        gate = self.gate(labels, partners)  # [B, D]
        queries, keys = query.chunk(2), key.chunk(2)
        directions = [(queries[0], keys[1]), (queries[1], keys[0])]
        told = [
            own_vs_negatives(
                *both, gate, labels, partners, temperature=self.config.temperature, gate_norm=self.config.gate_norm,
                key_grad=self.predictor is None,
            )
            for both in directions
        ]  # fmt: skip
        terms = {"pairs": torch.stack([self._mean(rows) for rows in told]).mean()}
        if self.predictor is not None:
            apart = [
                info_nce(unit_vectors(one), unit_vectors(other), temperature=self.config.temperature).mean()
                for one, other in directions
            ]
            share = self.config.beta / (1 + self.config.beta)
            terms = {"pairs": terms["pairs"] * share, "instance": torch.stack(apart).mean() * (1 - share)}
        first, second = (unit_vectors(one.detach()) for one in queries)
        metrics = {"open_share": (gate.detach() > 0.5).float().mean()}
        return StepOutput(terms, metrics, Contrast(first, second, self.config.temperature))

    def after_step(self) -> None:
        """Go on to the next draw of partners, and let the momentum tower follow."""
        self.step += 1
        if self.momentum_tower is not None:
            self.momentum_tower.follow(self._projected())

    def kept(self) -> Mapping[str, Any]:
        """Keep the gate and the names of the classes."""
        return {"gate": self.gate.kept(), "classes": list(self.config.classes)}

    def _projected(self) -> nn.Sequential:
        return nn.Sequential(self.encoder, self.projector)

    def _partners(self, labels: Tensor) -> Tensor:
        """Draw the partner class of each row."""
        if self.config.pairs == "identical":
            return labels
        random = torch.Generator().manual_seed((int(self.seed) << 32) + int(self.step))
        if self.config.pairs == "arbitrary":
            return labels[torch.randperm(len(labels), generator=random).to(labels.device)]
        number = self.gate.num_classes
        return (labels + torch.randint(1, number, labels.shape, generator=random).to(labels.device)) % number

    def _mean(self, rows: RowLosses) -> Tensor:
        """Average the rows; a batch in which no row has a partner says nothing."""
        if not self._warned and not bool(rows.counted.any()):
            self._warned = True
            logger.warning(
                "no row of a batch has a picture of its partner class in it, or all are of one class, so that the "
                "batch trains nothing; use larger batches, or --pairs arbitrary"
            )
        return rows.mean_or_zero()
