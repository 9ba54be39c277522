"""CCP: a sentence finds one of its neighbours among sentences of its own language, in documents of many languages.

Paper: Wu, Liang, Zhang, Shou, Gong, Jiang, Duan 2022, "Unsupervised Context Aware Sentence Representation Pretraining
for Multi-lingual Dense Retrieval", IJCAI 2022, arXiv 2206.03281.

What is new there: no translations. In each language a sentence must pick a sentence from its own surroundings out of
thousands of others *of the same language*; since what stands near what is the same in all languages, their spaces come
to be arranged alike, and a shift, a scale and perhaps a rotation of each (``likewise use MODEL calibrate``) puts them
on top of each other. Two devices keep the model from easier answers: the negatives come from a bank of each language,
so that telling languages apart is worth nothing, and the head's batch norm never normalises both sides of a pair by the
same batch, so that the batch does not give its answer away.

What a row brings: a document, as the list of its sentences, and its language. A batch is of one language, which is
drawn with probability ~ rows^0.3; of each document a centre c is drawn, and a context from the window [c - w, c + w].

Objective, with a = g(f(centre)), b = g(f(context)) of unit norm, g = linear, batch norm, ReLU, linear, and the bank M
of the language as it stood before the step::

    rows[i] = 1/2 ( -a_i.b_i / t + log( sum_j exp(a_i.b_j / t) + sum_{q in M} exp(a_i.q / t) ) )
            + 1/2 ( -b_i.a_i / t + log( sum_j exp(b_i.a_j / t) + sum_{q in M} exp(b_i.q / t) ) )

Whichever of a and b was normalised by running statistics goes into the bank. The model is f; g is dropped.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    t = 0.05, w = 2, a bank of    not given                                   pretraining code is not released; the
    4096 per language, batch 256                                              field's usual values
    a ReLU between the linear     two linear layers, separated by a batch     without it the norm is all that keeps
    layers                        norm                                        them from being one
    the encoder's own pooling     first token                                 first-token pooling of an encoder that
    (cls for --pooling cls)                                                   was trained with means gets worse
    batch statistics over all     not given                                   exactness: W processes equal one
    processes
    running statistics begin as   not given; usual: from 0 and 1              the running side would be one point for
    the mean of the first ones                                                a hundred steps
    equal texts are no negatives  nothing                                     a document's stock phrases recur: a
                                                                              copy of the answer is no wrong answer
    repeated neighbours once      not given                                   they would be trivial positives
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise as neighbours
from typing import Literal

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.data import Stages, Table
from likewise.data.columns import Column, Label, Row, Text
from likewise.encoders import Embedder, TextEncoder
from likewise.errors import InputError
from likewise.geometry import coordinate_spread, mean_cosine
from likewise.heads import PairNorm, PairProjector, unit_vectors
from likewise.losses import InfoNCE, RowLosses
from likewise.memory import KeyBank
from likewise.methods.base import Contrast, Paper, StepOutput, TextMethod
from likewise.sampling import Grouping
from likewise.views import Batch, ContextViews

__all__ = ["CCP", "Config"]

logger = logging.getLogger(__name__)

COLLAPSED = 0.1
"""Spread of the coordinates (1 for random unit vectors) below which a space counts as collapsed."""

EVERYWHERE = "every language"
"""Name of the one bank that all languages share."""


@dataclass(frozen=True)
class Config:
    """Settings of ``ccp``."""

    temperature: float = 0.05
    """Divisor of the cosines, > 0 (not in the paper)."""
    window: int = 2
    """Most sentences between a centre and its context, counted from one to the other, >= 1 (not in the paper)."""
    bank: Literal["language", "shared"] = "language"
    """Whose earlier sentences are negatives: those of the language, or those of all (for comparison)."""
    bank_size: int = 4096
    """Earlier sentences that each bank holds, >= 0, over all processes; 0: no bank (not in the paper)."""
    in_batch_negatives: bool = True
    """Whether the other sentences of the batch are negatives too; without them only those of the bank."""
    batch_norm: PairNorm = "asymmetric"
    """How the head normalises the two sides of a pair: asymmetric is one by the batch and one by running statistics,
    symmetric each by its own batch, which leaks; none."""
    projection: int | None = None
    """Numbers of an embedding behind the head, >= 1; as many as the encoder gives where not given."""
    language_exponent: float = 0.3
    """How languages are drawn: with probability ~ documents^exponent, >= 0; 1 as they are, 0 all alike."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: A value is outside its range.
        """
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}; it must be greater than 0, as 0.05.")
        for name, least in (("window", 1), ("bank_size", 0), ("projection", 1), ("language_exponent", 0)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise InputError(f"{name} is {value}; it is {least} or more.")
        if not self.in_batch_negatives and not self.bank_size:
            raise InputError(
                "there is neither a bank nor in-batch negatives, so nothing to tell a sentence from; use one."
            )


class CCP(TextMethod[Config]):
    """Sentence embeddings of many languages from monolingual documents; see the module."""

    paper = Paper(
        "Unsupervised Context Aware Sentence Representation Pretraining for Multi-lingual Dense Retrieval",
        venue="IJCAI 2022",
        arxiv="2206.03281",
    )
    columns = (
        Column("sentences", Text, many=True, help="the sentences of a document, in their order"),
        Column("language", Label, help="the language of the document, as de"),
    )
    training_defaults = {"batch_size": 256, "lr": 2e-5, "weight_decay": 0.01, "warmup": 0.1, "schedule": "linear"}
    encoder_defaults = {"max_tokens": 64}
    validation = "bitext"
    products = {"calibrate": "likewise.products.calibrate:Calibrate"}

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        dim = config.projection or encoder.dim
        self.head = PairProjector(encoder.dim, dim, config.batch_norm)
        self.loss = InfoNCE(config.temperature)
        self.bank = KeyBank(config.bank_size, dim, columns={"text": torch.int64})
        self._keys: tuple[str, Tensor, Tensor] | None = None  # of this step, on their way into the bank
        self._spread, self._told = 1.0, False  # of the step before; only for the warning

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Say each sentence once where it is repeated, and leave out documents of a single sentence."""

        def documents() -> Iterator[Row]:
            found = False
            for row in table:
                sentences = [text.strip() for text in row["sentences"]]
                fresh = [sentences[0], *(text for before, text in neighbours(sentences) if text != before)]
                if len(fresh) > 1:
                    found = True
                    yield {"sentences": fresh, "language": row["language"]}
            if not found:
                raise InputError(
                    f"none of the {len(table)} documents of {table.name} has two different sentences; a document is a "
                    "list of sentences in their order (in documents:FOLDER one sentence a line, an empty line between "
                    "documents)."
                )

        prepared = stages.table("documents", self.columns, documents, depends_on={"rows": table.fingerprint})
        if skipped := len(table) - len(prepared):
            stages.say(f"{skipped} of {len(table)} documents have a single sentence and are left out")
        return prepared

    def grouping(self) -> Grouping:
        """Make every batch of documents of one language."""
        return Grouping("language", exponent=self.config.language_exponent)

    def views(self) -> ContextViews:
        """Draw a sentence of each document and one near it."""
        return ContextViews(self.encoder.tokenizer, self.config.window)

    def training_step(self, batch: Batch) -> StepOutput:
        """Find the context of each sentence among the batch and the language's bank, and the other way round."""
        if batch.group is None:
            raise ValueError("ccp: the batch has no group; all of its documents are of one language, batch.group.")
        group = batch.group if self.config.bank == "language" else EVERYWHERE
        features = self.encoder.together(batch["centre"], batch["context"])
        centre, context = map(unit_vectors, self.head(*features))  # [B, D] each
        texts = batch["centre_id"], batch["context_id"]
        there = self._rows(centre, context, texts[1], texts, group)
        back = self._rows(context, centre, texts[0], texts, group)
        keys, ids = (centre, texts[0]) if self._centre_by_running else (context, texts[1])
        self._keys = group, keys.detach(), ids
        metrics = {"bank_filled": float(len(self.bank.keys(group))), **self._monitored(centre.detach())}
        contrast = Contrast(centre.detach(), context.detach(), self.config.temperature)
        return StepOutput({"info_nce": (there.mean() + back.mean()) / 2}, metrics, contrast)

    def after_step(self) -> None:
        """Let sentences of the step into the bank, and let the two sides of the batch norm take turns."""
        if self._keys is not None:
            group, keys, ids = self._keys
            if self.config.bank_size:
                self.bank.push(group, keys, text=ids)
            self._keys = None
            if self.head.norm is not None:
                self.head.norm.turn()

    @property
    def _centre_by_running(self) -> bool:
        norm = self.head.norm
        return norm is not None and norm.asymmetric and bool(norm.second_by_batch)

    def _rows(
        self, query: Tensor, key: Tensor, key_texts: Tensor, texts: tuple[Tensor, Tensor], group: str
    ) -> RowLosses:
        """Look every query's key up among the keys and the bank.

        Args:
            query: One side of the pairs, unit norm ``[B, D]``.
            key: The other side.
            key_texts: Tells equal texts among the keys ``[B]``.
            texts: The same for centre and context of each row.
            group: Whose bank.
        """
        queue, queue_texts = self.bank.keys(group), self.bank.column("text", group)
        keys, *sides = (distributed.gather_rows(ids) for ids in (key_texts, *texts))
        both = torch.cat(sides)
        repeated = len(both.unique()) < len(both) or bool(torch.isin(queue_texts, both).any())
        if self.config.in_batch_negatives and not repeated:
            plain: RowLosses = self.loss(query, key, queue=queue)
            return plain
        first_of_bank = 0 if self.config.in_batch_negatives else len(keys)

        def own_or_other_text(row: pairwise.Side, column: pairwise.Side) -> Tensor:
            other = (column[0] != row[0]) & (column[0] != row[1])
            return (row.index == column.index) | ((column.index >= first_of_bank) & other)

        columns = (torch.cat([keys, queue_texts]),)
        masked: RowLosses = self.loss(query, key, queue=queue, mask_mod=own_or_other_text, rows=texts, columns=columns)
        return masked

    def _monitored(self, embeddings: Tensor) -> dict[str, float]:
        """Return how far the embeddings are from one point, and say so once where they are at it."""
        embeddings = distributed.gather_rows(embeddings, with_grad=False)
        before, self._spread = self._spread, coordinate_spread(embeddings)
        # The sides take turns, and that of the running statistics is one point before there are any.
        if max(before, self._spread) < COLLAPSED and not self._told:
            self._told = True
            logger.warning(
                "the space has collapsed: the coordinates of a batch spread %.3f times as far as those of random "
                "vectors; lower the learning rate, make the bank smaller, or use --batch-norm asymmetric",
                self._spread,
            )
        return {"coordinate_spread": self._spread, "mean_cosine": mean_cosine(embeddings)}
