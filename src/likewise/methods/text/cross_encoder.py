"""A cross-encoder: both texts of a pair are read at once. Accurate, slow, and the teacher that DSE distils.

Paper: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
arXiv 1810.04805, section 4.1 (pairs of GLUE); the teacher of "Scalable Attentive Sentence-Pair Modeling via Distilled
Sentence Embedding" (AAAI 2020, arXiv 1908.05161).

What a row brings: two texts and a label: yes or no, a class, or a number.

Objective. The pair goes through the tower as one text ``[CLS] a [SEP] b [SEP]``, so that every word of one side sees
every word of the other; with ``h`` the features that the encoder pools and ``s = W drop(h) + b``::

    binary      rows[i] = -log sigmoid(s_i) where the label is yes, -log sigmoid(-s_i) where it is no
    classes     rows[i] = logsumexp_c(s_ic) - s_iy
    regression  rows[i] = (s_i - y_i)^2

What is kept is the tower, with its head beside it. A pair is scored by one pass through the tower, so that a query
among M candidates costs M passes: that is what ``dse`` is for. The tower's vectors of single texts are by the way.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    one score for yes and no      two logits                                  the same model; DSE takes the
                                                                              difference of the two
    the encoder's own pooling     first token                                 first-token pooling of an encoder that
    (cls for --pooling cls)                                                   was trained with means gets worse
    a linear layer on it          a tanh layer between, from pre-training     encoders of other families have none
    AdamW with a linear decay     BertAdam (no bias correction)               the shared optimiser
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from likewise.data import Stages, Table
from likewise.data.columns import Column, Label, Number, Text
from likewise.encoders import Embedder, JointEncoder, TextEncoder
from likewise.errors import InputError
from likewise.losses import PairTask, RowLosses
from likewise.losses.pair_task import TaskKind
from likewise.methods.base import Method, Paper, StepOutput, TextMethod
from likewise.views import Batch, PairViews

__all__ = ["Config", "CrossEncoderMethod"]


@dataclass(frozen=True)
class Config:
    """Settings of ``cross-encoder``."""

    task: TaskKind = "binary"
    """What a pair is scored for: binary (labels 0 and 1), classes (--classes names them), or regression (numbers)."""
    classes: tuple[str, ...] = ()
    """Name of each label, in the order of the scores, the option once a name; for binary two, the second is the yes."""
    head_dropout: float = 0.1
    """Probability with which a feature is dropped before the last layer in training, in [0, 1) (BERT: 0.1)."""

    def __post_init__(self) -> None:
        PairTask.of(self.task, self.classes)
        if not 0 <= self.head_dropout < 1:
            raise InputError(f"head_dropout is {self.head_dropout}; it is a probability, 0 or more and less than 1.")


class CrossEncoderMethod(TextMethod[Config]):
    """Score pairs by reading both texts at once; see the module."""

    paper = Paper(
        "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        venue="NAACL 2019",
        arxiv="1810.04805",
    )
    columns = (
        Column("a", Text, help="one text of the pair"),
        Column("b", Text, help="the other text"),
        Column("label", Label, help="0 or 1, the name of a class, or for regression a number"),
    )
    min_rows = 1
    in_batch = False
    training_defaults = {"batch_size": 32, "lr": 2e-5, "epochs": 3.0, "weight_decay": 0.01, "warmup": 0.1}
    encoder_defaults = {"max_tokens": 128}
    products = {"score": "likewise.products.score:Score"}

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        self.task = PairTask.of(config.task, config.classes)
        self.joint = JointEncoder(
            encoder, self.task.num_scores, dropout=config.head_dropout, score_names=self.task.score_names
        )

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """A label of regression is a number."""
        a, b, label = cls.columns
        return (a, b, dataclasses.replace(label, kind=Number) if config.task == "regression" else label)

    @classmethod
    def own_validation(
        cls, config: Config, data: str, rename: Mapping[str, str]
    ) -> Callable[[Method[Config]], Mapping[str, float]]:
        """Measure the scores of labelled pairs; vectors alone do not say them."""
        from likewise.evaluation.pair_scores import labelled_pairs

        measure = labelled_pairs(PairTask.of(config.task, config.classes), data, rename)
        return lambda method: measure(cast("CrossEncoderMethod", method).joint)

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Turn labels into numbers."""
        target, _ = self.task.targets(table.column("label").to_pylist(), table.where)

        def rows() -> Any:
            for row, value in zip(table, target, strict=True):
                yield {"a": row["a"], "b": row["b"], "target": value}

        columns = (*self.columns[:2], Column("target", Number))
        return stages.table("pairs", columns, rows, depends_on={"data": table.fingerprint, "task": self.task.as_dict()})

    def views(self) -> PairViews:
        """Tokenise both texts as one."""
        return PairViews(self.encoder.tokenizer, "a", "b", values=("target",))

    def training_step(self, batch: Batch) -> StepOutput:
        """Score the pairs, and compare with their labels."""
        scores = self.joint(batch["pair"])  # [B, C]
        values = self.task.losses(scores, batch["target"])
        return StepOutput({"task": RowLosses.of(values).mean()})

    def kept(self) -> Mapping[str, Any]:
        """Keep the head, and what its scores say."""
        return {"joint_head": self.joint.head.state_dict(), "pair_task": self.task.as_dict()}
