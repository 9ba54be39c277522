"""DefSent+: a definition is trained to say which entry of a dictionary it defines, however many entries there are.

Paper: Xiaodong Liu 2024, "DefSent+: Improving sentence embeddings of language models by projecting definition sentences
into a quasi-isotropic or isotropic vector space of unlimited dictionary entries", arXiv 2405.16153. The baseline in it
is DefSent: Tsukagoshi, Sasano, Takeda 2021, "DefSent: Sentence Embeddings using Definition Sentences", ACL 2021, arXiv
2105.04339 (``table="word"``).

What is new there: DefSent predicts the headword through the output layer of a masked language model, so an entry is one
token of its vocabulary. Here the table of entries is made of what the encoder itself says of the definitions, so that
an entry may be anything that has a definition; the table is frozen, and may be made isotropic. And training is
repeated ("progressive separate training"): each round starts from the first weights again, on a table made by the
encoder of the round before.

What a row brings: an entry (a word, a phrase, a term, a product) and one or more definitions of it. Rows of one entry
are put together.

Objective of a round k, with the encoder f, its pooling, the pooler g and the definitions D_e of an entry e::

    W_e = mean over x in D_e of f_{k-1}(x)         [E, D], no dropout, no gradient; f_0: the encoder as it was loaded
    W   <- 100 * ICA(W)                            only from ``ica_round`` on
    f_k = f_0 trained with, for every definition x and its entry y,  r = g(f(x)),
    rows[x] = -r.W_y + log sum_e exp(r.W_e)        nothing is normalised, and there is no temperature

The model is used without g. With ``table="word"``, r is f(x) through the masked-language head (frozen, and so is the
table of words), W its output layer with bias over the whole vocabulary, and only entries of one token are used.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    the encoder's own pooling in  chosen for each published model (first      an encoder that was trained with
    training and in the table     token or mean; ``entry_pooling``)           another pooling gets worse
    used with that pooling        the mask token in a prompt is recommended   the same (``served_pooling``)
    g fresh (the identity) where  BERT's pooler, or the dense layer of        where another pooling was trained, the
    an encoder was saved by       RoBERTa's masked-language head; as here     pooler in the file is a leftover
    sentence-transformers         for plain checkpoints
    after ICA, a direction        as many components as numbers: it is        after a layer norm there always is one,
    without variation is zeros    divided by its spread                       whose spread is nothing but rounding
    equal definitions of an       each counts                                 one text once
    entry are one
    cut at 150 tokens             padded to 150, never cut                    the same for texts that fit
    the template of a prompt is   put into the text; a mask token cut off,    one vector a text; differs only where a
    put around a text's tokens,   or a second one, gives a wrong number of    text ends in a mark that the encoder
    which are cut to make room    vectors                                     joins to a quotation mark
    AdamW with eps 1e-8           1e-6                                        one optimiser for all methods
    seeded                        not seeded                                  -
    ============================  ==========================================  =====================================
No learning rate is published for BERT-base; the other runs use 1e-6 (SynCSE-partial RoBERTa-base) and
2e-5, then 5e-6 (RoBERTa-large). The default here is 2e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from likewise.data import DICTIONARY_COLUMNS, Column, Dictionary, Number, Stages, Table, Text
from likewise.encoders import Embedder, TextEncoder
from likewise.errors import InputError
from likewise.heads import BackbonePooler, MaskedLanguageHead
from likewise.losses import table_cross_entropy
from likewise.memory import IndependentComponents, PrototypeTable, mean_embeddings
from likewise.methods.base import Paper, StepOutput, TextMethod
from likewise.views import Batch, TextInput, TextViews

__all__ = ["Config", "DefSentPlus"]

PREPARED = (Column("definition", Text), Column("target", Number))
"""The rows that are trained on: a definition, and the row of the table it belongs to."""


@dataclass(frozen=True)
class Config:
    """Settings of ``defsent-plus``."""

    table: Literal["definitions", "pieces", "word"] = "definitions"
    """What an entry's vector is made of: definitions (the mean of their embeddings), pieces (the mean of the encoder's
    own vectors of the entry's word pieces), or word (the output layer of the checkpoint's masked-language head, for
    entries of one token: DefSent)."""
    entry_pooling: Literal["own", "cls", "mean"] = "own"
    """How the embeddings in the table are pooled: own (as in training), cls (AC of the paper) or mean (AMP)."""
    rounds: int = 1
    """How often training is repeated, >= 1, each time from the first weights on a table made by the round before
    (paper: 1 to 3; with --eval-data the best round is kept)."""
    ica_round: int = 0
    """Round from which on the table is made isotropic by independent components, 0: never (paper: 3 for BERT); needs
    more entries than an embedding has numbers."""
    ica_scale: float = 100.0
    """Standard deviation of the isotropic table's columns, > 0 (paper: 100, which makes the softmax nearly hard)."""
    ica_max_iterations: int = 1000
    """Iterations after which the search for independent components ends, >= 1."""
    max_definitions: int | None = None
    """Most definitions of an entry, the first ones, >= 1; all where not given."""
    pooler: Literal["backbone", "identity"] = "backbone"
    """Layer between pooling and table: with the weights of the backbone where the checkpoint brings such (BERT's
    pooler, the dense layer of RoBERTa's masked-language head), or beginning as the identity."""
    served_pooling: Literal["own", "cls", "mean", "prompt"] = "own"
    """Pooling of the trained model: own (as in training), cls, mean, or prompt (the mask token in This sentence :
    "TEXT" means [MASK] ., the paper's recommendation for its models)."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: A value is outside its range, or two do not go together.
        """
        for name in ("rounds", "ica_max_iterations", "max_definitions"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")
        if not self.ica_scale > 0:
            raise InputError(f"ica_scale is {self.ica_scale}; it must be greater than 0.")
        if not 0 <= self.ica_round <= self.rounds:
            raise InputError(f"ica_round is {self.ica_round}; it is 0 (never) or a round, 1 to {self.rounds}.")
        if self.table != "definitions" and (self.rounds > 1 or self.ica_round or self.entry_pooling != "own"):
            raise InputError(
                f"table is {self.table}, which is made of words and not by the encoder; rounds, ica_round and "
                "entry_pooling go with --table definitions. Leave them out."
            )


class DefSentPlus(TextMethod[Config]):
    """Sentence embeddings from a dictionary, and a reverse dictionary with them; see the module."""

    paper = Paper(
        "DefSent+: Improving sentence embeddings of language models by projecting definition sentences into a "
        "quasi-isotropic or isotropic vector space of unlimited dictionary entries",
        venue="2024",
        arxiv="2405.16153",
    )
    columns = DICTIONARY_COLUMNS
    min_rows = 1
    in_batch = False
    training_defaults = {
        "batch_size": 32,
        "lr": 2e-5,
        "weight_decay": 0.0,
        "warmup": 0.0,
        "schedule": "linear",
        "clip_norm": 1.0,
    }
    encoder_defaults = {"max_tokens": 150}
    validation = "similarity"
    products = {
        "lookup": "likewise.products.lookup:Lookup",
        "add-entries": "likewise.products.add_entries:AddEntries",
        "check-lookup": "likewise.products.check_lookup:CheckLookup",
    }

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        if config.served_pooling != "own" and encoder.pooling is None:
            raise InputError(
                f"served_pooling is {config.served_pooling}, but '{encoder.name}' does more than pool the last layer, "
                "and has to be used as it is; leave served_pooling out, or choose --pooling cls or mean."
            )
        if config.served_pooling == "prompt":
            encoder.pooled("prompt")  # says so now where it cannot be
        self.words = _frozen_words(encoder) if config.table == "word" else None
        self.pooler: BackbonePooler | None = None
        if self.words is None:
            fresh = config.pooler == "identity"
            self.pooler = BackbonePooler(encoder.dim) if fresh else BackbonePooler.of(encoder)
        self.table: PrototypeTable | None = None  # until the rows are prepared
        self._entries: list[str] = []
        self._components: IndependentComponents | None = None
        self._maker: dict[str, Tensor] = {}  # weights that made the table; new entries are made with them too

    def rounds(self) -> int:
        """Return how often training is repeated."""
        return self.config.rounds

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Gather the dictionary, make the table of entries, and return a row for each definition."""
        dictionary = Dictionary.of(table, most=self.config.max_definitions)
        numbers = {entry: number for number, entry in enumerate(dictionary.entries)}
        if self.words is not None:
            numbers = self._single_tokens(dictionary.entries)
            if len(numbers) < len(dictionary.entries):
                left_out = len(dictionary.entries) - len(numbers)
                stages.say(f"{left_out:,} of {len(dictionary.entries):,} entries are not one token and are left out")
            dictionary = dictionary.restricted(numbers)
        dictionary.check_size()
        stages.say(dictionary.report)
        self._entries = dictionary.entries
        made_of = {"dictionary": dictionary.fingerprint, "table": self.config.table}
        if self.config.table == "pieces":
            self.table = self._of_pieces(stages, made_of)
        elif self.config.table == "definitions":
            self.table = self._of_definitions(dictionary, stages, made_of, previous)
        of_entry = list(numbers.values())
        return stages.table(
            "definitions",
            PREPARED,
            lambda: ({"definition": one, "target": of_entry[number]} for one, number in dictionary.pairs()),
            depends_on=made_of,
        )

    def views(self) -> TextViews:
        """Tokenise a definition; which entry it belongs to comes along."""
        return TextViews(self.encoder.tokenizer, {"definition": TextInput("definition")}, values=("target",))

    def training_step(self, batch: Batch) -> StepOutput:
        """Ask each definition for its entry among all."""
        pooled, target = self.encoder(batch["definition"]), batch["target"].long()
        if self.words is not None:
            words = self.encoder.token_embedding
            losses = table_cross_entropy(self.words.transform(pooled).to(words), words, target, bias=self.words.bias)
        else:
            entries = self._prepared().vectors
            losses = table_cross_entropy(self._mapped(pooled).to(entries), entries, target)
        return StepOutput({"entry": losses.mean()})

    def embedder(self) -> TextEncoder:
        """Keep the tower, without the pooler, with the pooling that was asked for."""
        pooling = self.config.served_pooling
        return (self.encoder if pooling == "own" else self.encoder.pooled(pooling)).served()

    def kept(self) -> Mapping[str, Any]:
        """Keep what a lookup needs: entries, table, pooler, and what new entries are made with."""
        ica = self._components
        return {
            "entries": list(self._entries),
            "table": None if self.table is None else self.table.vectors.cpu(),
            "version": None if self.table is None else self.table.version,
            "head": _copied(self.words if self.words is not None else self.pooler),
            "activation": None if self.pooler is None else type(self.pooler.activation).__name__.lower(),
            "pooling": None if self.config.served_pooling == "own" else self.encoder.pooling,
            "entry_pooling": None if self.config.entry_pooling == "own" else self.config.entry_pooling,
            "maker": dict(self._maker),
            "ica": None if ica is None else {"shift": ica.shift, "matrix": ica.matrix},
        }

    def _prepared(self) -> PrototypeTable:
        if self.table is None:
            raise ValueError("DefSentPlus: there is no table of entries yet; call prepare before a training step.")
        return self.table

    def _mapped(self, pooled: Tensor) -> Tensor:
        assert self.pooler is not None  # noqa: S101 - there is one wherever there is a table
        mapped: Tensor = self.pooler(pooled)
        return mapped

    def _of_definitions(
        self, dictionary: Dictionary, stages: Stages, made_of: Mapping[str, Any], previous: Embedder | None
    ) -> PrototypeTable:
        """Make the table of what the encoder, or that of the round before, says of the definitions."""
        maker = self.encoder
        if isinstance(previous, TextEncoder):
            own = self.encoder.pooling
            maker = previous if self.config.served_pooling == "own" or own is None else previous.pooled(own)
        self._maker = _copied(maker)
        if self.config.entry_pooling != "own":
            maker = maker.pooled(self.config.entry_pooling)

        def means() -> np.ndarray:
            texts, owner = zip(*dictionary.pairs(), strict=True)
            found: np.ndarray = mean_embeddings(maker, texts, torch.tensor(owner), len(dictionary.definitions)).numpy()
            return found

        made_of = {**made_of, "encoder": maker.fingerprint}
        vectors = torch.from_numpy(np.array(stages.array("entries", means, depends_on=made_of)))
        version = maker.fingerprint
        if self.config.ica_round and stages.round >= self.config.ica_round:
            self._components = self._isotropic(vectors, stages, made_of)
            vectors, version = self._components(vectors), f"{version} ica"
        return PrototypeTable(vectors, version)

    def _isotropic(self, vectors: Tensor, stages: Stages, made_of: Mapping[str, Any]) -> IndependentComponents:
        config = self.config

        def fitted() -> np.ndarray:
            found = IndependentComponents.fit(
                vectors, scale=config.ica_scale, max_iterations=config.ica_max_iterations, warn=stages.say
            )
            stages.say(f"the table is made isotropic: {found.iterations} iterations")
            return torch.cat([found.shift[None], found.matrix]).numpy()

        settings = {"scale": config.ica_scale, "max_iterations": config.ica_max_iterations}
        stored = torch.from_numpy(np.array(stages.array("ica", fitted, depends_on={**made_of, **settings})))
        return IndependentComponents(stored[0], stored[1:])

    def _of_pieces(self, stages: Stages, made_of: Mapping[str, Any]) -> PrototypeTable:
        """Make the table of the vectors that the encoder reads the entries' word pieces as."""
        words = self.encoder.token_embedding.detach().cpu()
        if words.shape[1] != self.encoder.dim:
            raise InputError(
                f"word pieces have {words.shape[1]} numbers and embeddings {self.encoder.dim}, so that --table pieces "
                "cannot be told from a definition; use --table definitions."
            )
        made_of = {**made_of, "encoder": self.encoder.fingerprint}

        def means() -> np.ndarray:
            pieces = [self._pieces(entry) for entry in self._entries]
            return torch.stack([words[one].double().mean(0).float() for one in pieces]).numpy()

        vectors = torch.from_numpy(np.array(stages.array("entries", means, depends_on=made_of)))
        return PrototypeTable(vectors, f"{self.encoder.fingerprint} pieces")

    def _single_tokens(self, entries: list[str]) -> dict[str, int]:
        """Return the id of every entry that is one token."""
        unknown = self.encoder.tokenizer.tokenizer.unk_token_id
        pieces = {entry: self._pieces(entry) for entry in entries}
        return {entry: one[0] for entry, one in pieces.items() if len(one) == 1 and one[0] != unknown}

    def _pieces(self, entry: str) -> list[int]:
        found: list[int] = self.encoder.tokenizer.tokenizer(entry, add_special_tokens=False)["input_ids"]
        if not found:
            raise InputError(f"the entry {entry!r} has no token in the encoder's vocabulary; leave it out.")
        return found


def _frozen_words(encoder: TextEncoder) -> MaskedLanguageHead:
    """Return the checkpoint's masked-language head; it and the table of words are trained no further."""
    from likewise.encoders import masked_language_weights

    if masked_language_weights(encoder) is None:
        raise InputError(
            f"'{encoder.name}' brings no masked-language head, which --table word predicts entries with; use --table "
            "pieces or definitions, or an encoder as a masked language model was saved (bert-base-uncased)."
        )
    encoder.token_embedding.requires_grad_(False)
    return MaskedLanguageHead.of(encoder).requires_grad_(False)


def _copied(module: torch.nn.Module | None) -> dict[str, Tensor]:
    state = {} if module is None else module.state_dict()
    return {name: value.detach().cpu().clone() for name, value in state.items()}
