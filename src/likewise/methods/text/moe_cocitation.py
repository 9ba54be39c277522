"""One encoder for several narrow domains: an expert for each, and pairs of texts that are cited together.

Paper: Hallee, Kapur, Patel, Gleghorn, Khomtchouk 2025, "Contrastive Learning and Mixture of Experts Enables Precise
Vector Embeddings in Biological Databases", Scientific Reports, arXiv 2401.15713. It exists in three stages (January
2024, later in 2024, journal); this is the journal's, with the earlier ones' routers as options.

What is new there: positives come from a graph of citations, two texts that a third one cites are alike; and the MLP of
every layer is copied once for each domain of texts. A token that begins a text, in the place of the first special
token, names its domain, and the text goes through that domain's expert. Only one expert runs a text, so that it costs
what the dense encoder costs. At the start all experts are copies, and the model computes what the dense one does.

What a row brings: two texts that belong together and their domain; or, with ``--pairs cocitation``, a text with its id,
its domain and the ids of what it cites, of which the pairs are made.

Objective, of the two sides A, B of n pairs with logits ``S = A B^T / t``::

    mnr       mean_i CE(S_i, i)
    mnr_plus  1/2 ( mean_i CE(S_i, T_i) + mean_j CE(S^T_j, U_j) ),   T_i = i, U_j = j unless official_targets
    and with a router that learns, auxiliary_weight * (its loss, averaged over the two texts of a pair)

after ``z = W2 tanh(W1 LayerNorm(mean of tokens))``, which is kept in the model.

Deviations:
    ==============================  ==========================================  ========================================
    here                            paper / official code                       why
    ==============================  ==========================================  ========================================
    own pair is the target          argmax of similarities within the sides     a long vector would become the target of
                                    (``--official-targets``)                    others; equal for unit vectors
    temperature learned as a log    unconstrained factor (v1, v2)               it can diverge or turn negative
    padding left out of the         mean over all positions                     a text's route would depend on its
    router's mean                                                               batch mates
    mutual information of the       summed over the run without gradient        that loss teaches nothing
    batch
    LayerNorm where the dense       before the expert (v1)                      v1's model starts as another function
    model has it
    texts and domains stay          sorted by length, domains not               official bulk embedding mixes them up
    together
    no routing by token type        an option of the repository                 the domain token says the same
    equal texts never share a       nothing                                     a second copy of a positive is no
    batch                                                                       negative
    ==============================  ==========================================  ========================================
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from likewise.data import Column, Label, Number, Row, Stages, StreamedTable, Table, Text
from likewise.encoders import (
    Domain,
    Embedder,
    ExpertsPlan,
    Router,
    TextEncoder,
    TextEncoderConfig,
    Tokens,
    add_experts,
    add_words,
    load_text_encoder,
)
from likewise.errors import InputError, unknown
from likewise.heads import unit_vectors
from likewise.losses import InfoNCE, RowLosses, alike_targets, load_balance, mutual_information, specified_expert
from likewise.methods.base import Contrast, Paper, StepOutput, TextMethod
from likewise.sampling import cocited_pairs, pairs_never_cocited
from likewise.views import Batch, Swapped, TextInput, TextViews

__all__ = ["Config", "MoECocitation"]

PAIR = ("first", "second")


@dataclass(frozen=True)
class Config:
    """Settings of ``moe-cocitation``."""

    domains: tuple[str, ...] = ()
    """Names of the domains, in their order; those of the data, in alphabetical order, where not given."""
    pairs: Literal["columns", "cocitation"] = "columns"
    """columns: rows are pairs; cocitation: rows are texts that cite each other, and pairs are made of them."""
    held_out: float = 0.0
    """With cocitation: share of the pairs that is not trained on but written to prepared/held_out.jsonl, with as many
    pairs that are never cited together, in [0, 1)."""
    experts: bool = True
    """Copy the MLPs once for each domain; off: one dense encoder for all."""
    domain_token: bool = True
    """Begin each text with a token of its domain; needed by the router enforced."""
    expert_layers: int | None = None
    """Only so many of the last layers get experts, >= 1; all layers where not given (a single one keeps most of the
    gain, paper)."""
    router: Router = "enforced"
    """enforced: by the domain; switch_sentence, topk_sentence, topk_token: learned."""
    top_k: int = 1
    """Experts that share a text or token, with the routers topk_sentence and topk_token (v2: 2 of 8)."""
    num_experts: int | None = None
    """Experts of a router that learns, >= 1; one for each domain where not given (v2: 8)."""
    modulated: bool = False
    """Multiply what is between an expert's two products by a linear map that begins as 1 (v2)."""
    auxiliary: Literal["specified", "balance", "mutual_information"] = "specified"
    """What a router that learns is asked for: the domain's expert, even use, or to tell of the domain."""
    auxiliary_weight: float = 0.05
    """Weight of that loss, >= 0 (v1: 1, specified; v2: 0.05, balance; 0.01, mutual information)."""
    head: Literal["mlp", "tanh", "none"] = "mlp"
    """What follows the pooling: W2 tanh(W1 LayerNorm(.)) (journal), tanh(W .) (v1), or nothing."""
    loss: Literal["mnr", "mnr_plus"] = "mnr_plus"
    """mnr: a text looks for its partner; mnr_plus: both look for each other (all reported runs)."""
    official_targets: bool = False
    """With mnr_plus: take targets from the similarities within each side, as the official code does."""
    temperature: float = 1.0
    """Divisor of the products, > 0 (journal: 1; v1, v2: begins at 0.7 and is learned)."""
    learn_temperature: bool = False
    """Train the temperature with the weights, from the value above."""
    normalise: bool = False
    """Compare unit vectors; the paper compares them as they are. Use a temperature of 0.05 then."""
    default_domain: str | None = None
    """Domain of texts that are encoded without one; where not given, such texts are refused."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: A value is outside its range, or two do not go together.
        """
        if not 0 <= self.held_out < 1:
            raise InputError(f"held_out is {self.held_out}; it is a share of the pairs, 0 or more and less than 1.")
        if self.auxiliary_weight < 0:
            raise InputError(f"auxiliary_weight is {self.auxiliary_weight}; it is 0 or more.")
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}; it must be greater than 0.")
        for name in ("num_experts", "expert_layers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")
        if len(set(self.domains)) < len(self.domains):
            raise InputError(f"domains are {', '.join(self.domains)}; each is named once.")
        if self.experts and self.router == "enforced" and (not self.domain_token or self.num_experts is not None):
            raise InputError(
                "the router enforced sends a text by its domain token to its domain's expert; leave domain_token on "
                "and num_experts out, or choose a router that learns."
            )
        if self.official_targets and self.loss != "mnr_plus":
            raise InputError("official_targets belongs to the loss mnr_plus; choose it, or leave official_targets out.")


class MoECocitation(TextMethod[Config]):
    """Pull pairs of each domain together through experts of their own; see the module."""

    paper = Paper(
        "Contrastive Learning and Mixture of Experts Enables Precise Vector Embeddings in Biological Databases",
        venue="Scientific Reports 2025",
        arxiv="2401.15713",
    )
    columns = (
        Column("first", Text, help="a text"),
        Column("second", Text, help="a text that belongs together with it"),
        Column("domain", Label, help="the domain of both"),
        Column("id", Label, required=False, help="cocitation: what others cite it by"),
        Column("text", Text, required=False, help="cocitation: a text"),
        Column("cites", Label, required=False, many=True, help="cocitation: ids of what it cites"),
    )
    pair = PAIR
    keep_apart = PAIR
    from_data = frozenset({"domains"})
    training_defaults = {"batch_size": 16, "lr": 1e-4, "eval_every": 2500}
    encoder_defaults = {"max_tokens": 512}
    validation = "pair_classification"

    domain_tokens: Tensor

    def __init__(self, config: Config, encoder: TextEncoder, encoder_config: TextEncoderConfig | None = None) -> None:
        super().__init__(config, encoder)
        self._encoder_config = encoder_config
        names = config.domains or ("any",)
        if config.default_domain is not None and config.default_domain not in names:
            raise unknown("domain", config.default_domain, names)
        first = int(encoder.tokenizer([""]).ids[0])
        tokens = [first] * len(names)
        if config.domain_token:
            tokens = add_words(encoder.tower, [f"[{name}]" for name in names], tokens)
        self.domains = {name: Domain(first_token=token) for name, token in zip(names, tokens, strict=True)}
        self.num_experts = config.num_experts or len(names)
        self.encoder = _with_head(encoder, config.head)
        if config.experts:
            add_experts(self.encoder.tower, self._plan(tokens))
        self.loss = InfoNCE(config.temperature, learnable=config.learn_temperature)
        self.register_buffer("domain_tokens", torch.tensor(tokens), persistent=False)

    @classmethod
    def build(cls, config: Config, encoder_config: TextEncoderConfig) -> MoECocitation:
        """Load the tower and build the method on it."""
        return cls(config, load_text_encoder(encoder_config), encoder_config)

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """Pairs with their domain, or texts with what they cite."""
        first, second, domain, *citing = cls.columns
        if config.pairs == "columns":
            return (first, second, domain)
        return (*(dataclasses.replace(one, required=one.name != "cites") for one in citing), domain)

    @classmethod
    def completed(cls, config: Config, table: Table | StreamedTable) -> Config:
        """Find the names of the domains in the data where they were not given."""
        if config.domains:
            return config
        if isinstance(table, StreamedTable):
            raise InputError("streamed data do not say beforehand which domains there are; name them with --domains.")
        return dataclasses.replace(config, domains=tuple(sorted(set(table.column("domain").to_pylist()))))

    @classmethod
    def looked_at(cls, columns: Any) -> tuple[str, ...]:
        """Return the pair, or the texts that pairs are made of."""
        return PAIR if set(PAIR) <= set(columns) else ("text",)

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Make pairs of citations where rows are texts, and give each pair the number of its domain."""
        depends_on = {
            "table": table.fingerprint,
            "domains": list(self.domains),
            "pairs": self.config.pairs,
            "held_out": self.config.held_out,
        }
        columns = [Column("first", Text), Column("second", Text), Column("domain_number", Number)]
        made = self._cocited(table, stages) if self.config.pairs == "cocitation" else table.stream()
        return stages.table("pairs", columns, lambda: self._numbered(table, made), depends_on=depends_on)

    def views(self) -> Swapped:
        """Tokenise both sides, which change places half of the time."""
        inputs = {side: TextInput(side) for side in PAIR}
        return Swapped(TextViews(self.encoder.tokenizer, inputs, values=("domain_number",)), PAIR)

    def training_step(self, batch: Batch) -> StepOutput:
        """Send each pair through its domain's expert, and let its sides find each other."""
        domain = batch["domain_number"].long()  # [B]
        texts = [self._begun(batch[side], domain) for side in PAIR]
        routed = self.config.experts and self.config.router != "enforced"
        both = self.encoder.together(*texts, **({"return_routes": True} if routed else {}))
        features = [x[:, : self.encoder.dim] for x in both]
        first, second = map(unit_vectors, features) if self.config.normalise else features
        terms: dict[str, Tensor] = {self.config.loss: self._paired(first, second)}
        if routed:
            routes = sum(x[:, self.encoder.dim :] for x in both) / 2
            logits = torch.as_tensor(routes).reshape(len(batch), -1, self.num_experts)  # [B, L, N]
            terms["router"] = self.config.auxiliary_weight * self._router_loss(logits, domain)
        query, key = (unit_vectors(x.detach()) for x in features)
        return StepOutput(terms, contrast=Contrast(query, key, self.loss.temperature))

    def start(self) -> TextEncoder:
        """Start from the tower as it was loaded, without tokens of domains, head and experts."""
        return super().start() if self._encoder_config is None else load_text_encoder(self._encoder_config).served()

    def embedder(self) -> TextEncoder:
        """Keep the tower with its head and experts, to be asked for a domain."""
        tower, default = self.encoder.served(), self.config.default_domain
        if not self.config.domain_token:
            return tower
        needed = default is None and self.config.experts and self.config.router == "enforced"
        first = None if default is None else self.domains[default].first_token
        return tower.with_domains(self.domains, needed=needed, first_token=first)

    def _plan(self, tokens: list[int]) -> ExpertsPlan:
        """Say which layers get how many experts, and who goes through which."""
        config, layers = self.config, self.encoder.num_layers
        if config.expert_layers is not None and config.expert_layers > layers:
            raise InputError(f"expert_layers is {config.expert_layers}; the encoder has {layers} layers.")
        enforced = config.router == "enforced"
        return ExpertsPlan(
            self.num_experts,
            tuple(range(layers - (config.expert_layers or layers), layers)),
            config.router,
            tuple(tokens) if enforced else (),
            config.top_k,
            list(self.domains).index(config.default_domain) if enforced and config.default_domain else None,
            config.modulated,
        )

    def _begun(self, tokens: Tokens, domain: Tensor) -> Tokens:
        """Begin each text with the token of its domain."""
        return tokens.starting_with(self.domain_tokens[domain]) if self.config.domain_token else tokens

    def _paired(self, first: Tensor, second: Tensor) -> Tensor:
        if self.config.loss == "mnr":
            losses: RowLosses = self.loss(first, second)
            return losses.mean()
        temperature, official = self.loss.temperature, self.config.official_targets
        return alike_targets(first, second, temperature=temperature, official_targets=official).mean()

    def _router_loss(self, logits: Tensor, domain: Tensor) -> Tensor:
        if self.config.auxiliary == "balance":
            return load_balance(logits)
        if self.config.auxiliary == "mutual_information":
            return mutual_information(logits, domain, len(self.domains), self.config.top_k)
        if self.num_experts != len(self.domains):
            raise InputError(
                f"auxiliary specified asks the router for the expert of the domain, and there are {self.num_experts} "
                f"experts for {len(self.domains)} domains; leave num_experts out, or choose balance."
            )
        return specified_expert(logits, domain).mean()

    def _numbered(self, table: Table, rows: Iterable[Row]) -> Iterator[Row]:
        """Give each pair the number of its domain."""
        number = {name: place for place, name in enumerate(self.domains)}
        for place, row in enumerate(rows):
            if row["domain"] not in number:
                where = table.where(place) if self.config.pairs == "columns" else table.name
                raise unknown(f"{where}: domain", row["domain"], number)
            if row["first"] == row["second"]:
                where = table.where(place) if self.config.pairs == "columns" else table.name
                raise InputError(f"{where}: a text is paired with itself ({row['first'][:40]!r}); remove the pair.")
            yield {"first": row["first"], "second": row["second"], "domain_number": number[row["domain"]]}

    def _cocited(self, table: Table, stages: Stages) -> list[Row]:
        """Make pairs of texts that are cited together, and write down those that are held out."""
        rows = {row["id"]: row for row in table.stream()}
        if len(rows) < len(table):
            raise InputError(
                f"{table.name}: {len(table) - len(rows)} rows have an id that another has; give each its own."
            )
        domains = {name: row["domain"] for name, row in rows.items()}
        pairs = list(cocited_pairs({name: row["cites"] for name, row in rows.items()}, domains))
        if not pairs:
            raise InputError(
                f"{table.name}: no two texts of one domain are cited by a third; check the columns id and cites."
            )
        order = np.random.default_rng(0).permutation(len(pairs))
        held = {pairs[place] for place in order[: round(self.config.held_out * len(pairs))]}
        by_domain = {name: [pair for pair in pairs if domains[pair[0]] == name] for name in self.domains}
        counts = ", ".join(f"{name} {len(own):,}" for name, own in by_domain.items())
        stages.say(f"pairs by co-citation: {counts}; {len(held):,} of them held out")

        def text(pair: tuple[str, str]) -> dict[str, str]:
            return {"first": rows[pair[0]]["text"], "second": rows[pair[1]]["text"], "domain": domains[pair[0]]}

        if held:
            with stages.path("held_out.jsonl").open("w", encoding="utf-8") as file:
                for name, own in by_domain.items():
                    positive = [pair for pair in own if pair in held]
                    members = [one for one, domain in domains.items() if domain == name]
                    negative = pairs_never_cocited(members, own, len(positive), seed=0)
                    for pair, label in [*((one, 1) for one in positive), *((one, 0) for one in negative)]:
                        row = text(pair)
                        out = {"sentence1": row["first"], "sentence2": row["second"], "label": label, "domain": name}
                        file.write(json.dumps(out, ensure_ascii=False) + "\n")
        return [text(pair) for pair in pairs if pair not in held]


def _with_head(encoder: TextEncoder, head: str) -> TextEncoder:
    """Put a fresh head behind the pooling; it stays in the model."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm

    if head == "none":
        return encoder
    width = encoder.dim
    tanh = Dense(width, width, activation_function=nn.Tanh())
    layers = (
        [LayerNorm(width), tanh, Dense(width, width, activation_function=nn.Identity())] if head == "mlp" else [tanh]
    )
    modules = list(encoder.tower)
    modules[len(modules) - int(encoder.normalises) : len(modules) - int(encoder.normalises)] = layers
    tower = SentenceTransformer(modules=modules, prompts=dict(encoder.prompts))
    return TextEncoder(tower.to(encoder.tower.device), encoder.name, like=encoder)
