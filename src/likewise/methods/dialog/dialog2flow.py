"""Dialog2Flow: utterances lie together that do the same in a dialog, and nearer the more alike their actions are.

Paper: Burdisso, Madikeri, Motlicek 2024, "Dialog2Flow: Pre-training Soft-Contrastive Action-Driven Sentence Embeddings
for Automatic Dialog Flow Extraction", EMNLP 2024, arXiv 2410.18481.

What is new there: supervised contrast pushes all labels apart alike, "request time" from "request pickup time" as far
as from "greet". Here the target of a row is soft: spread over the batch by how alike the TEXTS of the labels are to a
frozen sentence encoder. Clusters of such vectors are actions, and dialogs as sequences of actions make a flow.

What a row brings: an utterance and the name of its action, ``label`` ("request city"); in mode ``joint`` its dialog
acts and its slots instead, each a name or several.

Before training the rows become pairs: each label's utterances in a random order, neighbours make a pair (``sampling``
has the ways of balancing labels). Objective, for pairs (a, p) with label vectors e, unit vectors z = head(encoder(.)),
temperatures t and t'; s_ij = <z_ai, z_pj> / t::

    soft  T_ij = exp(cos(e_i, e_j) / t') / sum_k exp(cos(e_i, e_k) / t')
    hard  T_ij = [y_i = y_j] / #{k: y_k = y_i}                                 (SupCon, the paper's baseline)
    rows[i] = 1/2 ( -sum_j T_ij log softmax_j(s_ij)  -  sum_j T_ij log softmax_j(s_ji) )

Both directions have row i of T. A head of two layers follows the pooling in training; the model is used without it.
Mode ``joint`` has two objectives over one encoder, for acts and for slots: batches in turn, a head and an optimiser of
its own for each.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    t' of 0.35, extend for acts   yaml default: 0.25                          the published commands say so
    label encoder all-MiniLM-L6   multi-qa-mpnet-base-dot-v1                  it is packaged; ``label_encoder`` names
                                                                              another
    label vectors are compared    made anew from a table in every batch       the same values
    tile by tile
    labels of 2 utterances count  single: of more than 100                    theirs are three million utterances;
                                                                              ``min_utterances 101`` for theirs
    "word ?" is "word?"           "word'"                                     a slip in their substitution; their
                                                                              training data have it
    letters of all scripts, and   a to z only; it splits the word             other languages have other letters
    the typographic apostrophe
    a label of one utterance has  with ``extend`` paired with itself          it says nothing
    no pair
    the last batch of an epoch    left out                                    every pair is used
    is shorter
    warm-up 0                     100 steps                                   ours is a share; theirs is 0.0002
    loss as it is, gathered with  times the number of processes, remote       exactness: W processes equal one
    its gradient                  rows without gradient
    best by --eval-data           by 5-shot F1 of 300 looks an epoch          --eval-every says how often
    ============================  ==========================================  =====================================
Pairs are drawn once, as there. Where all labels are numbers their texts mean nothing, and targets are hard, as there.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from likewise.data import Column, Label, Number, Stages, Table, Text
from likewise.data.dialog_actions import action_label
from likewise.data.utterances import plain_utterance
from likewise.encoders import Embedder, TextEncoder, load_text_encoder
from likewise.errors import InputError
from likewise.heads import MLPProjector, unit_vectors
from likewise.losses import InfoNCE, RowLosses, soft_contrast
from likewise.memory import LabelTable
from likewise.methods.base import Contrast, Paper, StepOutput, TextMethod
from likewise.sampling import Balance, Grouping, LabelPairs
from likewise.views import Batch, LabelledViews, TextInput, TextViews

__all__ = ["Config", "Dialog2Flow"]

PAIR_COLUMNS = (
    Column("anchor", Text, help="an utterance"),
    Column("partner", Text, help="another one with its label"),
    Column("label", Number, help="number of the label"),
    Column("objective", Label, help="what the label is: an action, an act, a slot"),
)
KEPT_UTTERANCES = 5
"""Utterances of each action whose mean is kept with the model, so that actions can be named."""


@dataclass(frozen=True)
class Config:
    """Settings of ``dialog2flow``."""

    mode: Literal["single", "joint"] = "single"
    """What is learned: single, one label a row; joint, acts and slots in turn, with a head and an optimiser each."""
    targets: Literal["soft", "hard"] = "soft"
    """How a row's target is spread: soft, by how alike the texts of the labels are; hard, over equal labels."""
    temperature: float = 0.05
    """Divisor of the cosines of utterances, > 0 (paper: 0.05)."""
    label_temperature: float = 0.35
    """Divisor of the cosines of labels, > 0; towards 0 soft targets become hard (paper: 0.35)."""
    label_encoder: str = "all-MiniLM-L6-v2"
    """Frozen encoder of the labels' texts: a folder, a packaged model, or a name on the model hub (paper:
    multi-qa-mpnet-base-dot-v1)."""
    balance: Literal["none", "reduce", "extend"] | None = None
    """Labels of very different size: none, n utterances make n - 1 pairs; reduce, no label has more than the
    second-largest; extend, all have as many pairs as the largest. Where not given: none, and extend for the acts of
    joint (paper)."""
    min_utterances: int = 2
    """Fewest utterances of a label that is used, >= 2 (paper, single: 101)."""
    normalise: bool = True
    """Bring utterances into the form of transcripts: lower case, without punctuation but apostrophes and question
    marks."""
    head_size: int = 128
    """Length of the vectors that the loss compares, >= 1 (official: 128)."""
    head_lr_factor: float = 100.0
    """Learning rate of the head over that of the encoder, > 0 (official: 100)."""
    pair_seed: int = 0
    """Seed of which utterances make a pair, >= 0."""

    def __post_init__(self) -> None:
        for name in ("temperature", "label_temperature", "head_lr_factor"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be greater than 0.")
        for name, least in (("min_utterances", 2), ("head_size", 1), ("pair_seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {least}.")


@dataclass(frozen=True)
class _Labelled:
    """The utterances of one objective, each with one label; an utterance may stand there several times."""

    objective: str
    utterances: Sequence[str]
    labels: Sequence[str]
    balance: Balance


class Dialog2Flow(TextMethod[Config]):
    """Sentence embeddings of what utterances do, from soft targets over their actions; see the module."""

    paper = Paper(
        "Dialog2Flow: Pre-training Soft-Contrastive Action-Driven Sentence Embeddings for Automatic Dialog Flow "
        "Extraction",
        venue="EMNLP 2024",
        arxiv="2410.18481",
    )
    columns = (
        Column("utterance", Text, help="what somebody says in a turn of a dialog"),
        Column("label", Label, help="single: the name of what it does there, such as request city"),
        Column("acts", Label, required=False, many=True, help="joint: its dialog acts, such as request"),
        Column("slots", Label, required=False, many=True, help="joint: what they are about, such as city"),
    )
    training_defaults = {
        "batch_size": 64,
        "lr": 3e-6,
        "epochs": 15.0,
        "weight_decay": 0.01,
        "warmup": 0.0,
        "schedule": "linear",
        "clip_norm": 1.0,
    }
    encoder_defaults = {"max_tokens": 64, "pooling": "mean"}
    validation = "few_shot"
    products = {
        "flow": "likewise.products.flow:Flow",
        "action": "likewise.products.action:NearestActions",
    }

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        names = ("acts", "slots") if config.mode == "joint" else ("actions",)
        dim = encoder.dim
        self.heads = nn.ModuleDict(
            {name: MLPProjector(dim, dim, config.head_size, batch_norm=False, bias=False) for name in names}
        )
        self.hard_loss = InfoNCE(config.temperature, symmetric=True)
        self._table: LabelTable | None = None
        self._examples: Mapping[str, Sequence[str]] = {}

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """The utterance with its label; in joint mode with acts and slots."""
        utterance, label, acts, slots = cls.columns
        return (utterance, acts, slots) if config.mode == "joint" else (utterance, label)

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Make pairs of utterances with one label, and encode the labels' texts."""
        config = self.config
        sets = [self._without_rare(one, stages) for one in self._labelled(table)]
        self._examples = _examples(table, config.normalise)
        names = sorted({label for one in sets for label in one.labels})
        _refuse_alike(names, table.name)
        number = {name: i for i, name in enumerate(names)}
        made_from = {
            "rows": table.fingerprint,
            "mode": config.mode,
            "balance": [one.balance for one in sets],
            "min_utterances": config.min_utterances,
            "normalise": config.normalise,
            "pair_seed": config.pair_seed,
        }
        pairs = stages.table(
            "pairs", PAIR_COLUMNS, lambda: _pairs(sets, number, config.pair_seed), depends_on=made_from
        )
        stages.say(f"{len(pairs)} pairs of {len(table)} utterances with {len(names)} labels")
        if config.targets == "soft":
            self._table = self._label_table(names, stages)
        return pairs

    def views(self) -> LabelledViews:
        """Tokenise both utterances of a pair, and look up what their label means."""
        inputs = {name: TextInput(name) for name in ("anchor", "partner")}
        return LabelledViews(TextViews(self.encoder.tokenizer, inputs), "label", self._table)

    def grouping(self) -> Grouping | None:
        """In joint mode a batch is of acts or of slots, in turn."""
        return Grouping("objective", in_turn=True) if self.config.mode == "joint" else None

    def objectives(self) -> tuple[str, ...]:
        """In joint mode acts and slots, with an optimiser each."""
        return tuple(self.heads) if self.config.mode == "joint" else super().objectives()

    def objective_of(self, batch: Batch) -> str:
        """The objective that all labels of the batch belong to."""
        return super().objective_of(batch) if batch.group is None else batch.group

    def learning_rates(self) -> Mapping[str, float]:
        """Fresh heads learn faster than the encoder."""
        return {"heads": self.config.head_lr_factor}

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over both sides of the pairs, and one softmax in each direction."""
        name = next(iter(self.heads)) if batch.group is None else batch.group
        features: Tensor = self.encoder(batch["anchor"].followed_by(batch["partner"]))
        anchor, partner = unit_vectors(self.heads[name](features)).chunk(2)  # [B, head_size] each
        loss = self._loss(anchor, partner, batch).mean()
        contrast = Contrast(anchor.detach(), partner.detach(), self.config.temperature)
        return StepOutput({"contrast": loss}, contrast=contrast)

    def kept(self) -> Mapping[str, Any]:
        """Keep where each action lies, so that others can be named after it, and how utterances were read."""
        if not self._examples:
            return {}
        names = list(self._examples)
        sizes = [len(utterances) for utterances in self._examples.values()]
        vectors = self.embedder().encode([text for several in self._examples.values() for text in several])
        centres = [part.mean(dim=0) for part in vectors.split(sizes)]
        return {"normalise": self.config.normalise, "actions": dict(zip(names, centres, strict=True))}

    def _loss(self, anchor: Tensor, partner: Tensor, batch: Batch) -> RowLosses:
        if "label_vector" not in batch:
            hard: RowLosses = self.hard_loss(anchor, partner, labels=batch["label"])
            return hard
        return soft_contrast(
            anchor,
            partner,
            batch["label_vector"],
            temperature=self.config.temperature,
            label_temperature=self.config.label_temperature,
        )

    def _labelled(self, table: Table) -> list[_Labelled]:
        """Take the utterances and labels of each objective out of the rows."""
        config = self.config
        utterances = _plain(table) if config.normalise else table.column("utterance").to_pylist()
        if config.mode == "single":
            return [_Labelled("actions", utterances, table.column("label").to_pylist(), config.balance or "none")]
        sets: list[_Labelled] = []
        balances: tuple[tuple[str, Balance], ...] = (("acts", "extend"), ("slots", "none"))
        for name, balance in balances:
            values = table.column(name).to_pylist() if name in table.column_names else [[]] * len(table)
            named = [(text, one) for text, several in zip(utterances, values, strict=True) for one in _names(several)]
            if not named:
                raise InputError(
                    f"{table.name}: no row has a value in column '{name}'; joint mode learns from acts and slots. Give "
                    "both, or use --mode single with the column 'label'."
                )
            texts, labels = zip(*named, strict=True)
            sets.append(_Labelled(name, texts, labels, config.balance or balance))
        return sets

    def _without_rare(self, given: _Labelled, stages: Stages) -> _Labelled:
        """Leave out labels with too few utterances; two labels at least have to be left to be told apart."""
        least, counts = self.config.min_utterances, Counter(given.labels)
        rare = [label for label, count in counts.items() if count < least]
        if len(counts) - len(rare) < 2:
            raise InputError(
                f"of {len(counts)} {'labels' if given.objective == 'actions' else given.objective} "
                f"{len(counts) - len(rare)} have {least} utterances or more, and 2 are needed; give more rows with the "
                "same label, or lower --min-utterances."
            )
        if rare:
            few = "one utterance" if least == 2 else f"fewer than {least} utterances"
            stages.say(f"left out {len(rare)} {given.objective} with {few}, such as '{rare[0]}'")
        kept = [i for i, label in enumerate(given.labels) if counts[label] >= least]
        return _Labelled(
            given.objective,
            [given.utterances[i] for i in kept],
            [given.labels[i] for i in kept],
            given.balance,
        )

    def _label_table(self, names: Sequence[str], stages: Stages) -> LabelTable | None:
        if all(name.isdigit() for name in names):
            stages.say("all labels are numbers, which mean nothing as texts: targets are hard")
            return None
        name = self.config.label_encoder

        def vectors() -> np.ndarray:
            return load_text_encoder(name).served().encode(list(names), precision="fp32").numpy()

        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
        stages.array("label_vectors", vectors, depends_on={"labels": digest, "label_encoder": name})
        return LabelTable(stages.path("label_vectors.npy"))


def _plain(table: Table) -> list[str]:
    """Return the utterances in the form of transcripts; one of which nothing is left is refused."""
    plain = [plain_utterance(text) for text in table.column("utterance").to_pylist()]
    for i, text in enumerate(plain):
        if not text:
            raise InputError(
                f"{table.where(i)}: of the utterance {table[i]['utterance']!r} no word is left; an utterance has at "
                "least one letter or digit. Remove the row, or use --no-normalise."
            )
    return plain


def _names(values: Sequence[str]) -> list[str]:
    """Return the different names of a field; a file of texts has several of them between commas."""
    parts = (part.strip() for value in values for part in value.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def _examples(table: Table, normalise: bool) -> dict[str, list[str]]:
    """Return some utterances of each action, by its name."""
    found: dict[str, list[str]] = {}
    for row in table.stream():
        name = row["label"] if "label" in row else action_label(_names(row["acts"]), _names(row["slots"]))
        several = found.setdefault(name, [])
        if len(several) < KEPT_UTTERANCES:
            several.append(plain_utterance(row["utterance"]) if normalise else row["utterance"])
    return found


def _refuse_alike(names: Sequence[str], table: str) -> None:
    """Refuse labels that are one to a reader: they would be pushed apart."""
    seen: dict[str, str] = {}
    for name in names:
        key = " ".join(re.findall(r"[^\W_]+", name)).casefold() or name
        if key in seen:
            raise InputError(
                f"{table}: the labels '{seen[key]}' and '{name}' differ only in case, spaces or punctuation; a label "
                "has one name. Write one of them in all rows."
            )
        seen[key] = name


def _pairs(sets: Sequence[_Labelled], number: Mapping[str, int], seed: int) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(seed)
    for one in sets:
        for i, j in LabelPairs(one.balance).of(one.labels, random).tolist():
            yield {
                "anchor": one.utterances[i],
                "partner": one.utterances[j],
                "label": number[one.labels[i]],
                "objective": one.objective,
                "name": one.labels[i],
            }
