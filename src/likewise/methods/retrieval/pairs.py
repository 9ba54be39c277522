"""In-batch softmax over given pairs: the field's default, and the baseline of many papers.

Paper: Henderson et al. 2017, "Efficient Natural Language Response Suggestion for Smart Reply", arXiv 1705.00652,
section 4.4 (the "multiple negatives" softmax); the same objective trains DPR (arXiv 2004.04906) and most retrievers.

What a row brings: a query, a text that answers it, and optionally texts that do not (hard negatives, given or mined
with ``likewise mine``). Every other row's positive, and every row's hard negative, is a negative.

Objective, with unit vectors q, p of ``B`` rows, hard negatives n and temperature t::

    rows[i] = -q_i.p_i / t + log( sum_j exp(q_i.p_j / t) + sum_k exp(q_i.n_k / t) )
    symmetric: the mean of that and of the same from p_i to all q_j (without hard negatives)

Deviations from the paper and from the usual code:
    =====================  =======================================  =============================================
    here                   paper / usual code                       why
    =====================  =======================================  =============================================
    cosine / temperature   dot product of unnormalised vectors      the field's form since; scale 20 = 1 / 0.05
    equal texts apart      nothing                                  a second copy of a positive is no negative
    a hard negative that   counted as a negative                    the same: it is masked for that row only
    is somebody's positive
    =====================  =======================================  =============================================
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise import distributed
from likewise.data.columns import Column, Text
from likewise.encoders import TextEncoder
from likewise.losses import InfoNCE, other_texts
from likewise.methods.base import Contrast, Paper, StepOutput, TextMethod
from likewise.views import Batch, TextInput, TextViews

__all__ = ["Config", "Pairs"]


@dataclass(frozen=True)
class Config:
    """Settings of ``pairs``."""

    temperature: float = 0.05
    """Divisor of the cosines, > 0 (0.05 is the usual scale of 20)."""
    learn_temperature: bool = False
    """Train the temperature with the weights, from the value above."""
    symmetric: bool = False
    """Also ask which query a positive belongs to, and take the mean of both losses."""


class Pairs(TextMethod[Config]):
    """Pull a query to its positive and away from everything else in the batch; see the module."""

    paper = Paper("Efficient Natural Language Response Suggestion for Smart Reply", "2017", arxiv="1705.00652")
    columns = (
        Column("query", Text, help="what is asked or looked up"),
        Column("positive", Text, help="a text that answers it"),
        Column("negative", Text, required=False, many=True, help="one or more texts that do not (hard negatives)"),
    )
    pair = ("query", "positive")
    roles = {"query": "query", "positive": "document", "negative": "document"}
    keep_apart = ("query", "positive")
    training_defaults = {"batch_size": 64, "lr": 2e-5}
    validation = "retrieval"

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        self.loss = InfoNCE(config.temperature, learnable=config.learn_temperature, symmetric=config.symmetric)

    def views(self) -> TextViews:
        """Tokenise query, positive and whatever hard negatives the rows bring."""
        return TextViews(
            self.encoder.tokenizer,
            {
                "query": TextInput("query", role=self.roles["query"]),
                "positive": TextInput("positive", role=self.roles["positive"], with_ids=True),
                "negative": TextInput("negative", role=self.roles["negative"], with_ids=True),
            },
        )

    def training_step(self, batch: Batch) -> StepOutput:
        """One softmax over all positives and hard negatives of the batch, for every query."""
        texts = batch["positive"].followed_by(batch["negative"]) if "negative" in batch else batch["positive"]
        query, documents = (F.normalize(x, dim=-1) for x in self.encoder.together(batch["query"], texts))  # [., D]
        positive, negative = documents.split([len(batch), len(texts) - len(batch)])  # [B, D], [K, D]
        if not distributed.any_process("negative" in batch):
            return self._output(self.loss(query, positive).mean(), query, positive)
        negative_id = batch["negative_id"] if "negative" in batch else batch["positive_id"][:0]
        others = other_texts(batch.row_index, batch["positive_id"], negative_id)
        return self._output(self.loss(query, positive, negatives=negative, **others).mean(), query, positive)

    def _output(self, loss: Tensor, query: Tensor, positive: Tensor) -> StepOutput:
        temperature = torch.as_tensor(self.loss.temperature).detach()
        metrics = {"temperature": temperature} if self.config.learn_temperature else {}
        contrast = Contrast(query.detach(), positive.detach(), temperature)
        return StepOutput({"info_nce": loss}, metrics, contrast)
