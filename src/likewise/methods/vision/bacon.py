"""BaCon: classes known and new in pictures of which some have a label, whatever the sizes of the classes.

Paper: Bai, Liu, Wang, Chen, Mu, Li, Chen, Feng, Wu, Hu 2023, "Towards Distribution-Agnostic Generalized Category
Discovery", NeurIPS 2023, arXiv 2310.01376.

What is new there: two branches that advise each other. A contrastive branch is clustered every few epochs, which tells
how many pictures each class may have; a pseudo-label branch is regularised and freed of its bias by these numbers, and
tells the contrastive branch which pictures are likely to be of one class.

What a row brings: a picture, and its class where it is known. How many classes there are in all is a setting; the known
ones are those that have a label.

Objective, over both views a, b of B pictures, with cosines o of the pseudo-label branch, unit vectors z of the
contrastive one, estimated counts pi, and w the weight of labels::

    classify:  (1 - w) ( CE(softmax(o_a / t), softmax(o_b / .1))
                         + eta KL(normalised(mean softmax(o / .1) / pi^p) || 1 / C) )
               + w CE(o / .1, y) of labelled pictures
    contrast:  (1 - w) InfoNCE(z; the other view; temperature 1)
               + w / 2 ( SupCon(z of labelled pictures; .07) + soft(z of labelled and kept pictures; .07) )
    soft:      positives by P_i . P_j, 1 for the other view, P the mean over views of softmax(o / .1 - kappa log pi)
    kept:      of the unlabelled pictures that P takes for class c, the surest Binomial(n_c, (min pi / pi_c)^beta)

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    two whole towers from equal   a frozen trunk with two copies of its last  any tower; ``--freeze`` leaves both
    weights                       block                                       as they are and trains heads alone
    one AdamW                     two SGD at 0.1                              no gradient goes between the branches
    halves of every batch         halves in expectation, with replacement     both kinds present, all rows seen
    256 numbers are contrasted    65,536, behind one more layer               alike in role, far cheaper
    KL(r || uniform)              paper: KL(q || pi^p); code: as here         both are 0 at the same place
    an empty cluster counts 1     shifts the numbers of all others            a fault there
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from likewise import distributed
from likewise.data import Column, Image, Label, class_names
from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.evaluation.discovery import class_counts
from likewise.heads import CosineClassifier, MLPProjector, unit_vectors
from likewise.losses import InfoNCE, RowLosses, info_nce, prior_matching, soft_positives
from likewise.memory import clusters_of
from likewise.methods.base import AugmentSettings, Contrast, ImageMethod, Paper, StepOutput
from likewise.sampling import Stratified, class_rates, kept_by_rate
from likewise.views import NO_LABEL, Batch, LabelledViews

if TYPE_CHECKING:
    from collections.abc import Iterator

    from likewise.data import Row, Stages, StreamedTable, Table
    from likewise.encoders import Embedder

__all__ = ["BaCon", "Config"]


@dataclass(frozen=True)
class Config(AugmentSettings):
    """Settings of ``bacon``."""

    num_classes: int | None = None
    """How many classes there are in all, known and new, >= 2; it has to be given."""
    classes: tuple[str, ...] = ()
    """Names of the known classes; those of the data where not given."""
    label_weight: float = 0.35
    """Weight of what is learned from labels, in (0, 1); the rest is learned without (paper: 0.35)."""
    temperature: float = 0.07
    """Divisor of the products where classes are contrasted, > 0 (paper: 0.07)."""
    view_temperature: float = 1.0
    """The same where the two views of a picture are, > 0 (paper: 1)."""
    class_temperature: float = 0.1
    """Divisor of the cosines of the classifier, > 0 (paper: 0.1)."""
    teacher_temperature: float = 0.04
    """The same for the view that teaches the other, > 0, reached from 0.07 in 30 epochs (paper: 0.04)."""
    prior_weight: float = 1.0
    """Weight of the regulariser by estimated counts, >= 0 (paper: 1)."""
    prior_power: float = 1.1
    """Power of the counts there, >= 0 (paper: 1.1)."""
    debias: float = 0.5
    """How much of the logarithm of the counts is taken off the classifier's logits, >= 0 (paper: 0.5)."""
    labelled_rate_power: float = 0.0
    """Power of the rates of classes that have a label in the batch, >= 0; 0 keeps all (run scripts: 0)."""
    rate_power: float = 0.5
    """Power of the rates of all other classes, >= 0 (run scripts: 0.5)."""
    warmup_epochs: float = 1.0
    """Epochs without the soft part, >= 0 (paper: 1)."""
    estimate_every: int = 10
    """Epochs between two estimates of the counts, >= 1 (paper: 10)."""
    hidden: int = 2048
    """Width of the contrastive head between its layers, >= 1 (paper: 2,048)."""
    head_size: int = 256
    """Length of the vectors that are contrasted, >= 1 (paper: 256 and then 65,536)."""

    def __post_init__(self) -> None:
        for name, least in (("num_classes", 2), ("estimate_every", 1), ("hidden", 1), ("head_size", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; at least {least} is accepted.")
        for name in ("temperature", "view_temperature", "class_temperature", "teacher_temperature"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0.")
        for name in ("prior_weight", "prior_power", "debias", "labelled_rate_power", "rate_power", "warmup_epochs"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; 0 or more is accepted.")
        if not 0 < self.label_weight < 1:
            raise InputError(f"label_weight is {self.label_weight}; a share between 0 and 1 is accepted, as 0.35.")


FIRST_TEACHER_TEMPERATURE = 0.07
TEACHER_EPOCHS = 30
"""Epochs in which the teacher's temperature goes from its first to its last value."""


class BaCon(ImageMethod[Config]):
    """A contrastive and a pseudo-label branch for pictures of known and new classes; see the module."""

    paper = Paper(
        "Towards Distribution-Agnostic Generalized Category Discovery", venue="NeurIPS 2023", arxiv="2310.01376"
    )
    columns = (
        Column("image", Image, help="a picture"),
        Column("label", Label, required=False, help="its class, where it is known"),
    )
    min_rows = 4
    training_defaults = {"batch_size": 128, "lr": 1e-3, "weight_decay": 5e-5, "epochs": 200.0}
    products = {"discover": "likewise.products.discover:Discover"}
    from_data = frozenset({"classes"})

    counts: Tensor
    rows_seen: Tensor
    draws: Tensor

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        number = config.num_classes or max(2, len(config.classes))
        self.class_encoder = copy.deepcopy(encoder)
        self.classifier = CosineClassifier(encoder.dim, number)
        self.head = MLPProjector(encoder.dim, config.hidden, config.head_size, layers=3, batch_norm=False)
        self.view_loss = InfoNCE(config.view_temperature)
        self.register_buffer("counts", torch.ones(number))  # estimated rows of each class
        self.register_buffer("rows_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("draws", torch.stack([torch.randint(2**31, ()), torch.tensor(0)]))  # seed, how many
        self._table: Table | None = None
        self._labels = np.zeros(0, dtype=np.int64)
        self._batch_rows = 0

    @classmethod
    def completed(cls, config: Config, table: Table | StreamedTable) -> Config:
        """Find the names of the known classes in the data."""
        if config.classes:
            return config
        if "label" not in table.column_names:
            raise InputError(f"{table.name}: no row has a label; some rows of each known class need one.")
        return dataclasses.replace(config, classes=class_names(table, "label", least=1))

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Say of each row whether it has a label, and estimate the counts for the first time."""
        names, number = self.config.classes, self.config.num_classes
        if number is None:
            raise InputError("how many classes there are in all is not known; say it with --num-classes.")
        if number < len(names):
            raise InputError(f"num_classes is {number}, and {len(names)} classes have labels; give at least as many.")
        if len(table) < number:
            raise InputError(f"{table.name}: there are {len(table)} rows for {number} classes; give more.")
        labels = table.values("label")
        numbers = {name: place for place, name in enumerate(names)}
        for i, label in enumerate(labels):
            if label is not None and label not in numbers:
                raise InputError(f"{table.where(i)}: the label '{label}' is none of the classes; name it, or leave it.")
        missing = [name for name in names if name not in labels]
        if missing:
            raise InputError(f"{table.name}: no row has the label '{missing[0]}'; every known class needs one.")
        if None not in labels:
            raise InputError(f"{table.name}: every row has a label, so nothing can be discovered; use supcon instead.")

        def made() -> Iterator[Row]:
            for row in table:
                yield {**row, "known": "unlabelled" if row["label"] is None else "labelled"}

        columns = (*self.columns, Column("known", Label))
        prepared = stages.table("known", columns, made, depends_on={"data": table.fingerprint})
        self._table = prepared
        self._labels = np.array([NO_LABEL if label is None else numbers[label] for label in labels])
        self._estimate()
        return prepared

    def grouping(self) -> Stratified:
        """Half of every batch has labels."""
        return Stratified("known", least=2)

    def views(self) -> LabelledViews:
        """Two views of each picture, and its class where it is known."""
        return LabelledViews(self.augmented("first", "second"), "label", classes=self.config.classes)

    def training_step(self, batch: Batch) -> StepOutput:
        """The terms of both branches; none of them has a gradient into the other branch."""
        config, weight = self.config, self.config.label_weight
        self._batch_rows = len(batch)
        views = torch.cat([batch["first"], batch["second"]])
        logits = self.classifier(self.class_encoder(views))  # [2 B, C], cosines
        embedded = unit_vectors(self.head(self.encoder(views)))  # [2 B, D]
        label, labelled = batch["label"].repeat(2), batch["label"].repeat(2) >= 0
        first, second = embedded.chunk(2)

        told = RowLosses(
            F.cross_entropy(logits / config.class_temperature, label.clamp_min(0), reduction="none"), labelled
        )
        prior = prior_matching(logits, self.counts, temperature=config.class_temperature, power=config.prior_power)
        terms = {
            "distillation": (1 - weight) * self._distilled(logits).mean(),
            "prior": (1 - weight) * config.prior_weight * prior,
            "labels": weight * told.mean_or_zero(),
            "views": (1 - weight) * self.view_loss(embedded, None, labels=batch.row_index.repeat(2)).mean(),
        }
        soft = self.epoch >= config.warmup_epochs
        share = weight / 2 if soft else weight
        if distributed.any_process(bool(labelled.any())):
            classes = info_nce(embedded[labelled], None, labels=label[labelled], temperature=config.temperature)
            terms["classes"] = share * classes.mean_or_zero()
        metrics = {"largest_count": self.counts.max(), "smallest_count": self.counts.min()}
        if soft:
            shares = self._shares(logits)
            chosen = self._chosen(shares, batch["label"])
            if distributed.any_process(bool(chosen.any())):
                rows = soft_positives(first[chosen], second[chosen], shares[chosen], temperature=config.temperature)
                terms["soft"] = share * rows.mean_or_zero()
        return StepOutput(terms, metrics, Contrast(first.detach(), second.detach(), config.temperature))

    def _distilled(self, logits: Tensor) -> RowLosses:
        """Cross-entropy of each view's prediction at what the other view predicts more sharply."""
        through = min(self.epoch / TEACHER_EPOCHS, 1.0)
        last = self.config.teacher_temperature
        temperature = FIRST_TEACHER_TEMPERATURE + (last - FIRST_TEACHER_TEMPERATURE) * through
        first, second = logits.chunk(2)
        others = torch.cat([second, first]).detach()
        values = F.cross_entropy(
            logits / self.config.class_temperature, (others / temperature).softmax(dim=1), reduction="none"
        )
        return RowLosses.of(values)

    def _shares(self, logits: Tensor) -> Tensor:
        """Share of each class in each row ``[B, C]``: the mean over both views, freed of the bias of counts."""
        offset = self.config.debias * (self.counts / self.counts.sum()).log()
        both = (logits.detach() / self.config.class_temperature - offset).softmax(dim=1)
        return torch.stack(both.chunk(2)).mean(dim=0)

    def _chosen(self, shares: Tensor, label: Tensor) -> Tensor:
        """Tell which rows of this process take part: labelled ones, and those that the rates of their classes keep."""
        sizes = distributed.row_counts(len(shares))
        gathered = distributed.gather_rows(shares, with_grad=False, counts=sizes).cpu().double().numpy()
        labels = distributed.gather_rows(label, with_grad=False, counts=sizes).cpu().numpy()
        counts = self.counts.cpu().double().numpy()
        rates = class_rates(counts, self.config.rate_power)
        present = np.unique(labels[labels >= 0])
        rates[present] = class_rates(counts, self.config.labelled_rate_power)[present]
        chosen, free = labels >= 0, labels < 0
        random = np.random.default_rng(self.draws.tolist())
        chosen[free] = kept_by_rate(gathered[free].argmax(axis=1), gathered[free].max(axis=1), rates, random)
        own = slice(start := sum(sizes[: distributed.rank()]), start + len(shares))
        return torch.from_numpy(chosen[own]).to(shares.device)

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return int(self.rows_seen) / max(1, len(self._labels))

    def after_step(self) -> None:
        """Count, and estimate the sizes of classes anew where it is time."""
        before = self.epoch
        self.rows_seen += sum(distributed.row_counts(self._batch_rows))
        self.draws[1] += 1
        every = self.config.estimate_every
        if self._table is not None and int(self.epoch / every) > int(before / every):
            self._estimate()

    def _estimate(self) -> None:
        """Cluster the whole table and count; the main process does, all take its numbers."""
        found: list[float] = []
        with distributed.others_wait():
            if distributed.rank() == 0 and self._table is not None:
                clusters = clusters_of(self._vectors(self._table).numpy(), len(self.counts))
                found = class_counts(clusters, self._labels, len(self.counts), len(self.config.classes)).tolist()
        self.counts.copy_(torch.tensor(distributed.gather_objects(found)[0]))

    def _vectors(self, table: Table) -> Tensor:
        return self.encoder.encode(table.values("image"), precision="fp32")

    def kept(self) -> Mapping[str, Any]:
        """Keep the known classes, the mean vector of each, and the estimated counts."""
        if self._table is None:
            return {}
        vectors = self._vectors(self._table)
        means = [vectors[torch.from_numpy(self._labels == one)].mean(dim=0) for one in range(len(self.config.classes))]
        return {"classes": list(self.config.classes), "means": torch.stack(means), "counts": self.counts.cpu()}
