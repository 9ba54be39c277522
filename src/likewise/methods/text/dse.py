"""DSE: each text is embedded once, and a light head on two embeddings reproduces the scores of a cross-encoder.

Paper: Barkan, Razin, Malkiel, Katz, Caciularu, Koenigstein 2020, "Scalable Attentive Sentence-Pair Modeling via
Distilled Sentence Embedding", AAAI 2020, arXiv 1908.05161.

What is new there: a cross-encoder reads both texts of a pair at once, so scoring N x M pairs takes N x M passes. Its
scores of the training pairs are distilled into a Siamese student, which needs N + M passes and a small head for each
pair.

What a row brings: two texts; a label (yes or no, a class, a number) where there is one; and the teacher's score, unless
a teacher is named that scores the rows before training (``teacher``), or stored scores of them (``teacher_scores``).

Student. With h_t the hidden states of token t in the top m = 4 layers, side by side, and n tokens without the first
one: ``u = sum_t h_t / n``. Of two such vectors::

    g(u, v) = [u, v, u * v, |u - v|]                s = W2 relu(W1 g + b1) + b2

Objective, with the teacher's scores t (logits, not probabilities; of two logits for yes and no their difference)::

    (1 - alpha) * mean_i task(s_i, y_i)  +  alpha * mean_i sum_c (s_ic - t_ic)^2

task is the cross-entropy of a sigmoid (binary), of a softmax (classes), or the squared difference (regression). alpha 1
needs no labels, alpha 0 is plain Siamese training. Nothing is compared with the other rows of a batch.

Without labels, pairs may be mined: each row's first text with random and with nearest second texts, scored by the
teacher (``random_pairs``, ``nearest_pairs``). An extension that is not of the paper, off by default: over each row's
own list of candidates, the student's cosines follow the softmax of the teacher's scores (``listwise_weight``).

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    the schedule counts           the code counts micro-batches, so that      it decays to 0, as the paper says
    optimiser steps               with accumulation the rate only falls by
                                  half and warm-up takes twice as long
    AdamW; the gradient's norm    BertAdam (no bias correction); the norm     the shared optimiser
    is clipped over all weights   of each tensor is clipped
    scores belong to the texts    to the place in the file                    a shuffled file would pair others
    of a row
    rows may lack a label; the    all have one                                few labels, many teacher scores
    first term is a mean over
    those that have one
    fewer than 4 layers: all      4                                           small encoders
    a text of which no token is   0 / 0                                       an error beats a NaN
    left is refused
    vectors of unit norm are      raw vectors                                 search compares by cosine; the head
    served; the head reads them                                               was trained on the raw ones
    before that
    both orders may be averaged   one order                                   the head is not symmetric
    when scoring
    ============================  ==========================================  =====================================
The defaults are those of the official run; teacher and student there are BERT-large.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from likewise import artefact, pairwise
from likewise.data import Stages, Table
from likewise.data.columns import Column, Label, Number, Row, Text, Vector
from likewise.encoders import CrossEncoder, Embedder, TextEncoder, TextEncoderConfig
from likewise.errors import InputError
from likewise.heads import PairHead, PairScorer, TopLayersPool, unit_vectors
from likewise.losses import DistilledPairLoss, PairTask, listwise_distillation
from likewise.losses.pair_task import TaskKind
from likewise.memory import TeacherScores
from likewise.methods.base import Method, Paper, StepOutput, TextMethod
from likewise.sampling.duplicates import text_key
from likewise.views import Batch, TextInput, TextViews

__all__ = ["DSE", "Config"]

TOP_LAYERS = 4
"""Layers that are pooled where nothing is said (paper)."""

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Config:
    """Settings of ``dse``."""

    task: TaskKind = "binary"
    """What a pair is scored for: binary (labels 0 and 1), classes (--classes names them), or regression (numbers)."""
    classes: tuple[str, ...] = ()
    """Name of each label, in the order of the scores, the option once a name; for binary two, the second is the yes."""
    alpha: float = 0.5
    """Weight of the teacher's scores against the labels, in [0, 1]; 1 needs no labels, 0 no teacher (paper: 0.5)."""
    teacher: str | None = None
    """Model that scores the rows before training: a folder trained by cross-encoder (or by dse), a cross-encoder of
    sentence-transformers, or a hub name. Without it rows bring the column teacher_score."""
    teacher_scores: str | None = None
    """Folder of scores that `likewise use TEACHER score DATA --scores FOLDER` has made of the same rows, so that
    several runs share them."""
    top_layers: int | None = None
    """Layers of the encoder that are pooled, from the top, >= 1; 4, or all of a shallower one, where not given."""
    join_layers: Literal["concat", "mean"] = "concat"
    """How these layers are put together: concat (side by side, a wider embedding), or mean."""
    reduce_tokens: Literal["mean", "sqrt", "max"] = "mean"
    """How tokens are: mean, sqrt (the sum over the root of their number), or max."""
    use_cls: bool = False
    """Let the first token count too."""
    embedding_size: int | None = None
    """Numbers of an embedding, by a linear layer behind the pooling, >= 1; no such layer where not given."""
    head: Literal["concat", "dot"] = "concat"
    """What the head sees of two embeddings: concat (both, their product and their distance), or dot (one number)."""
    head_dims: tuple[int, ...] = (512,)
    """Width of each hidden layer of the head, the option once a layer (paper: 512); 0: none. dot without any is a plain
    product."""
    random_pairs: int = 0
    """Further pairs of each row's a with a random b of other rows, >= 0, scored by the teacher alone."""
    nearest_pairs: int = 0
    """Further pairs of each row's a with the nearest b of other rows, >= 0, by the encoder as it is loaded."""
    listwise_weight: float = 0.0
    """Extension: weight of the loss over each row's list (its b, random and nearest ones), >= 0; 0: left out."""
    listwise_temperature: float = 1.0
    """Divisor of the teacher's scores in the softmax over a list, > 0."""

    def __post_init__(self) -> None:
        DistilledPairLoss(PairTask.of(self.task, self.classes), self.alpha)  # says what is wrong with these
        for name, least in (("top_layers", 1), ("embedding_size", 1), ("random_pairs", 0), ("nearest_pairs", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; it is {least} or more.")
        if self.head == "dot" and not any(self.head_dims) and self.task == "classes":
            raise InputError("head dot without a hidden layer gives one score; for --task classes give --head-dims 32.")
        if self.teacher is not None and self.teacher_scores is not None:
            raise InputError("both teacher and teacher_scores are given; one of them says what the scores are.")
        if self.listwise_weight < 0 or self.listwise_temperature <= 0:
            raise InputError(
                f"listwise_weight is {self.listwise_weight} and listwise_temperature {self.listwise_temperature}; the "
                "first is 0 or more, the second greater than 0."
            )
        if self.mined and (self.teacher is None or not self.alpha):
            raise InputError(
                "random_pairs and nearest_pairs are scored by a teacher; name one with --teacher, and an --alpha above "
                "0."
            )
        if self.listwise_weight and (not self.mined or self.task == "classes"):
            raise InputError(
                "the loss over lists ranks candidates by one score and needs some; give --random-pairs or "
                "--nearest-pairs, and a --task other than classes."
            )

    @property
    def mined(self) -> int:
        """Pairs that are added to each row, ``K``."""
        return self.random_pairs + self.nearest_pairs

    @property
    def rows_bring_scores(self) -> bool:
        """Whether the teacher's scores are a column of the data."""
        return self.alpha > 0 and self.teacher is None and self.teacher_scores is None


class DSE(TextMethod[Config]):
    """Distil a cross-encoder into embeddings and a head; see the module."""

    paper = Paper(
        "Scalable Attentive Sentence-Pair Modeling via Distilled Sentence Embedding",
        venue="AAAI 2020",
        arxiv="1908.05161",
    )
    columns = (
        Column("a", Text, help="one text of the pair: the query"),
        Column("b", Text, help="the other text: the candidate"),
        Column("label", Label, required=False, help="0 or 1, the name of a class, or for regression a number"),
        Column("teacher_score", Vector, help="the teacher's logits, unless --teacher or --teacher-scores brings them"),
    )
    min_rows = 1
    in_batch = False
    training_defaults = {"batch_size": 32, "lr": 2e-5, "epochs": 5.0, "weight_decay": 0.01, "warmup": 0.1}
    encoder_defaults = {"max_tokens": 128}
    products = {"score": "likewise.products.score:Score"}

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        layers = encoder.num_layers
        top = min(TOP_LAYERS, layers) if config.top_layers is None else config.top_layers
        if top > layers:
            raise InputError(f"top_layers is {top}, but the encoder has {layers} layers; use 1 to {layers}.")
        width = int(encoder.transformer.config.hidden_size)
        pool = TopLayersPool(top, config.join_layers, config.reduce_tokens, config.use_cls, width=width)
        super().__init__(config, encoder.pooled_by(pool))
        self._loaded = (encoder,)  # in a tuple: its weights are those of self.encoder, and are not counted twice
        self.task = PairTask.of(config.task, config.classes)
        dim = self.encoder.dim
        self.projector = nn.Linear(dim, config.embedding_size) if config.embedding_size else None
        self.head = PairHead(
            config.embedding_size or dim,
            self.task.num_scores,
            kind=config.head,
            dims=[width for width in config.head_dims if width],
        )
        self.loss = DistilledPairLoss(self.task, config.alpha)

    @classmethod
    def build(cls, config: Config, encoder_config: TextEncoderConfig) -> TextMethod[Config]:
        """Load the tower; its own pooling is replaced.

        Raises:
            InputError: A pooling is asked for that would be replaced.
        """
        if encoder_config.pooling is not None:
            raise InputError(
                f"pooling is '{encoder_config.pooling}', but dse pools the top layers; say how with --top-layers, "
                "--join-layers, --reduce-tokens and --use-cls."
            )
        return super().build(config, encoder_config)

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """Which of labels and scores a row needs depends on alpha and on where the scores come from."""
        a, b, label, score = cls.columns
        label = dataclasses.replace(
            label, kind=Number if config.task == "regression" else Label, required=config.alpha == 0
        )
        labels = (label,) if config.alpha < 1 else ()
        # Where there is none at all, prepare says what else may bring them.
        score = dataclasses.replace(score, required=False, all_or_none=True)
        return (a, b, *labels, *((score,) if config.rows_bring_scores else ()))

    @classmethod
    def own_validation(
        cls, config: Config, data: str, rename: Mapping[str, str]
    ) -> Callable[[Method[Config]], Mapping[str, float]]:
        """Measure the scores of labelled pairs; vectors alone do not say them."""
        from likewise.evaluation.pair_scores import labelled_pairs

        measure = labelled_pairs(PairTask.of(config.task, config.classes), data, rename)
        return lambda method: measure(cast("DSE", method).scorer())

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Turn labels into numbers, mine pairs, and put the teacher's scores beside the texts they belong to."""
        config = self.config
        pairs: list[tuple[str, str]] = list(
            zip(table.column("a").to_pylist(), table.column("b").to_pylist(), strict=True)
        )
        depends_on: dict[str, Any] = {"data": table.fingerprint, "task": self.task.as_dict(), "alpha": config.alpha}
        columns = [*self.columns[:2]]
        target: list[float] = []
        has_label: list[bool] = []
        if config.alpha < 1:
            columns += [Column("target", Number), Column("has_label", Number)]
            labels = table.column("label").to_pylist() if "label" in table.column_names else [None] * len(pairs)
            target, has_label = self.task.targets(labels, table.where)
            if not any(has_label):
                stages.say("no row has a label: the teacher's scores alone are learned.")
        others = self._others(pairs, table, stages) if config.mined else np.zeros((len(pairs), 0), dtype=np.int64)
        if config.mined:
            columns.append(Column("others", Text, many=True))
            depends_on["mined"] = [config.random_pairs, config.nearest_pairs, self._loaded[0].fingerprint]
        scores = self._scores(pairs, others, table, stages, depends_on) if config.alpha else None
        if scores is not None:
            columns.append(Column("teacher_score", Vector))

        def rows() -> Iterator[Row]:
            for i, (a, b) in enumerate(pairs):
                row: Row = {"a": a, "b": b}
                if config.alpha < 1:
                    row |= {"target": target[i], "has_label": float(has_label[i])}
                if config.mined:
                    row["others"] = [pairs[j][1] for j in others[i]]
                if scores is not None:
                    row["teacher_score"] = scores[i].ravel().tolist()
                yield row

        return stages.table("pairs", columns, rows, depends_on=depends_on)

    def views(self) -> TextViews:
        """Tokenise every text by itself."""
        names = ("a", "b", "others") if self.config.mined else ("a", "b")
        values = ("target", "has_label", "teacher_score")
        return TextViews(self.encoder.tokenizer, {name: TextInput(name) for name in names}, values=values)

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over all texts; the head scores each row's pair and the mined ones."""
        texts = [batch["a"], batch["b"], *([batch["others"]] if "others" in batch else [])]
        first, *seconds = (self._projected(x) for x in self.encoder.together(*texts))  # [B, D], [B, D], [B K, D]
        size, mined = len(batch), self.config.mined
        second = torch.cat(seconds)
        scores = self.head(torch.cat([first, first.repeat_interleave(mined, dim=0)]), second)  # [B + B K, C]
        teacher = batch.inputs.get("teacher_score")  # [B, (1 + K) C]
        if teacher is not None:
            teacher = teacher.reshape(size, 1 + mined, -1)
            flat = torch.cat([teacher[:, 0], teacher[:, 1:].flatten(0, 1)])
        unlabelled = scores.new_zeros(size * mined)
        labelled = self.config.alpha < 1
        rows = self.loss(
            scores,
            torch.cat([batch["target"], unlabelled]) if labelled else None,
            has_label=torch.cat([batch["has_label"], unlabelled]) > 0 if labelled else None,
            teacher_scores=None if teacher is None else flat,
        )
        terms = {name: one.mean_or_zero() for name, one in rows.items()}
        if self.config.listwise_weight and teacher is not None:
            own = torch.cat([x.reshape(size, -1, x.shape[1]) for x in seconds], dim=1)  # [B, 1 + K, D]
            lists = listwise_distillation(
                unit_vectors(first),
                unit_vectors(own),
                teacher[..., 0],
                teacher_temperature=self.config.listwise_temperature,
            )
            terms["listwise"] = self.config.listwise_weight * lists.mean()
        return StepOutput(terms)

    def start(self) -> TextEncoder:
        """Start from the tower with its own pooling, as other methods do."""
        return self._loaded[0].served()

    def embedder(self) -> TextEncoder:
        """Keep the tower with the pooling of its top layers, and the linear layer where there is one."""
        return self.encoder.served(self.projector)

    def kept(self) -> Mapping[str, Any]:
        """Keep the head, and what its scores say."""
        head = {"settings": self.head.settings, "weights": self.head.state_dict()}
        return {"pair_head": head, "pair_task": self.task.as_dict()}

    def scorer(self) -> PairScorer:
        """Return what scores pairs as it is now."""
        return PairScorer(self.embedder(), self.head, self.task)

    def _projected(self, features: Tensor) -> Tensor:
        return features if self.projector is None else self.projector(features)

    def _scores(
        self,
        pairs: Sequence[tuple[str, str]],
        others: NDArray[np.int64],
        table: Table,
        stages: Stages,
        depends_on: dict[str, Any],
    ) -> Scores:
        """Return the teacher's scores ``[n, 1 + K, C]``, and add to ``depends_on`` whose they are."""
        config = self.config
        if config.teacher is not None:
            teacher = artefact.load_pair_scorer(config.teacher)
            depends_on["teacher"] = teacher.fingerprint
            found = stages.array("teacher", lambda: _taught(teacher, pairs, others, stages), depends_on=depends_on)
            names, of = teacher.score_names, f"the teacher {teacher.name}"
        elif config.teacher_scores is not None:
            stored = TeacherScores.open(Path(config.teacher_scores))
            found = stored.of(pairs)[:, None]
            depends_on["teacher"] = stored.about["fingerprint"]
            names, of = tuple(stored.about["score_names"]), f"the teacher {stored.about['teacher']}"
        elif "teacher_score" not in table.column_names or not table.brings(self.columns[3]).any():
            raise InputError(
                f"{table.name} brings no teacher's scores; name a model with --teacher, stored scores with "
                "--teacher-scores, or the column with --columns teacher_score=THEIRS. With --alpha 0 labels alone are "
                "learned."
            )
        else:
            listed = table.column("teacher_score").to_pylist()
            width = len(listed[0])
            for i, one in enumerate(listed):
                if len(one) != width:
                    raise InputError(
                        f"{table.where(i)}: column 'teacher_score' has {len(one)} numbers, in the first row {width}; "
                        "all rows hold the same number of scores."
                    )
            found, names, of = np.array(listed, dtype=np.float32)[:, None], (), "column 'teacher_score'"
        n, lists, width = found.shape
        return self.task.reduced(np.asarray(found).reshape(n * lists, width), names, of).reshape(n, lists, -1)

    def _others(self, pairs: Sequence[tuple[str, str]], table: Table, stages: Stages) -> NDArray[np.int64]:
        """Return the rows whose b is paired with each row's a, int64 ``[n, K]``: nearest first, then random ones."""
        config = self.config
        keys = [text_key(b) for _, b in pairs]
        first_with: dict[int, int] = {}
        for row, key in enumerate(keys):
            first_with.setdefault(key, row)
        if len(first_with) <= config.mined:
            raise InputError(
                f"{config.mined} further pairs a row are asked for, but there are only {len(first_with)} different "
                "texts in column 'b'; lower --random-pairs and --nearest-pairs, or give more rows."
            )
        candidates = np.array(list(first_with.values()))

        def make() -> NDArray[np.int64]:
            nearest = self._nearest(pairs, keys, candidates)
            drawn = np.empty((len(pairs), config.mined), dtype=np.int64)
            for row in range(len(pairs)):
                taken = [*nearest[row], first_with[keys[row]]]
                order = np.random.default_rng([0, row]).choice(
                    candidates, min(len(candidates), config.random_pairs + len(taken)), replace=False
                )
                random = [one for one in order if one not in taken][: config.random_pairs]
                drawn[row] = [*nearest[row], *random]
            return drawn

        stages.say(f"pairing each of {len(pairs)} texts with {config.mined} others")
        settings = [config.random_pairs, config.nearest_pairs, self._loaded[0].fingerprint]
        return stages.array("others", make, depends_on={"data": table.fingerprint, "mined": settings})

    def _nearest(
        self, pairs: Sequence[tuple[str, str]], keys: Sequence[int], candidates: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the rows of the nearest other b of each row's a, int64 ``[n, nearest_pairs]``."""
        number = self.config.nearest_pairs
        if not number:
            return np.empty((len(pairs), 0), dtype=np.int64)
        encoder = self.start()
        queries, texts = encoder.encode([a for a, _ in pairs]), encoder.encode([pairs[row][1] for row in candidates])
        of_row = torch.tensor(keys)
        _, places = pairwise.topk(
            queries, texts, number, mask_mod=_other_text, rows=(of_row,), columns=(of_row[candidates],)
        )
        found: NDArray[np.int64] = candidates[places.numpy()]
        return found


def _taught(
    teacher: CrossEncoder, pairs: Sequence[tuple[str, str]], others: NDArray[np.int64], stages: Stages
) -> Scores:
    """Let the teacher score each row's pair, and its a with the b of the other rows; float32 ``[n, 1 + K, C]``."""
    asked = [pair for i, (a, b) in enumerate(pairs) for pair in ((a, b), *((a, pairs[j][1]) for j in others[i]))]
    stages.say(f"the teacher {teacher.name} scores {len(asked)} pairs")
    scores = teacher.score(asked).numpy()
    return scores.reshape(len(pairs), 1 + others.shape[1], -1)


def _other_text(row: pairwise.Side, column: pairwise.Side) -> Tensor:
    """Count a candidate unless it is the text of the row's own b."""
    return row[0] != column[0]
