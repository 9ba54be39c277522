"""BECLR: a slow tower as teacher, and neighbours from a clustered memory as further positives, for few-shot tasks.

Paper: Poulakakis-Daktylidis, Jamali-Rad 2024, "BECLR: Batch Enhanced Contrastive Few-Shot Learning", ICLR 2024, arXiv
2402.02444.

What is new there: two things. In training, each picture has more positives than its other view: the memory of earlier
embeddings is kept in clusters of equal size (DyCE), and the nearest of a picture's own cluster are taken for pictures
of its kind. And when few labelled examples are all there is, their means are moved by optimal transport to where the
pictures lie that are to be told (OpTA); that needs no training, and is ``likewise evaluate MODEL --task few_shot
--align`` for any model.

What a row brings: a picture.

Objective, with unit vectors, over both views a, b of B pictures: p of the student's predictor, s of its projector, t of
the teacher's projector, N(t) the k rows of the memory that are nearest to t in its cluster; and i' the other view of
the picture of i::

    loss      = alignment + w uniformity
    alignment = -mean_i ( p_i . t_i' + sum over n in N(t_i') of p_i . n ) / (k + 1)
    uniformity = log mean exp(s_i . y / tau),   y: s of the other pictures, and what the memory gave for these
                                                   and not for the picture of i

Until ``--memory-start``, and until the memory is full, there are no neighbours: k = 0.

One step: student on views with hidden blocks; the teacher follows, weights as they are before this step's update; the
teacher on whole views, with batch norm by these; neighbours in the memory of earlier steps; the optimiser's step; then
the embeddings enter the memory, and at the end of every ``--cluster-every`` epochs it is clustered anew.

``--positives code`` does what the official code does. There p, s and t have a memory each, and the B rows of each view
become B (k + 1) by their own neighbours, before the loss without neighbours is taken of all. The neighbours of p are
constants, as those of t: the rows that were added to the positives have no gradient, they divide that of the others by
k + 1. What is left of them is the uniformity, which pushes a picture from its own neighbours too. ``anchored`` needs
the teacher's memory alone: positives are its rows, and so is what others are pushed from.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    ``--positives anchored``      as told above                               neighbours that do what they are for
    shares at the least distance  at the largest: distances are given to a    a fault there; clusters are of no kind
                                  function that takes similarities
    epsilon 0.05, logarithms      1e-5, raised by 0.1 until no number is      what is meant
                                  infinite
    neighbours are looked for     after the batch has entered the memory      with the right sign a row would be its
    before the batch enters                                                   own nearest neighbour
    any number of rows enters;    a lap of whole batches, the last one cut;   uneven batches fit, and the memory is
    the memory goes round         40 P rows and up to a batch more            exactly the last rows
    the right rows of a cluster   their places in the cluster are taken for   a fault there: neighbours are any rows
                                  places in the memory
    no weights in the batch norm  weights                                     ``last_norm`` of other heads
    behind the projector
    batch norm of all processes   of each process                             several processes train what one trains
    momentum rises in epochs      in steps of the run                         a run may be made longer
    RandAugment at full strength  a strength drawn around it, and cut off at  simpler; ``solarize add``, one of its
                                  it                                          15 changes, is left out
    AdamW, rate 1e-3              SGD, rate 0.3 for 256 pictures              as all methods here
    negatives student or mixed    also of the teacher alone, or of the        the first has no gradient; the second is
                                  memory where the cosine is at most 0.8      off there, and counts those left out
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from likewise import distributed
from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.heads import MLPProjector, unit_vectors
from likewise.losses import RowLosses, cosine_alignment, cosine_uniformity
from likewise.memory import ClusteredQueue, MomentumTower
from likewise.methods.base import AugmentSettings, Contrast, ImageMethod, Paper, StepOutput
from likewise.views import AugmentationName, Batch, BlockMaskedViews, Views

if TYPE_CHECKING:
    from likewise.data import Stages, Table
    from likewise.encoders import Embedder

__all__ = ["BECLR", "Config"]

logger = logging.getLogger(__name__)

VIEWS = ("first", "second")
PATCHES = 14
"""Cells of a mask along a side, where their size is not given (paper: 16 pixels of 224)."""


@dataclass(frozen=True)
class Config(AugmentSettings):
    """Settings of ``beclr``."""

    augment: AugmentationName = "beclr"
    positives: Literal["anchored", "code"] = "anchored"
    """What neighbours are for: anchored (a row is drawn to those of its other view) or code (as the official code has
    it: they have no gradient, and a row is pushed from its own)."""
    neighbours: int = 5
    """Neighbours of a view, ``k``, >= 0 and no more than the memory holds; 0: none (paper: 5, 3 for a large tower, 10
    for many pictures)."""
    prototypes: int = 200
    """Clusters of the memory, >= 1; several for each kind that you expect (paper: 200 for 64 classes, 500 for 351)."""
    memory_scale: int = 40
    """Rows of the memory for each cluster, >= 1 (paper: 40). A picture brings two rows an epoch: stay well below twice
    the number of your pictures, else their own older views are neighbours."""
    memory_start: float = 60.0
    """Epochs before the first neighbours, >= 0 (paper: 60 of 400, 20 of 200)."""
    cluster_every: float = 60.0
    """Epochs between two clusterings by k-means, > 0; in between, clusters follow (paper: 60)."""
    prototype_momentum: float = 0.0
    """Weight of the old prototype when it becomes the mean of its rows, in [0, 1) (paper: 0)."""
    epsilon: float = 0.05
    """Weight of the entropy when rows are shared out among clusters, > 0; higher: shares less by distance."""
    temperature: float = 2.0
    """Divisor of the cosines of what is pushed apart, > 0 (paper: 2)."""
    negatives: Literal["student", "mixed"] = "student"
    """Whose embeddings are pushed apart: those of the student, or its first view and the teacher's second."""
    negative_weight: float = 0.1
    """Weight of pushing apart, >= 0 (paper: 0.1)."""
    momentum: float = 0.995
    """Weight of the old value when the teacher follows, in [0, 1), at first (paper: 0.995)."""
    momentum_epochs: float = 400.0
    """Epochs in which that rises to 1, by half a cosine, >= 0; the teacher stays as it is after that. Give your number
    of epochs (paper: all, 400); 0: it does not rise."""
    mask_ratio: float = 0.15
    """Mean share of a view that is hidden from the student, in [0, 1) (paper: 0.15, 0.3 for many pictures)."""
    mask_spread: float = 0.1
    """How far the share of one view may be from that, from 0 to mask_ratio (paper: 0.1)."""
    mask_patch: int | None = None
    """Side of the squares that hidden blocks are made of, in pixels, >= 1; a fourteenth of the picture where not given
    (paper: 16 of 224)."""
    hidden: int = 512
    """Width of the projector between its layers, >= 1 (paper: 512)."""
    head_size: int = 512
    """Length of an embedding, >= 1 (paper: 512)."""
    predictor_hidden: int | None = None
    """Width of the predictor between its layers, >= 1; a quarter of head_size where not given (paper)."""

    def __post_init__(self) -> None:
        for name, least in (
            ("neighbours", 0), ("prototypes", 1), ("memory_scale", 1), ("memory_start", 0), ("negative_weight", 0),
            ("momentum_epochs", 0), ("mask_patch", 1), ("hidden", 1), ("head_size", 1), ("predictor_hidden", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise InputError(f"{name} is {value}; at least {least} is accepted.")
        for name in ("cluster_every", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0.")
        if self.neighbours > self.memory_rows:
            raise InputError(
                f"neighbours is {self.neighbours}, but the memory holds {self.memory_rows} rows ({self.prototypes} "
                f"prototypes x {self.memory_scale}); use at most as many, or a higher --memory-scale."
            )

    @property
    def memory_rows(self) -> int:
        """Rows of a memory."""
        return self.memory_scale * self.prototypes


class BECLR(ImageMethod[Config]):
    """Embeddings of pictures for tasks with few examples; see the module."""

    paper = Paper("BECLR: Batch Enhanced Contrastive Few-Shot Learning", venue="ICLR 2024", arxiv="2402.02444")
    training_defaults = {"batch_size": 256, "lr": 1e-3, "weight_decay": 1e-4, "epochs": 400.0, "schedule": "cosine"}

    rows_seen: Tensor

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        size = config.head_size
        self.head = MLPProjector(encoder.dim, config.hidden, size, layers=3, last_norm=True)
        self.predictor = MLPProjector(size, config.predictor_hidden or max(1, size // 4), size)
        self.teacher = MomentumTower(self._student(), config.momentum, always_eval=False)
        memory_of = ["teacher"] if config.positives == "anchored" else ["teacher", "prediction", "student"]
        self.memories = nn.ModuleDict({name: self._memory() for name in memory_of if config.neighbours})
        self.register_buffer("rows_seen", torch.zeros((), dtype=torch.int64))
        self._table_rows = 0
        self._arriving: dict[str, Tensor] = {}  # of this step, on their way into the memories
        self._pictures = 0  # of this step, in this process

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Count the rows of an epoch."""
        self._table_rows = len(table)
        if self.config.neighbours and self.config.memory_rows >= 2 * len(table):
            logger.warning(
                "the memory holds %d rows, and an epoch brings %d: a picture's own older views are among its "
                "neighbours; use fewer --prototypes or a lower --memory-scale",
                self.config.memory_rows,
                2 * len(table),
            )
        return table

    def views(self) -> Views:
        """Two views of each picture for the teacher, and the same with hidden blocks for the student."""
        views = self.augmented(*VIEWS)
        if not self.config.mask_ratio:
            return views
        size, config = self.encoder.size, self.config
        patch = config.mask_patch or max(1, round(size / PATCHES))
        if patch > size:
            raise InputError(
                f"mask_patch is {patch}, but pictures are {size} pixels wide; give at most as many, or --mask-ratio 0."
            )
        fill = [round(value) for value in self.encoder.mean.flatten().tolist()]
        return BlockMaskedViews(views, VIEWS, fill, patch, config.mask_ratio, config.mask_spread)

    def training_step(self, batch: Batch) -> StepOutput:
        """Student and teacher on both views, and the loss with the neighbours of each view once there are any."""
        config = self.config
        seen = "_masked" if config.mask_ratio else ""
        student = self.head(self.encoder(torch.cat([batch[f"{name}{seen}"] for name in VIEWS])))  # [2 B, D]
        prediction = self.predictor(student)
        self.teacher.follow(self._student(), self._momentum())
        teacher = self.teacher(torch.cat([batch[name] for name in VIEWS]))
        made = {"teacher": teacher, "prediction": prediction, "student": student}
        self._arriving = {name: _by_picture(made[name].detach()) for name in self.memories}
        self._pictures = len(batch)

        number = torch.arange(len(batch), device=student.device) + distributed.row_offset(len(batch))
        memories = [self._of(name) for name in self.memories]
        enlarged = bool(memories) and self.epoch >= config.memory_start and all(one.ready for one in memories)
        metrics: dict[str, Tensor | float] = {}
        if not enlarged:
            alignment, uniformity = self._terms(made, number)
            if memories:
                metrics["memory_filled"] = len(memories[0]) / config.memory_rows
        elif config.positives == "anchored":
            cosines, places = self._of("teacher").nearest(_other_view(teacher), config.neighbours)  # [2 B, k]
            alignment, uniformity = self._terms(made, number, places)
            metrics["neighbour_cosine"] = cosines.mean()
        else:
            own = distributed.sum_over_processes(torch.tensor(len(batch), device=number.device))
            slots = own + number[:, None] * config.neighbours + torch.arange(config.neighbours, device=number.device)
            found = {name: self._enlarged(name, rows) for name, rows in made.items()}
            alignment, uniformity = self._terms(found, torch.cat([number, slots.flatten()]))
        terms = {"alignment": alignment.mean(), "uniformity": config.negative_weight * uniformity}
        first, second = unit_vectors(prediction.detach()).chunk(2)[0], unit_vectors(teacher).chunk(2)[1]
        return StepOutput(terms, metrics, Contrast(first, second, config.temperature))

    def _terms(
        self, rows: dict[str, Tensor], picture: Tensor, places: Tensor | None = None
    ) -> tuple[RowLosses, Tensor]:
        """Both terms of the loss.

        Args:
            rows: Embeddings of student, prediction and teacher, ``[2 N, D]``; those of the first view first.
            picture: Which picture a row of a view is of, ``[N]``.
            places: Where in the teacher's memory the neighbours of each row's other view are, ``[2 N, k]``.
        """
        student, prediction, teacher = (unit_vectors(rows[name]) for name in ("student", "prediction", "teacher"))
        targets = _other_view(teacher)[:, None]
        pushed = (
            student if self.config.negatives == "student" else torch.cat([student.chunk(2)[0], teacher.chunk(2)[1]])
        )
        given, own = None, None
        if places is not None:
            memory = self._of("teacher").rows
            targets = torch.cat([targets, unit_vectors(memory[places])], dim=1)  # [2 N, 1 + k, D]
            of_all = distributed.gather_rows(places, with_grad=False).unique()
            given = unit_vectors(memory[of_all])
            of_picture = torch.cat(places.chunk(2), dim=1).repeat(2, 1)  # [2 N, 2 k], those of both views
            own = torch.searchsorted(of_all, of_picture)
        uniformity = cosine_uniformity(
            pushed, picture.repeat(2), temperature=self.config.temperature, constants=given, own=own
        )
        return cosine_alignment(prediction, targets), uniformity

    def _enlarged(self, name: str, rows: Tensor) -> Tensor:
        """Put the neighbours of each view's rows behind these: ``[2 B, D]`` to ``[2 B (k + 1), D]``."""
        memory = self._of(name)
        places = memory.nearest(rows.detach(), self.config.neighbours)[1]
        return torch.cat(
            [
                part
                for own, found in zip(rows.chunk(2), places.chunk(2), strict=True)
                for part in (own, memory.rows[found.flatten()].to(own.dtype))
            ]
        )

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return int(self.rows_seen) / max(1, self._table_rows)

    def after_step(self) -> None:
        """Let the embeddings into the memories, count, and cluster anew where it is time."""
        before = self.epoch
        self.rows_seen += sum(distributed.row_counts(self._pictures))
        for name, rows in self._arriving.items():
            self._of(name).push(rows)
        self._arriving, self._pictures = {}, 0
        every = self.config.cluster_every
        if int(self.epoch / every) > int(before / every):
            for name in self.memories:
                if self._of(name).ready:
                    self._of(name).cluster()

    def _momentum(self) -> float:
        """That of the teacher in this step: half a cosine from the first value to 1."""
        epochs, first = self.config.momentum_epochs, self.config.momentum
        through = min(1.0, self.epoch / epochs) if epochs else 0.0
        return 1 - (1 - first) * (1 + math.cos(math.pi * through)) / 2

    def _student(self) -> nn.Sequential:
        return nn.Sequential(self.encoder, self.head)

    def _memory(self) -> ClusteredQueue:
        config = self.config
        return ClusteredQueue(
            config.memory_rows,
            config.head_size,
            config.prototypes,
            epsilon=config.epsilon,
            momentum=config.prototype_momentum,
        )

    def _of(self, name: str) -> ClusteredQueue:
        return cast("ClusteredQueue", self.memories[name])


def _other_view(rows: Tensor) -> Tensor:
    """Exchange the rows of the first view and those of the second."""
    return rows.roll(len(rows) // 2, 0)


def _by_picture(rows: Tensor) -> Tensor:
    """Put both views of a picture beside each other, so that the order does not depend on the number of processes."""
    return torch.stack(rows.chunk(2), dim=1).flatten(0, 1)
