"""CACR: several views of a picture attract each other, the farthest most; other pictures are pushed, the nearest most.

Paper: Zheng, Chen, Yao, Yang, Li, Zhang, Zhu, Wang, Zhou, Chen 2023, "Contrastive Attraction and Contrastive Repulsion
for Representation Learning", TMLR 2023, arXiv 2105.03746.

What is new there: not one softmax over positives and negatives, but one over the positives of a query (K of them, from
K + 1 views) and one over its negatives. Both terms are bounded, and nothing is told apart by a logarithm.

What a row brings: a picture.

Objective, with unit vectors z_v of the K + 1 views, squared distances d, and weights that sum to 1 for each query::

    attraction(q, P)  = sum_{p in P} w+_p d(q, p),   w+ = softmax_p( t+ d(q, p) )
    repulsion(q, N)   = - sum_{n in N} w-_n d(q, n),  w- = softmax_n( -t- d(q, n) )

    batch      alpha mean_{v} attraction(z_v, other views) + beta mean_{v < u} repulsion(z_v, z_u of other pictures);
               with the rbf cost repulsion is log mean_i sum_j w-_ij exp(-width d_ij)
    queue      q by the tower, k by a momentum tower: alpha attraction(q_v, k of other views) + beta repulsion(q_v, the
               queue and q_v of other pictures), mean over v
    predictor  MoCo v3: predictions q_v find the key k_a of another view among all keys; over v they are weighed by
               softmax_v( d(q_v, k_a) / T ), mean over a. rbf: 2 T times the cross-entropy at temperature T; euclidean:
               half of attraction and repulsion

``temperature`` is the divisor of cosines in w-, that is t- = 1 / (2 temperature), and T of the predictor.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    negatives of all processes    of the own process (batch)                  several processes train what one does
    weights of the queue form     kept within the batch, held on the queue    one weight, one rule
    are held
    all views are whole ones      predictor: small crops beside two views     towers read one size
    one mean over rows            euclidean predictor: a sum                  does not depend on the batch
    no debiased option            adds a term whose sign is wrong             a fault of the code
    a key by running statistics,  by those of its batch, which is shuffled    a key depends on its own picture alone
    averaged as weights are
    batch norm without weights    SmallAlexNet's own last layer, MoCo's       all numbers vary alike
    behind the head               heads
    AdamW, constant momentum      SGD; momentum rises to 1 (predictor)        one optimiser for all methods
    ============================  ==========================================  =====================================
Repulsion covers the pairs v < u as in the official code, so that the last view is never the query.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from likewise.encoders import ImageEncoder
from likewise.errors import InputError
from likewise.heads import MLPProjector, unit_vectors
from likewise.losses import attraction, kernel_repulsion, positive_weights, repulsion, weighed_prediction
from likewise.memory import KeyQueue, MomentumTower
from likewise.methods.base import Contrast, Paper, ProjectedMethod, ProjectorSettings, StepOutput
from likewise.views import AugmentationName, Batch, ImageViews, view_names

__all__ = ["CACR", "Config"]


@dataclass(frozen=True)
class Config(ProjectorSettings):
    """Settings of ``cacr``."""

    augment: AugmentationName = "cifar"
    form: Literal["batch", "queue", "predictor"] = "batch"
    """batch: negatives are the other pictures of the batch; queue: also keys of earlier batches, by a momentum tower;
    predictor: predictions find keys of a momentum tower in the batch (MoCo v3), for large batches."""
    positives: int = 4
    """Further views of each picture, >= 1; a step costs one pass more than that (paper: 4; predictor: 1)."""
    temperature: float = 0.25
    """Divisor of the cosines in the weights of negatives, > 0: 1 / (2 t-) (paper: t- 2, so 0.25; 0.9 on CIFAR-10, so
    0.56); of the predictor's logits T (paper: 1 with ResNet-50, 0.2 with ViT)."""
    sharpness: float | None = None
    """Multiplier of the squared distances in the weights of positives t+, > 0; where not given 1, with the predictor
    1 / temperature (paper)."""
    alpha: float = 1.0
    """Weight of the attraction, >= 0 (paper: 1); not with the predictor."""
    beta: float = 1.0
    """Weight of the repulsion, >= 0 (paper: 1); not with the predictor."""
    weighted: Literal["both", "positives", "negatives", "none"] = "both"
    """What is weighed; the others have even weights. To see what each does; not with the predictor."""
    hold_weights: bool | None = None
    """Whether weights are constants for the gradient; where not given no with the batch, else yes (paper)."""
    cost: Literal["euclidean", "rbf"] | None = None
    """What repels: squared distances, or a kernel of them; where not given euclidean, with the predictor rbf."""
    kernel_width: float = 2.0
    """Multiplier of the squared distances in the kernel, > 0, with the batch and --cost rbf alone (paper: 2)."""
    queue_size: int = 65_536
    """Keys of earlier batches with the queue, >= 1 (paper: 65,536 for 1.3 million pictures)."""
    momentum: float = 0.999
    """Weight of the old value when the momentum tower follows, in [0, 1) (paper: 0.999; predictor 0.996; 0.99 for some
    hundred steps)."""
    all_keys: bool = False
    """Whether every view makes a key with the predictor, or the first two only (paper)."""
    head_size: int = 128
    """Length of the vectors that the loss compares, >= 1 (paper: 128; with the predictor 256)."""
    last_norm: bool = True
    """Whether batch norm without weights stands behind the projector."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("positives", "queue_size"):
            value = getattr(self, name)
            if value < 1:
                raise InputError(f"{name} is {value}; at least 1 is accepted.")
        for name in ("temperature", "sharpness", "kernel_width"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} is {value}; it must be above 0 and finite.")
        for name in ("alpha", "beta"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; a weight of 0 or more is accepted.")
        if not self.alpha and not self.beta:
            raise InputError("alpha and beta are 0, so that nothing is trained; give one of them a weight.")
        if self.form == "queue" and self.cost == "rbf":
            raise InputError("cost is rbf, which the queue has not; use --form batch, or --cost euclidean.")
        if self.form != "batch" and self.hold_weights is False:
            raise InputError(f"hold_weights is False, but the form {self.form} holds its weights; leave it out.")
        for name in self._without_use():
            value = getattr(self, name)
            if value != next(one.default for one in fields(self) if one.name == name):
                raise InputError(
                    f"{name} is {value}, but nothing reads it with --form {self.form} and the cost "
                    f"{self.cost or self._usual_cost}; leave it out, or choose another form or cost."
                )

    @property
    def _usual_cost(self) -> str:
        return "rbf" if self.form == "predictor" else "euclidean"

    def _without_use(self) -> tuple[str, ...]:
        """Name the settings that the form and the cost have no use for."""
        idle = {
            "batch": ("queue_size", "momentum", "all_keys"),
            "queue": ("all_keys", "kernel_width"),
            "predictor": ("queue_size", "alpha", "beta", "weighted", "kernel_width"),
        }[self.form]
        return idle if self.form != "batch" or self.cost == "rbf" else (*idle, "kernel_width")


class CACR(ProjectedMethod[Config]):
    """Embeddings of pictures by attraction and repulsion; see the module."""

    paper = Paper(
        "Contrastive Attraction and Contrastive Repulsion for Representation Learning",
        venue="TMLR 2023",
        arxiv="2105.03746",
    )
    training_defaults = {"batch_size": 128, "lr": 1e-3, "weight_decay": 1e-4, "epochs": 100.0}

    def __init__(self, config: Config, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder, last_norm=config.last_norm)
        size = config.head_size
        self.predictor: MLPProjector | None = None
        self.momentum_tower: MomentumTower | None = None
        self.queue: KeyQueue | None = None
        if config.form == "predictor":
            self.predictor = MLPProjector(size, config.hidden or encoder.dim, size)
        if config.form != "batch":
            self.momentum_tower = MomentumTower(self._online(), config.momentum, average_buffers=True)
        if config.form == "queue":
            self.queue = KeyQueue(config.queue_size, size)
            self.queue.fill_at_random()
        self._arriving: Tensor | None = None  # keys of this step, on their way into the queue

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the views."""
        return view_names(self.config.positives + 1)

    def views(self) -> ImageViews:
        """One view more than there are positives."""
        return self.augmented(*self.names)

    def training_step(self, batch: Batch) -> StepOutput:
        """All views in one pass, and the form's terms."""
        views = torch.cat([batch[name] for name in self.names])
        embedded: Tensor = self._online()(views)
        if self.predictor is not None:
            embedded = self.predictor(embedded)
        # Distances are differences of cosines, for which half precision has too few digits.
        wide = torch.promote_types(embedded.dtype, torch.float32)
        query = unit_vectors(embedded.to(wide)).unflatten(0, (len(self.names), -1))  # [V, B, D]
        key = query
        if self.momentum_tower is not None:
            self.momentum_tower.follow(self._online())
            key = unit_vectors(self.momentum_tower(views).to(wide)).unflatten(0, (len(self.names), -1))
        if self.queue is not None:
            self._arriving = key[-1]
        terms = (
            {"prediction": self._prediction(query, key)}
            if self.predictor is not None
            else {
                "attraction": self.config.alpha * self._attraction(query, key),
                "repulsion": self.config.beta * self._repulsion(query),
            }
        )
        metrics: dict[str, Tensor | float] = {}
        if self.config.positives > 1:
            weights = positive_weights(query[0].detach(), key[1:].detach(), sharpness=self._sharpness)
            metrics["positive_entropy"] = torch.special.entr(weights).sum(dim=1).mean()
        farthest = (query[0].detach() - key[1:].detach()).square().sum(dim=-1).amax(dim=0)
        metrics["farthest_positive"] = farthest.mean()
        contrast = Contrast(query[0].detach(), key[1].detach(), self.config.temperature)
        return StepOutput(terms, metrics, contrast)

    def after_step(self) -> None:
        """Let the keys of the last view into the queue."""
        if self.queue is not None and self._arriving is not None:
            self.queue.push(self._arriving)
            self._arriving = None

    @property
    def _sharpness(self) -> float:
        config = self.config
        if config.sharpness is not None:
            return config.sharpness
        return 1 / config.temperature if config.form == "predictor" else 1.0

    @property
    def _held(self) -> bool:
        """Whether weights are constants."""
        return self.config.form != "batch" if self.config.hold_weights is None else self.config.hold_weights

    def _attraction(self, query: Tensor, key: Tensor) -> Tensor:
        """Pull every view to what the key side has of the others."""
        weighted = self.config.weighted in ("both", "positives")
        pulls = [
            attraction(one, _without(key, v), sharpness=self._sharpness, weighted=weighted, detach=self._held).mean()
            for v, one in enumerate(query)
        ]
        return torch.stack(pulls).mean()

    def _repulsion(self, query: Tensor) -> Tensor:
        """Push views from other views of other pictures; with a queue from its keys, and the same view of others."""
        config = self.config
        weighted = config.weighted in ("both", "negatives")
        how: dict[str, Any] = {"temperature": config.temperature, "weighted": weighted, "detach": self._held}
        if self.queue is not None:
            pushes = [repulsion(one, one, queue=self.queue.keys, **how).mean() for one in query]
        elif config.cost == "rbf":
            width = config.kernel_width
            pushes = [kernel_repulsion(*pair, width=width, **how) for pair in itertools.combinations(query, 2)]
        else:
            pushes = [repulsion(*pair, **how).mean() for pair in itertools.combinations(query, 2)]
        return torch.stack(pushes).mean()

    def _prediction(self, query: Tensor, key: Tensor) -> Tensor:
        """Let the predictions of the other views find the keys of a view, for each view that makes keys."""
        config = self.config
        found = [
            weighed_prediction(
                list(_without(query, a)),
                one,
                temperature=config.temperature,
                cost=config.cost or "rbf",
                sharpness=self._sharpness,
            ).mean()
            for a, one in enumerate(key if config.all_keys else key[:2])
        ]
        return torch.stack(found).mean()

    def _online(self) -> nn.Sequential:
        return nn.Sequential(self.encoder, self.head)


def _without(views: Tensor, number: int) -> Tensor:
    """Return all views ``[V, B, D]`` but one."""
    return torch.cat([views[:number], views[number + 1 :]])
