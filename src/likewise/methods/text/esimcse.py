"""ESimCSE: SimCSE whose second view repeats some words, with the keys of a momentum tower as further negatives.

Paper: Wu, Gao, Zang, Han, Wang, Hu 2022, "ESimCSE: Enhanced Sample Building Method for Contrastive Learning of
Unsupervised Sentence Embedding", COLING 2022, arXiv 2109.04380.

What is new there: in SimCSE both views of a sentence have the same length, so the tower may take equal length for equal
meaning. Here the second view says a few of its sub-words twice: longer, and hardly another meaning. And a short queue
holds what a slowly following copy of the tower made of earlier batches: negatives that cost no gradient.

Objective, one direction, cosines s over temperature t; z1 is a sentence, z2 the same with repetitions, n the queue::

    rows[i] = -s(z1_i, z2_i) / t + log( sum_j exp(s(z1_i, z2_j) / t) + sum_q exp(s(z1_i, n_q) / t) )

One step, in the order of the official code:

1. Both views go through tower and head in one pass, with dropout; the loss sees the queue of earlier batches.
2. theta_m <- m theta_m + (1 - m) theta, with the weights before this step's update.
3. The momentum tower, without dropout and gradient, and the head make keys of the sentences as they are.
4. Optimiser's step. Then the keys of all processes enter the queue, and the oldest leave it: a sentence never meets its
   own key in its own step.

A tanh head follows the pooling in training; the model is used without it.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    repetition: cap of 10, no     paper: a floor of 2 and no cap; official    the published figures are the code's
    floor (``repetition_floor``)  code: as here
    repetitions drawn anew in     drawn once, when the data are prepared      the same where there is one epoch
    every epoch
    one queue, equal on all       each process has a queue of its own rows    W processes equal one; queue_size
    processes                                                                 counts keys of all of them
    the gradient of several       1 / W of it (remote keys carry none)        exactness: W processes equal one
    processes equals one's
    no momentum tower without     made and kept                               it would not be used
    a queue
    momentum tower in float32     in the format of the weights                small steps vanish in half precision
    the encoder's own pooling     first token                                 first-token pooling of an encoder that
    (cls for --pooling cls)                                                   was trained with means gets worse
    head with any pooling         head only with the first token              so that the two can be chosen apart
    a text without any token is   kept                                        all such texts are one vector
    refused
    ============================  ==========================================  =====================================
The settings are those of the official run for BERT-base. Where dropout is set (``--dropout``), it is that of hidden
states and of attention alike, as in the official code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from likewise.encoders import TextEncoder, Tokens
from likewise.errors import InputError
from likewise.heads import TanhProjection, unit_vectors
from likewise.losses import InfoNCE
from likewise.memory import KeyQueue, MomentumTower
from likewise.methods.base import Contrast, Paper, SentenceMethod, StepOutput
from likewise.views import Batch, SubwordRepeat, TextInput, TextViews, WordRepeat

__all__ = ["Config", "ESimCSE"]

FLOORS = {"token": 0, "word": 2}
"""The official code's floor of the repetition for each unit."""


@dataclass(frozen=True)
class Config:
    """Settings of ``esimcse``."""

    temperature: float = 0.05
    """Divisor of the cosines, > 0 (paper: 0.05)."""
    head: bool = True
    """Put a fresh tanh projection after the pooling in training; it is no part of the model."""
    repetition_rate: float = 0.32
    """Share of a text that may be repeated in its second view, in [0, 1); 0: both views are the same words (official:
    0.32 for BERT, 0.30 for RoBERTa-base, 0.28 for RoBERTa-large)."""
    repetition_unit: Literal["token", "word"] = "token"
    """What is repeated: tokens (sub-words), or words between white space (paper: sub-words)."""
    repetition_cap: int = 10
    """One more than the most repetitions in a text, >= 1 (official: 10)."""
    repetition_floor: int | None = None
    """Least share of a text that may be repeated, in tokens or words, >= 0, so that short texts get repetitions too;
    the official code's where not given: 0 for tokens, 2 for words."""
    protect_special: bool = True
    """Never repeat the special tokens at the ends of a text; off for an encoder that has none."""
    queue_size: int = 160
    """Keys of earlier batches that are further negatives, >= 0, over all processes; 0: no queue and no momentum tower
    (paper: 2.5 batches, 160; RoBERTa-large: 128)."""
    momentum: float = 0.995
    """Weight of the old value when the momentum tower follows the encoder, in [0, 1) (paper: 0.995)."""


class ESimCSE(SentenceMethod[Config]):
    """Sentence embeddings from dropout, repetition and a queue; see the module."""

    paper = Paper(
        "ESimCSE: Enhanced Sample Building Method for Contrastive Learning of Unsupervised Sentence Embedding",
        venue="COLING 2022",
        arxiv="2109.04380",
    )

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        self.head: nn.Module = TanhProjection(encoder.dim, encoder.dim) if config.head else nn.Identity()
        self.loss = InfoNCE(config.temperature)
        self.queue = KeyQueue(config.queue_size, encoder.dim) if config.queue_size else None
        self.momentum_tower = MomentumTower(encoder, config.momentum) if config.queue_size else None
        self._inputs = {"text": TextInput("text")}
        if config.repetition_rate:
            self._inputs["repeated"] = self._repeated()
        self._keys: Tensor | None = None  # of this step, on their way into the queue

    def views(self) -> TextViews:
        """Tokenise each text once, and say some of its words twice in the second view."""
        return TextViews(self.encoder.tokenizer, self._inputs)

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over both views for the loss, and one of the momentum tower for the keys of later steps."""
        text: Tokens = batch["text"]
        repeated: Tokens = batch.inputs.get("repeated", text)
        features: Tensor = self.encoder(text.followed_by(repeated))
        first, second = unit_vectors(self.head(features)).split([len(text), len(repeated)])  # [B, D] each
        contrast = Contrast(first.detach(), second.detach(), self.config.temperature)
        if self.queue is None or self.momentum_tower is None:
            return StepOutput({"info_nce": self.loss(first, second).mean()}, contrast=contrast)
        held = len(self.queue)
        rows = self.loss(first, second, queue=unit_vectors(self.queue.keys) if held else None)
        self.momentum_tower.follow(self.encoder)
        with torch.no_grad():
            self._keys = self.head(self.momentum_tower(text))
        return StepOutput({"info_nce": rows.mean()}, {"queue_filled": float(held)}, contrast)

    def after_step(self) -> None:
        """Let the keys of the step into the queue."""
        if self.queue is not None and self._keys is not None:
            self.queue.push(self._keys)
            self._keys = None

    def _repeated(self) -> TextInput:
        config = self.config
        unit, rate, cap = config.repetition_unit, config.repetition_rate, config.repetition_cap
        floor = FLOORS[unit] if config.repetition_floor is None else config.repetition_floor
        if unit == "word":
            return TextInput("text", change_text=WordRepeat(rate, cap, floor))
        tokenizer, most = self.encoder.tokenizer, self.encoder.max_positions
        if most is not None and tokenizer.max_tokens + cap - 1 > most:
            raise InputError(
                f"max_tokens is {tokenizer.max_tokens} and repetition makes a text up to {cap - 1} tokens longer, but "
                f"the encoder reads {most} at most; use --max-tokens {most - cap + 1}, or a lower --repetition-cap."
            )
        repeat = SubwordRepeat.of(tokenizer, rate, cap, floor, protect_special=config.protect_special)
        return TextInput("text", change_tokens=repeat)
