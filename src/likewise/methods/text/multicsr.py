"""MultiCSR: sentence embeddings from triples that a language model wrote, refined at three levels.

Paper: Wang et al. 2024, "Large Language Models can Contrastively Refine their Generation for Better Sentence
Representation Learning", NAACL 2024, arXiv 2310.10962.

What is new there: a language model can write the positives and hard negatives that supervised SimCSE takes from people,
but what it writes is noisy. So it is refined where it is written, where triples are put together, and where a batch is
compared. Each of the three can be left out, and the last two work on any triples.

1. Writing (``generator``). For each text a prompt with two examples asks for a sentence that it entails, another for
   one that contradicts it. Each token is chosen by the logits l+ under the instruction and l- under the opposite one,
   behind the same beginning: ``(1 + contrast) l+ - contrast l-``, among tokens with ``p+ >= plausibility max p+``.
2. Curation (``curate``). With u and v the scores, 0 to 5, of how alike (text, positive) and (text, negative) are:
   where ``u < v`` the two change places; then a triple is kept if ``u >= alpha``, ``v <= beta`` and ``u != v``.
3. Masking in the batch (``mask``). A frozen encoder has vectors r1, r2, r3 of the three texts. A pair that it finds too
   alike is no negative: ``w_ij = 0`` where the cosine of r1_i with candidate j is above phi, but ``w_ii = 1``.

Objective, with candidates c = [z2; z3] of the whole batch, cosines s over temperature t::

    masked     rows[i] = -s(z1_i, z2_i) / t + log sum_{j: w_ij = 1} exp(s(z1_i, c_j) / t)
    official   rows[i] = -(1 / M) ( log p_ii + sum_{j != i} log(1 - p_ij) ),   p_i = softmax_j(w_ij s(z1_i, c_j) / t)

A tanh head follows the pooling in training; the model is used without it.

What a row brings: a text; a positive and a negative, unless a generator is to write them; perhaps their two scores.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    ``masked`` leaves a masked    the logit becomes 0, which still adds       what a mask means; the code's is
    candidate out                 e^0, in a binary cross-entropy              ``--objective official``
    log(1 - p) is exact           -inf where p rounds to 1                    the code's loss may become NaN
    the cosine is compared with   both times 20, whatever the temperature     wrong for other temperatures
    phi
    frozen vectors without        with dropout (the frozen encoder is in      equal sentences have cosine 1
    dropout, made once            training mode)
    the frozen encoder by name    a copy in every checkpoint                  it does not change
    and fingerprint
    contrast and plausibility     code of this stage is not released          contrastive decoding's usual form
    of decoding: 0.5 and 0.1
    examples of the prompts are   taken from NLI                              -
    our own
    equal scores leave the roles  swapped by one script, not by the other     it makes no difference
    thresholds always hold        only with ``filter_type 1``                 a setting has an effect
    no gate of 4.0 while writing  min(u, v) <= 4                              every rule here implies it, but those
                                                                              with beta above 4
    an endpoint's model writes    -                                           it does not show its logits
    without contrast
    the encoder's own pooling     first token                                 first-token pooling of an encoder that
    (cls for --pooling cls)                                                   was trained with means gets worse
    the gradient of several       1 / W of it (remote keys carry none)        exactness: W processes equal one
    processes equals one's
    ============================  ==========================================  =====================================
The settings are those of the official README for BERT-base; the rule is its number 15.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from likewise import distributed, pairwise
from likewise.data import CURATION_RULES, CurationReport, CurationRule, Triple
from likewise.data.columns import Column, Number, Row, Text, Vector
from likewise.encoders import TextEncoder, Tokens, load_text_encoder
from likewise.errors import InputError
from likewise.generators import (
    EncoderScorer,
    EndpointGenerator,
    LocalGenerator,
    PromptScorer,
    TripleScorer,
    check_contrast,
    generator_identity,
    is_endpoint,
    open_generator,
    scoring_prompt,
    sides_lacking,
    write_triples,
    writing_prompt,
)
from likewise.heads import TanhProjection, unit_vectors
from likewise.losses import InfoNCE, RowLosses, SimilarityMask, bce_softmax
from likewise.methods.base import Contrast, Paper, SentenceMethod, StepOutput
from likewise.views import Batch, TextInput, TextViews

if TYPE_CHECKING:
    from likewise.data import Stages, Table
    from likewise.encoders import Embedder

__all__ = ["Config", "MultiCSR"]

TEXTS = ("text", "positive", "negative")
SCORES = ("positive_score", "negative_score")
FROZEN = tuple(f"{name}_frozen" for name in TEXTS)
"""Columns of the frozen encoder's vectors."""

SCORE_TOKENS = 8
"""Longest reply to the question for a score."""
SCORED_TOGETHER = 256
"""Triples that an encoder scores at a time."""
ENCODED_TOGETHER = 512
"""Triples that the frozen encoder encodes at a time."""
LOOKED_AT = 512
"""Triples of which the share of masked pairs is estimated before training."""
TOO_MANY_MASKED = 0.2
"""Share of masked pairs from which on a warning is given: the frozen encoder finds everything alike."""


@dataclass(frozen=True)
class Config:
    """Settings of ``multicsr``."""

    generator: str | None = None
    """Language model that writes what rows lack: a folder or hub name of a causal or sequence-to-sequence model, or
    endpoint:MODEL for one behind an endpoint of OpenAI's protocol (key in OPENAI_API_KEY); rows bring all texts where
    not given."""
    endpoint_url: str | None = None
    """Address of the endpoint, with /v1; OpenAI's where not given."""
    contrast: float | None = None
    """How much the opposite instruction counts against each token, >= 0; 0: plain decoding. 0.5 where not given, and 0
    for an endpoint, which does not show its logits."""
    plausibility: float = 0.1
    """Share of the highest probability that a token needs to be chosen with contrast, in [0, 1]."""
    generator_tokens: int = 256
    """Longest text that is written, in tokens, >= 1 (official: 256)."""
    generator_batch: int = 16
    """Rows that are written, or scored by the generator, at a time, >= 1 (official: 16)."""
    token_limit: int = 1_000_000
    """Most tokens, of prompts and replies, that an endpoint may take; what would take more is refused before."""
    price_in: float = 0.0
    """What a million tokens of prompts cost at the endpoint, to tell the cost before."""
    price_out: float = 0.0
    """What a million tokens of replies cost."""
    curate: bool = True
    """Keep only triples whose scores are consistent, with positive and negative in their places."""
    scorer: Literal["encoder", "generator"] | None = None
    """What scores how alike two texts are: the frozen encoder (5 times the cosine) or the generator. Where not given:
    the rows' own scores, else the generator, else the encoder."""
    alpha: float = 3.0
    """Lowest score of a positive, 0 to 5 (official: 3)."""
    beta: float = 3.0
    """Highest score of a negative, 0 to 5 (official: 3)."""
    gap: bool = True
    """Drop triples whose two scores are equal (official: yes)."""
    rule: int | None = None
    """Number of an official rule, 2 to 18, instead of alpha, beta and gap (official ``filter_type``; 15 is theirs)."""
    mask: bool = True
    """Leave pairs out of the batch's negatives that the frozen encoder finds too alike."""
    frozen: str = "all-MiniLM-L6-v2"
    """Encoder that masks, and scores where the scorer is the encoder: anything that --encoder takes (paper:
    unsupervised SimCSE of the same backbone)."""
    phi: float = 0.95
    """Cosine of the frozen encoder above which a pair is no negative, in [-1, 1]; 1: none is masked (paper: 0.95)."""
    objective: Literal["masked", "official"] = "masked"
    """masked: InfoNCE without the masked pairs; official: the released code's binary cross-entropy of a softmax in
    which masked logits are 0."""
    temperature: float = 0.05
    """Divisor of the cosines, > 0 (paper: 0.05)."""
    head: bool = True
    """Put a fresh tanh projection after the pooling in training; it is no part of the model."""

    def __post_init__(self) -> None:
        """Check what can be checked before anything is loaded.

        Raises:
            InputError: A value is out of its range, or two settings do not go together.
        """
        if not -1 <= self.phi <= 1:
            raise InputError(f"phi is {self.phi}; it is a cosine, -1 to 1 (usual: 0.95; 1 masks nothing).")
        if self.rule is not None and self.rule not in CURATION_RULES:
            raise InputError(f"rule is {self.rule}; official rules are numbered 2 to 18. Leave it out for your own.")
        CurationRule(self.alpha, self.beta, self.gap)
        check_contrast(self.contrast or 0.0, self.plausibility)
        if self.scorer == "generator" and self.generator is None:
            raise InputError("the scorer is the generator, and there is none; give --generator, or --scorer encoder.")
        behind_endpoint = self.generator is not None and is_endpoint(self.generator)
        if self.endpoint_url is not None and not behind_endpoint:
            raise InputError(
                "endpoint_url is given, and the generator is none behind an endpoint; give --generator endpoint:MODEL."
            )
        if behind_endpoint and self.contrast:
            raise InputError(
                f"contrast is {self.contrast}, and an endpoint does not show the logits that it needs; leave it out, "
                "or take a generator that runs here."
            )
        if self.generator_batch < 1 or self.generator_tokens < 1:
            raise InputError(
                f"generator_batch is {self.generator_batch} and generator_tokens {self.generator_tokens}; both are at "
                "least 1."
            )

    @property
    def decided_rule(self) -> CurationRule:
        """The rule that holds."""
        return CurationRule(self.alpha, self.beta, self.gap) if self.rule is None else CURATION_RULES[self.rule]

    @property
    def decided_contrast(self) -> float:
        """The contrast that holds."""
        if self.contrast is not None:
            return self.contrast
        return 0.0 if self.generator is not None and is_endpoint(self.generator) else 0.5


class MultiCSR(SentenceMethod[Config]):
    """Sentence embeddings from triples, written, curated and masked; see the module."""

    paper = Paper(
        "Large Language Models can Contrastively Refine their Generation for Better Sentence Representation Learning",
        venue="NAACL 2024",
        arxiv="2310.10962",
    )
    columns = (
        Column("text", Text, help="a sentence (premise)"),
        Column("positive", Text, required=False, help="a sentence that follows from it"),
        Column("negative", Text, required=False, help="a sentence that contradicts it"),
        Column("positive_score", Number, required=False, help="how alike text and positive are, 0 to 5"),
        Column("negative_score", Number, required=False, help="how alike text and negative are, 0 to 5"),
    )
    pair = ("text", "positive")
    free_on_resume = frozenset({"token_limit", "price_in", "price_out", "generator_batch"})
    training_defaults = {
        **SentenceMethod.training_defaults,
        "batch_size": 128,
        "lr": 5e-5,
        "epochs": 3.0,
        "eval_every": 25,
    }

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        self.head: nn.Module = TanhProjection(encoder.dim, encoder.dim) if config.head else nn.Identity()
        self.loss = InfoNCE(config.temperature)
        self.mask = SimilarityMask(config.phi) if config.mask and config.phi < 1 else None

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Write what rows lack, keep the triples that are consistent, and have the frozen encoder look at them."""
        return _Preparation(self.config, stages).run(table)

    def views(self) -> TextViews:
        """Tokenise the three texts; the frozen encoder's vectors of them go along."""
        inputs = {name: TextInput(name) for name in TEXTS}
        return TextViews(self.encoder.tokenizer, inputs, values=() if self.mask is None else FROZEN)

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over all three texts, then each text told from all positives and negatives of the batch."""
        text: Tokens = batch["text"]
        features: Tensor = self.encoder(text.followed_by(batch["positive"], batch["negative"]))
        query, key, negative = unit_vectors(self.head(features)).split([len(batch)] * 3)  # [B, D] each
        options, metrics = self._masking(batch)
        rows: RowLosses
        if self.config.objective == "official":
            rows = bce_softmax(query, key, negatives=negative, temperature=self.config.temperature, **options)
            terms = {"bce": rows.mean()}
        else:
            rows = self.loss(query, key, negatives=negative, **options)
            terms = {"info_nce": rows.mean()}
        return StepOutput(terms, metrics, Contrast(query.detach(), key.detach(), self.config.temperature))

    def _masking(self, batch: Batch) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what the loss is given to mask by, and the share of pairs that are masked."""
        if self.mask is None:
            return {}, {}
        text, *others = (batch[name] for name in FROZEN)
        candidates = torch.cat([distributed.gather_rows(other) for other in others])
        options = {"mask_mod": self.mask, "rows": (text,), "columns": (candidates,)}
        return options, {"masked": _masked_share(text, candidates, self.config.phi)}


class _Preparation:
    """From the user's rows to triples with the frozen encoder's vectors, a file for each stage."""

    def __init__(self, config: Config, stages: Stages) -> None:
        self.config, self.stages = config, stages
        self._frozen: TextEncoder | None = None
        self._generator: LocalGenerator | EndpointGenerator | None = None

    def run(self, table: Table) -> Table:
        config = self.config
        missing = [name for name in TEXTS if name not in table.column_names]
        if missing and config.generator is None:
            raise InputError(
                f"{table.name} brings no {' and no '.join(missing)}; each row needs a text, a positive and a negative. "
                "Name the columns with --columns, or have what is missing written with --generator."
            )
        triples = table if config.generator is None else self._written(table)
        triples = self._curated(self._scored(triples)) if config.curate else self._complete(triples)
        return self._looked_at(triples) if config.mask and config.phi < 1 else triples

    def frozen(self) -> TextEncoder:
        """The frozen encoder, loaded when it is first needed; in evaluation mode, and no part of the method."""
        if self._frozen is None:
            self._frozen = load_text_encoder(self.config.frozen).served().eval()
        return self._frozen

    def generator(self) -> LocalGenerator | EndpointGenerator:
        """The generator, loaded when it is first needed; one for both stages, so that its limit is one."""
        config = self.config
        if self._generator is None:
            self._generator = open_generator(
                config.generator or "",
                url=config.endpoint_url,
                max_new_tokens=config.generator_tokens,
                batch_size=config.generator_batch,
                one_line=True,
                token_limit=config.token_limit,
                prices=(config.price_in, config.price_out),
            )
        return self._generator

    def _written(self, table: Table) -> Table:
        """Stage 1: have the generator write the positives and negatives that rows lack."""
        config = self.config

        def make(start: int) -> Iterator[Row]:
            generator = self.generator()
            lacking = (writing_prompt(row["text"], side) for row in table.stream(start) for side in sides_lacking(row))
            self._tell_cost("writing", generator, lacking)
            texts = ({name: row.get(name) for name in TEXTS} for row in table.stream(start))
            yield from write_triples(
                texts,
                generator,
                beta=config.decided_contrast,
                gamma=config.plausibility,
                batch_size=config.generator_batch,
            )

        depends_on = {
            "rows": table.fingerprint,
            "generator": generator_identity(config.generator or "", config.endpoint_url),
            "contrast": config.decided_contrast,
            "plausibility": config.plausibility,
            "tokens": config.generator_tokens,
        }
        return self.stages.appended("generated", MultiCSR.columns, make, depends_on=depends_on)

    def _scored(self, triples: Table) -> Table:
        """Score how alike the two pairs of each triple are, unless the rows bring scores."""
        config = self.config
        if config.scorer is None and set(SCORES) <= set(triples.column_names):
            _check_scores(triples)
            return triples
        by_generator = config.generator is not None and config.scorer != "encoder"

        def make(start: int) -> Iterator[Row]:
            scorer: TripleScorer = EncoderScorer(self.frozen())
            if by_generator:
                generator = self.generator().answering_in(SCORE_TOKENS)
                pairs = (pair for row in triples.stream(start) for pair in _pairs(row))
                self._tell_cost("scoring", generator, (scoring_prompt(*pair) for pair in pairs))
                scorer = PromptScorer(generator)
            together = config.generator_batch if by_generator else SCORED_TOGETHER
            yield from _with_scores(triples.stream(start), scorer, together)

        identity = (
            generator_identity(config.generator or "", config.endpoint_url)
            if by_generator
            else [config.frozen, self.frozen().fingerprint]
        )
        depends_on = {"triples": triples.fingerprint, "scorer": identity}
        return self.stages.appended("scored", MultiCSR.columns, make, depends_on=depends_on)

    def _curated(self, scored: Table) -> Table:
        """Stage 2: keep what the rule keeps; what is dropped goes into a file of its own, with the reason."""
        rule = self.config.decided_rule
        if rule.overlaps:
            self.stages.say(
                f"the rule keeps positives from {rule.alpha:g} and negatives up to {rule.beta:g}: one score may make "
                "both, so little of what is wrong is found."
            )

        def make() -> Iterator[Row]:
            report = CurationReport()
            with self.stages.path("dropped.jsonl").open("w", encoding="utf-8") as dropped:
                for row in scored:
                    texts = Triple(row["text"], row.get("positive"), row.get("negative"))
                    judged = rule.judge(texts, (row.get(SCORES[0]), row.get(SCORES[1])))
                    report.add(judged)
                    kept = judged._asdict()
                    if judged.dropped is None:
                        del kept["dropped"]
                        yield kept
                    else:
                        dropped.write(json.dumps(kept, ensure_ascii=False) + "\n")
            if not report.kept:
                raise InputError(
                    f"no triple is left to train on: {report}. prepared/dropped.jsonl has the reasons; lower --alpha, "
                    "raise --beta, take another --scorer, or leave the curation out with --no-curate."
                )
            manifest = {"rule": asdict(rule), "counts": report.as_dict(), "triples": scored.fingerprint}
            self.stages.path("curation.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

        columns = [Column(name, Text) for name in TEXTS]
        depends_on = {"scored": scored.fingerprint, "rule": asdict(rule)}
        found = self.stages.table("curated", columns, make, depends_on=depends_on)
        counts = json.loads(self.stages.path("curation.json").read_text(encoding="utf-8"))["counts"]
        self.stages.say(f"curation: {CurationReport.of(counts)} (prepared/curated.jsonl, prepared/dropped.jsonl)")
        return found

    def _complete(self, triples: Table) -> Table:
        """Leave out rows that lack a positive or a negative, where nothing else is curated."""
        left_out = sum(1 for row in triples if not (row.get("positive") and row.get("negative")))
        if not left_out:
            return triples
        self.stages.say(f"{left_out:,} of {len(triples):,} rows lack a positive or a negative and are left out")

        def make() -> Iterable[Row]:
            texts = ({name: row.get(name) for name in TEXTS} for row in triples)
            return (row for row in texts if all(row.values()))

        columns = [Column(name, Text) for name in TEXTS]
        return self.stages.table("complete", columns, make, depends_on={"triples": triples.fingerprint})

    def _looked_at(self, triples: Table) -> Table:
        """Stage 3: vectors of the frozen encoder, without dropout."""
        frozen = self.frozen()

        def make() -> Iterator[Row]:
            rows = triples.stream()
            while group := list(islice(rows, ENCODED_TOGETHER)):
                vectors = frozen.encode([row[name] for name in TEXTS for row in group], precision="fp32")
                for number, row in enumerate(group):
                    own = vectors[number :: len(group)].tolist()
                    yield {**{name: row[name] for name in TEXTS}, **dict(zip(FROZEN, own, strict=True))}

        columns = [*(Column(name, Text) for name in TEXTS), *(Column(name, Vector) for name in FROZEN)]
        depends_on = {
            "triples": triples.fingerprint,
            "frozen": self.config.frozen,
            "frozen_fingerprint": frozen.fingerprint,
        }
        found = self.stages.table("frozen", columns, make, depends_on=depends_on)
        self._tell_masked(found)
        return found

    def _tell_masked(self, rows: Table) -> None:
        """Warn where the frozen encoder finds so many pairs alike that hardly anything would be learned."""
        drawn = np.random.default_rng(0).permutation(len(rows))[:LOOKED_AT]
        sample = rows.rows(drawn.tolist())
        text, *others = (torch.tensor([row[name] for row in sample]) for name in FROZEN)
        alike = (text @ torch.cat(others).T).clamp(max=1.0) > self.config.phi
        own = torch.arange(len(sample))
        alike[own, own] = False
        share = float(alike.sum() / max(alike.numel() - len(sample), 1))
        if share > TOO_MANY_MASKED:
            self.stages.say(
                f"warning: {self.config.frozen} finds {share:.0%} of all pairs more alike than phi "
                f"{self.config.phi:g}, so they are no negatives; its cosines are too high for this phi. Raise --phi, "
                "or take an encoder that was trained by contrast as --frozen."
            )

    def _tell_cost(self, doing: str, generator: LocalGenerator | EndpointGenerator, prompts: Iterable[str]) -> None:
        """Tell what an endpoint will be asked, and refuse what is above the limit, before anything is sent."""
        if isinstance(generator, EndpointGenerator):
            self.stages.say(f"{doing}: {generator.estimate(prompts)}")


def _pairs(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the two pairs of a triple; none of one that is not whole."""
    text, positive, negative = (row.get(name) for name in TEXTS)
    return [(text, positive), (text, negative)] if text and positive and negative else []


def _with_scores(rows: Iterator[Row], scorer: TripleScorer, together: int) -> Iterator[Row]:
    while group := list(islice(rows, together)):
        pairs = [_pairs(row) for row in group]
        scores = iter(scorer.score([pair for of_row in pairs for pair in of_row]))
        for row, of_row in zip(group, pairs, strict=True):
            found = [next(scores) for _ in of_row] or [None, None]
            yield {**{name: row.get(name) for name in TEXTS}, **dict(zip(SCORES, found, strict=True))}


def _check_scores(table: Table) -> None:
    """Refuse scores of the user's that are outside 0 to 5, naming the row."""
    for number, row in enumerate(table):
        for name in SCORES:
            score = row.get(name)
            if score is not None and not 0 <= score <= 5:
                raise InputError(
                    f"{table.where(number)}: column '{name}' is {score:g}; a score is 0 to 5. Mend the row, or have "
                    "the scores made with --scorer encoder."
                )


@torch.no_grad()
def _masked_share(text: Tensor, candidates: Tensor, phi: float) -> Tensor:
    """Return the share of pairs that are masked, over all processes, of those that can be."""
    counts = distributed.row_counts(len(text))
    first_row, total = sum(counts[: distributed.rank()]), sum(counts)
    masked = pairwise.sum(
        text,
        candidates,
        value=lambda cosine: (cosine.clamp(max=1.0) > phi).to(cosine.dtype),
        mask_mod=lambda row, column: row.index != column.index,
        first_row=first_row,
        precision="fp32",
    )
    return distributed.sum_over_processes(masked.sum()) / max(total * (len(candidates) - 1), 1)
