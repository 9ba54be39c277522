"""SimCSE: a sentence is its own positive, told from itself only by dropout; with labels, entailment pairs.

Paper: Gao, Yao, Chen 2021, "SimCSE: Simple Contrastive Learning of Sentence Embeddings", EMNLP 2021, arXiv 2104.08821.

What is new there: no augmentation at all. Both views are the same tokens in one forward pass; the only difference is
the dropout mask that each row draws. With labels (NLI), the positive is an entailed sentence and a contradicting one
is a hard negative for every row.

Objective, one direction, cosines s over temperature t (eq. 4 and 5 of the paper)::

    unsupervised  rows[i] = -s(z1_i, z2_i) / t + log sum_j exp(s(z1_i, z2_j) / t)
    supervised    rows[i] = -s(z1_i, z2_i) / t
                            + log sum_j ( exp(s(z1_i, z2_j) / t) + a^[i = j] exp(s(z1_i, z3_j) / t) )

where a weighs a row's own hard negative. A tanh head follows the pooling in training; the unsupervised model is used
without it, the supervised one with it.

Optional, off by default, an auxiliary masked-language loss: all texts of the step go through the tower a second time
with tokens hidden by the 80/10/10 rule, and ``mlm_weight * mean -log p(hidden token)`` is added to the loss.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    the encoder's own pooling     first token                                 first-token pooling of an encoder that
    (cls for --pooling cls)                                                   was trained with means gets worse
    head with any pooling         head only with the first token              the stand-in experiment needs it
    gradient of several           1 / W of it (remote keys carry none)        exactness: W processes equal one
    processes equals one's
    norms floored at 1e-8 each    product of the norms floored at 1e-8        only differs for a zero vector
    no label smoothing            hook, unused                                -
    masked-language head tied to  starts as a copy of it, trained apart       one table of words, and less memory
    the table of tokens
    that head fresh where the     loaded (BERT and RoBERTa only)              most encoders here bring none
    encoder brings none
    mean over hidden tokens of    mean of each process's mean                 exactness: W processes equal one
    all processes
    ============================  ==========================================  =====================================
The settings are those of the official README (batch 64, temperature 0.05), which replaced the paper's first version.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from likewise import distributed, pairwise
from likewise.data.columns import Column, Text
from likewise.encoders import TextEncoder, Tokens
from likewise.errors import InputError
from likewise.heads import MaskedLanguageModel, TanhProjection, unit_vectors
from likewise.losses import InfoNCE, RowLosses
from likewise.methods.base import Contrast, Paper, SentenceMethod, StepOutput
from likewise.views import Batch, TextInput, TextViews

__all__ = ["Config", "SimCSE"]


@dataclass(frozen=True)
class Config:
    """Settings of ``simcse``."""

    supervised: bool = False
    """Use a positive (and a hard negative, where given) from the row instead of dropout alone."""
    temperature: float = 0.05
    """Divisor of the cosines, > 0 (official: 0.05)."""
    head: bool = True
    """Put a fresh tanh projection after the pooling in training; kept in the model only when supervised."""
    hard_negative_log_weight: float = 0.0
    """log a: added to the logit of a row's own hard negative, in nats (official ``hard_negative_weight``: 0)."""
    mlm_weight: float = 0.0
    """Weight of the auxiliary masked-language loss, >= 0; 0 leaves it out (official where it is used: 0.1)."""
    mlm_probability: float = 0.15
    """Chance of a token to be hidden for the masked-language loss, in (0, 1) (official: 0.15)."""


class SimCSE(SentenceMethod[Config]):
    """Sentence embeddings from dropout, or from entailment pairs; see the module."""

    paper = Paper("SimCSE: Simple Contrastive Learning of Sentence Embeddings", venue="EMNLP 2021", arxiv="2104.08821")
    columns = (
        Column("text", Text, help="a sentence; when supervised, the anchor (premise)"),
        Column("positive", Text, required=False, help="supervised: a sentence it entails"),
        Column("negative", Text, required=False, all_or_none=True, help="supervised: a sentence that contradicts it"),
    )
    pair = ("text", "positive")

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        self.head: nn.Module = TanhProjection(encoder.dim, encoder.dim) if config.head else nn.Identity()
        self.loss = InfoNCE(config.temperature)
        if config.mlm_weight < 0:
            raise InputError(f"mlm_weight is {config.mlm_weight}; it is 0 (no masked-language loss) or more.")
        self.mlm = MaskedLanguageModel(encoder, config.mlm_probability) if config.mlm_weight else None

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """Only the sentence without labels; sentence and positive (and perhaps a negative) with them."""
        text, positive, negative = cls.columns
        if not config.supervised:
            return (text,)
        return (text, Column("positive", Text, help=positive.help), negative)

    def views(self) -> TextViews:
        """Tokenise each text once; the second view of a sentence is the same tokens."""
        columns = self.columns_for(self.config)
        return TextViews(self.encoder.tokenizer, {column.name: TextInput(column.name) for column in columns})

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over all views, so that each row draws a dropout mask of its own; a second with hidden tokens."""
        tokens = self._texts(batch)
        views = self._embed(tokens)
        terms = {"info_nce": self._contrast(views, batch).mean()}
        if self.mlm is not None:
            terms["mlm"] = self.config.mlm_weight * self.mlm(self.encoder, tokens)
        first, second = views.detach()[: 2 * len(batch)].chunk(2)
        return StepOutput(terms, contrast=Contrast(first, second, self.config.temperature))

    def embedder(self) -> TextEncoder:
        """Keep the tower; the head only when supervised ("train with MLP, test without" otherwise)."""
        if self.config.supervised and isinstance(self.head, TanhProjection):
            return self.encoder.served(self.head.linear, self.head.activation)
        return super().embedder()

    def _texts(self, batch: Batch) -> Tokens:
        """Lay the texts of all views end to end, view after view."""
        if not self.config.supervised:
            text: Tokens = batch["text"]
            return text.repeat(2)
        size = len(batch)
        texts: list[Tokens] = [batch["text"], batch["positive"]] + ([batch["negative"]] if "negative" in batch else [])
        if "negative" in batch and len(batch["negative"]) != size:
            raise ValueError(
                f"simcse: {len(batch['negative'])} hard negatives for {size} rows; give every row one, or none any."
            )
        return texts[0].followed_by(*texts[1:])

    def _embed(self, tokens: Tokens) -> Tensor:
        projected: Tensor = self.head(self.encoder(tokens))
        return unit_vectors(projected)

    def _contrast(self, views: Tensor, batch: Batch) -> RowLosses:
        size = len(batch)
        first, second, negative = views.split([size, size, len(views) - 2 * size])  # [B, D] each, or no negative
        if self.config.supervised and "negative" in batch:
            return self._with_negatives(first, second, negative, batch.row_index)
        plain: RowLosses = self.loss(first, second)
        return plain

    def _with_negatives(self, first: Tensor, second: Tensor, negative: Tensor, row_index: Tensor) -> RowLosses:
        log_weight = self.config.hard_negative_log_weight
        if not log_weight:
            plain: RowLosses = self.loss(first, second, negatives=negative)
            return plain
        owner = distributed.gather_rows(row_index)

        def weigh_own_negative(score: Tensor, row: pairwise.Side, column: pairwise.Side) -> Tensor:
            return score + log_weight * (row[0] == column[0])

        nobody = torch.full_like(owner, -1)
        weighed: RowLosses = self.loss(
            first,
            second,
            negatives=negative,
            score_mod=weigh_own_negative,
            rows=(row_index,),
            columns=(torch.cat([nobody, owner]),),
        )
        return weighed
