"""MoCHi: MoCo v2 with negatives that are harder than any in the queue, mixed of its hardest.

Paper: Kalantidis, Sariyildiz, Pion, Weinzaepfel, Larlus 2020, "Hard Negative Mixing for Contrastive Learning", NeurIPS
2020, arXiv 2010.01028.

What is new there: most keys of a queue are too far from a query to teach anything. For each query and in each step, new
negatives are made of the N keys of the queue that are nearest to it: mixtures of two of them, and mixtures of one of
them with the query itself, which are harder still. No further picture is encoded.

Objective, that of ``moco`` with more in the denominator; unit(x) = x / |x|, h and g constants::

    h = unit(a n_1 + (1 - a) n_2),  a in [0, 1),    n_1, n_2 two different ones of the N nearest     (s of them)
    g = unit(b q_i + (1 - b) n_3),  b in [0, 1/2),  n_3 one of the N nearest                         (s' of them)

    rows[i] = -s(q_i, k_i) / t + log( exp(s(q_i, k_i) / t) + sum over n, h, g of exp(s(q_i, .) / t) )

What a row brings: a picture; a label, only for ``--left-out label``.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    the two keys of a pair are    not said; public code differs               a pair of equal keys is no mixture
    different ones
    N 1024, s 512, s' 256,        no single value in the paper                chosen; a follow-up (SynCo) has 1024,
    10 epochs without mixing                                                  256 each, 10 epochs
    epochs are counted in rows    in passes                                   a pass may leave rows out
    ``--left-out``                nothing is left out                         to see what false negatives do
    what is drawn depends on      a global generator                          the same in any number of processes
    seed, step and row
    ============================  ==========================================  =====================================
And those of ``moco``: keys by averaged statistics, any size of queue, AdamW.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.data import Column, Image, Label, class_names
from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.losses import mixed_scores, queue_contrast
from likewise.methods.base import Contrast, Paper, QueueMethod, QueueSettings, StepOutput
from likewise.pairwise import Side
from likewise.sampling import HardNegativeMixer
from likewise.views import Batch, LabelledViews, Views

if TYPE_CHECKING:
    from likewise.data import Stages, Table
    from likewise.encoders import Embedder

__all__ = ["Config", "MoCHi"]

logger = logging.getLogger(__name__)

IMAGE = Column("image", Image, help="a picture")
LABEL = Column("label", Label, help="its class; used only to leave keys of the same class out")


@dataclass(frozen=True)
class Config(QueueSettings):
    """Settings of ``mochi``."""

    hardest: int = 1024
    """Nearest keys of the queue that negatives are mixed of, from 1 to the size of the queue. Where a class has few
    pictures keep it far below their number: the nearest keys are of the query's own class."""
    pairs: int = 512
    """Mixtures of two of them for each query, >= 0."""
    with_query: int = 256
    """Mixtures of one of them with the query, >= 0."""
    query_share: float = 0.5
    """Least upper bound of the query's own weight in a mixture, in (0, 1/2] (paper: 0.5)."""
    plain_epochs: float = 10.0
    """Passes over the data before the first mixture, >= 0; until then it is ``moco``."""
    left_out: Literal["none", "row", "label"] = "none"
    """Keys of the queue that are no negatives of a query: none (paper), row (older keys of its own picture), label
    (keys of its class: shows what false negatives cost; not for training without labels)."""

    def __post_init__(self) -> None:
        if self.plain_epochs < 0:
            raise InputError(f"plain_epochs is {self.plain_epochs}; it is 0 or more passes over the data.")
        if self.hardest > self.queue_size:
            raise InputError(
                f"hardest is {self.hardest}, but the queue holds {self.queue_size} keys; use at most as many, or a "
                "longer --queue-size."
            )


class MoCHi(QueueMethod[Config]):
    """Embeddings of pictures from a queue and mixtures of its hardest keys; see the module."""

    paper = Paper("Hard Negative Mixing for Contrastive Learning", venue="NeurIPS 2020", arxiv="2010.01028")
    columns = (IMAGE,)
    training_defaults = {"batch_size": 256, "lr": 1e-3, "weight_decay": 1e-4, "epochs": 200.0, "schedule": "cosine"}
    queue_columns = {"identity": torch.int64}
    instead_of_a_shorter_queue = ", or --left-out row"
    seen: Tensor

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        self.mixer = HardNegativeMixer(config.hardest, config.pairs, config.with_query, config.query_share)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # rows of all processes, so far
        self._plain_rows = 0.0
        self._classes: tuple[str, ...] = ()
        self._warned = False

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """Return the picture, and the label where keys of its class are left out."""
        return (IMAGE, LABEL) if config.left_out == "label" else (IMAGE,)

    @property
    def meets_own_keys(self) -> bool:
        """Whether older keys of a row's own picture are negatives where the queue holds them."""
        return self.config.left_out == "none"

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Count the rows of a pass, and number the classes."""
        self._plain_rows = self.config.plain_epochs * len(table)
        if self.config.left_out == "label":
            self._classes = class_names(table, "label")
        return super().prepare(table, stages, previous)

    def views(self) -> Views:
        """Two views of each picture, and its class where that is needed."""
        views = super().views()
        return LabelledViews(views, "label", classes=self._classes) if self.config.left_out == "label" else views

    def of_keys(self, batch: Batch) -> Mapping[str, Tensor]:
        """Say what is alike to a key: its row, or its class."""
        return {"identity": batch["label"] if self.config.left_out == "label" else batch.row_index}

    def training_step(self, batch: Batch) -> StepOutput:
        """That of ``moco``, with mixtures of the nearest keys of the queue once it is time for them."""
        query, key = self.embed(batch)
        queue, temperature = self.queue.keys, self.config.temperature
        which: dict[str, Any] = {}
        if self.config.left_out != "none":
            identity = self.of_keys(batch)["identity"]
            which = {"mask_mod": _other, "rows": (identity,), "columns": (self.queue.column("identity"),)}
        mixing = int(self.seen) >= self._plain_rows and self.config.pairs + self.config.with_query > 0
        nearest, places = pairwise.topk(query.detach(), queue, self.config.hardest if mixing else 1, **which)
        positive = (query.detach() * key).sum(1)
        metrics = {"beats_queue": (positive > nearest[:, 0]).float().mean()}
        mixed = None
        if mixing:
            self._warn_once()
            mixed = mixed_scores(query, queue, self.mixer(places, batch.row_index), temperature=temperature)
            metrics["beats_mixed"] = (positive > mixed.largest * temperature).float().mean()
        rows = queue_contrast(query, key, queue, temperature=temperature, mixed=mixed, **which)
        return StepOutput({"info_nce": rows.mean()}, metrics, Contrast(query.detach(), key, temperature))

    def after_step(self) -> None:
        """Let the keys of the step into the queue, and count their rows."""
        if self._arriving is not None:
            self.seen += sum(distributed.row_counts(len(self._arriving[0])))
        super().after_step()

    def _warn_once(self) -> None:
        if not self._warned and int(self.seen) < self.config.hardest:
            self._warned = True
            logger.warning(
                "negatives are mixed of the %d nearest keys, but only %d of the queue's are of pictures so far; the "
                "others are random. Use more --plain-epochs, or a lower --hardest",
                self.config.hardest,
                int(self.seen),
            )


def _other(row: Side, column: Side) -> Tensor:
    return row[0] != column[0]
