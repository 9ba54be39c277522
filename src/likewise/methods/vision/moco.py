"""MoCo v2: a view finds the other one of its picture among the keys that a slow tower made of earlier batches.

Papers: He, Fan, Wu, Xie, Girshick 2020, "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020,
arXiv 1911.05722; Chen, Fan, Girshick, He 2020, "Improved Baselines with Momentum Contrastive Learning", arXiv
2003.04297 (v2: a head of two layers, a blur among the changes, temperature 0.2).

What is new there: negatives do not come from the batch but from a queue of keys, so there can be many of them in small
batches. A key stays useful for a while because the tower that made it changes slowly.

Objective, one direction, cosines s over temperature t; q is a view of a picture, k what the momentum tower makes of
another view of it, n the queue::

    rows[i] = -s(q_i, k_i) / t + log( exp(s(q_i, k_i) / t) + sum_n exp(s(q_i, n) / t) )

One step:

1. The queries go through tower and head.
2. theta_k <- m theta_k + (1 - m) theta_q, with the weights before this step's update, for tower and head.
3. The momentum tower makes the keys, without gradient; the loss sees the queue of earlier batches.
4. Optimiser's step. Then the keys of all processes enter the queue, and the oldest leave it.

What a row brings: a picture.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    keys by running statistics,   keys by the statistics of their batch,      own and other keys must not differ by
    averaged as weights are       which is shuffled over processes so that    their batch; shuffling does nothing in
    (EMAN, arXiv 2101.08482)      query and key are in different ones         one process, and with it the number of
                                                                              processes changes what is trained
    queries by the statistics of  of each process                             several processes train what one trains
    the batch of all processes
    keys and queue in float32     the queue in the format of the keys         small differences
    any size of queue             a multiple of the batch                     places go round; uneven batches fit
    AdamW                         SGD, rate 0.03, momentum 0.9                 as all methods here
    ============================  ==========================================  =====================================
As there, the queue is full from the start, of random unit vectors, and the momentum tower begins as a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

from likewise import pairwise
from likewise.losses import queue_contrast
from likewise.methods.base import Contrast, Paper, QueueMethod, QueueSettings, StepOutput
from likewise.views import Batch

__all__ = ["Config", "MoCo"]


@dataclass(frozen=True)
class Config(QueueSettings):
    """Settings of ``moco``."""


class MoCo(QueueMethod[Config]):
    """Embeddings of pictures from a momentum tower and a queue; see the module."""

    paper = Paper("Improved Baselines with Momentum Contrastive Learning", venue="2020", arxiv="2003.04297")
    training_defaults = {"batch_size": 256, "lr": 1e-3, "weight_decay": 1e-4, "epochs": 200.0, "schedule": "cosine"}

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass for the queries, one of the momentum tower for the keys, and the queue as it was before."""
        query, key = self.embed(batch)
        temperature = self.config.temperature
        rows = queue_contrast(query, key, self.queue.keys, temperature=temperature)
        nearest = pairwise.topk(query.detach(), self.queue.keys, 1)[0][:, 0]
        positive = (query.detach() * key).sum(1)
        metrics = {"beats_queue": (positive > nearest).float().mean()}
        return StepOutput({"info_nce": rows.mean()}, metrics, Contrast(query.detach(), key, temperature))
