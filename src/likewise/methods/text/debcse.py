"""DebCSE: positives that mean the same in other words, negatives in the same words that mean something else.

Paper: Miao, Du, Zhang 2023, "DebCSE: Rethinking Unsupervised Contrastive Sentence Embedding Learning in the Debiasing
Perspective", CIKM 2023, arXiv 2309.07396.

What is new there: the pairs of unsupervised methods come from a biased sampler. A sentence and its copy agree in every
word and in length; any other sentence agrees in neither, and may be a paraphrase. So the encoder learns what is common
to the pairs: shared words, equal length. DebCSE draws both from the corpus by inverse propensity weighting on two
similarities, on the surface and in meaning: the pairs are to look like those that people label.

What a row brings: a sentence. Before training (:meth:`DebCSE.prepare`):

1. A frozen encoder h, the scorer, makes a vector of every sentence; ``v_ij = max(0, cos(h_i, h_j))``.
2. Every sentence gets candidates: nearest neighbours by v, sentences that share rare words, random ones; with
   ``u_ij = 1 - lev(words_i, words_j) / max(|i|, |j|)``, the likeness on the surface.
3. The chances of candidate j, clipped and normalised for each i, a text's own copies left out::

       P+(j) ~ [v_ij >= theta+] exp(v_ij / T+) / (eps + u_ij)        a copy would have u = 1: what it prefers
       P-(j) ~ [v_ij <= theta-] exp(u_ij / T-) / (eps + v_ij)        looks alike, and means something else

In training every sentence draws j+ and j- anew in each epoch (with chance rho the positive is its copy, told from it by
dropout alone, as in SimCSE), and with cosines s over temperature t::

    rows[i] = -s(z_i, z_j+) / t + log( sum_k m+_ik exp(s(z_i, z_k+) / t) + sum_k m-_ik exp(s(z_i, z_k-) / t) )

where m leaves out what the scorer calls alike, ``v > theta+``, but never the own positive. A tanh head follows the
pooling in training; the model is used without it.

Deviations. No code is public, and of the paper the abstract alone could be read: it fixes the two similarities, inverse
propensity sampling of positives and negatives, and the biases to remove. Formulas, numbers, mask and mixing are this
library's; these are the points where a choice was open:
    ============================  ==========================================  =====================================
    here                          otherwise                                   why
    ============================  ==========================================  =====================================
    thresholds are quantiles of   numbers (0.8 and 0.6 for a trained          encoders differ in scale; untrained
    the similarities of nearest   encoder)                                    ones call everything alike
    neighbours unless given
    a text without a negative     a random sentence of the batch              every other row's positive is one
    brings none                                                               already; it would count twice
    a small corpus: every other   an error                                    nothing is lost: all pairs are seen
    sentence is a candidate
    pairs are drawn in the        a file of triples                           drawn once, false positives would be
    loader, every epoch anew                                                  learned by heart; the file is a sample
    the scorer is refreshed by    every epoch                                 a round ends with a model that can be
    rounds of training                                                        measured; the best is kept
    ============================  ==========================================  =====================================
Batch, rate of learning and temperature are SimCSE's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from likewise import distributed, pairwise
from likewise.data.columns import Column, Row, Text
from likewise.encoders import TextEncoder, Tokens, load_text_encoder
from likewise.errors import InputError
from likewise.heads import TanhProjection, unit_vectors
from likewise.losses import InfoNCE, RowLosses, SimilarityMask
from likewise.methods.base import Contrast, Paper, StepOutput, TextMethod
from likewise.sampling.inverse_propensity import (
    CANDIDATE,
    SOURCES,
    IPWPairSampler,
    check_counts,
    find_candidates,
    quantile_thresholds,
)
from likewise.sampling.pair_report import describe_pairs
from likewise.sampling.surface import SurfaceTexts
from likewise.views import Batch, SampledPairs

if TYPE_CHECKING:
    from likewise.data import Stages, Table
    from likewise.encoders import Embedder

__all__ = ["Config", "DebCSE"]

DRAWN_AT_ONCE = 1024
"""Rows of the file of pairs that are drawn at a time."""


@dataclass(frozen=True)
class Config:
    """Settings of ``debcse``; the defaults are this library's (the paper's are not public)."""

    temperature: float = 0.05
    """Divisor of the cosines, > 0 (SimCSE: 0.05)."""
    head: bool = True
    """Put a fresh tanh projection after the pooling in training; it is no part of the model."""
    hard_negatives: bool = True
    """Draw a hard negative for each sentence too."""
    mask: bool = True
    """Leave negatives out that the scorer calls as alike as a positive has to be."""
    copies: float = 0.5
    """Chance of a sentence to be its own positive, as in SimCSE, in [0, 1]; 1: no other positives."""
    weighting: Literal["sampling", "loss"] = "sampling"
    """Where the weights of pairs go: into the chance of a pair to be drawn, or into the loss of pairs drawn evenly."""
    positive_threshold: float | None = None
    """Least semantic similarity of a positive, the cosine of the scorer's vectors (0.8 suits a trained encoder); above
    1: copies alone. Not given: the 0.9 quantile over all pairs of nearest neighbours."""
    negative_threshold: float | None = None
    """Largest semantic similarity of a hard negative, not above that of positives (0.6 suits a trained encoder). Not
    given: the 0.5 quantile over all pairs of nearest neighbours."""
    positive_temperature: float = 0.1
    """Divisor of the semantic similarity in a positive's weight, > 0; small: the most similar one alone."""
    negative_temperature: float = 0.2
    """Divisor of the surface similarity in a negative's weight, > 0; small: the one of the most shared words alone."""
    epsilon: float = 0.1
    """Added to propensities, > 0; large (1000): nothing is divided out, pairs are drawn by what is wanted of them."""
    max_weight: float = 10.0
    """Largest weight of a candidate, >= 1, in medians of the weights of its sentence."""
    surface_measure: Literal["edit", "bigram", "length"] = "edit"
    """What surface similarity is: edit distance of words, shared pairs of neighbouring words, or the ratio of
    lengths."""
    nearest_candidates: int = 64
    """Candidates of a sentence that are its nearest neighbours by the scorer, >= 0."""
    random_candidates: int = 64
    """Candidates that are drawn evenly from the corpus, >= 0."""
    surface_candidates: int = 32
    """Candidates that share rare words with it, >= 0."""
    exact_up_to: int = 100_000
    """Sentences up to which nearest neighbours are exact; beyond, an inverted file of faiss finds most of them."""
    scorer: str | None = None
    """Encoder that judges meaning: a folder or a name. Not given: the encoder that training starts from."""
    refresh: int = 0
    """Times that training goes on for another round with pairs judged by the encoder as trained so far, >= 0."""


class DebCSE(TextMethod[Config]):
    """Sentence embeddings from pairs drawn by inverse propensity; see the module."""

    paper = Paper(
        "DebCSE: Rethinking Unsupervised Contrastive Sentence Embedding Learning in the Debiasing Perspective",
        venue="CIKM 2023",
        arxiv="2309.07396",
    )
    columns = (Column("text", Text, help="a sentence; the corpus should hold paraphrases"),)
    training_defaults = {
        "batch_size": 64,
        "lr": 3e-5,
        "weight_decay": 0.0,
        "warmup": 0.0,
        "schedule": "linear",
        "clip_norm": 1.0,
        "eval_every": 125,
    }
    encoder_defaults = {"max_tokens": 32}
    validation = "similarity"
    products = {"bias": "likewise.products.bias:Bias"}
    continues = True

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        self.head: nn.Module = TanhProjection(encoder.dim, encoder.dim) if config.head else nn.Identity()
        self.loss = InfoNCE(config.temperature)
        if not 0 <= config.copies <= 1:
            raise InputError(f"copies is {config.copies}; it is a chance, in [0, 1] (usual: 0.5).")
        if config.refresh < 0:
            raise InputError(f"refresh is {config.refresh}; it is 0 (the scorer stays as it is) or more.")
        check_counts(config.nearest_candidates, config.random_candidates, config.surface_candidates)
        self._rule(np.empty((0, 1), CANDIDATE), (1.0, -1.0))  # refuses what cannot be, before anything is made
        self._pairs: SampledPairs | None = None
        self._report: list[Row] = []

    def rounds(self) -> int:
        """One more than the scorer is refreshed."""
        return self.config.refresh + 1

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Judge the corpus, find candidates, and write down what pairs they make; the rows stay the user's."""
        config = self.config
        scorer = previous if previous is not None else self._scorer()
        texts: list[str] = table.column("text").to_pylist()
        made_from: dict[str, Any] = {"table": table.fingerprint, "scorer": scorer.fingerprint}

        def judge() -> np.ndarray:
            stages.say(f"debcse: {len(texts):,} sentences go through the scorer")
            return torch.nn.functional.normalize(scorer.encode(texts, precision="fp32"), dim=1).numpy()

        vectors = stages.array("vectors", judge, depends_on=made_from)
        counts = {
            "nearest": config.nearest_candidates,
            "random": config.random_candidates,
            "surface": config.surface_candidates,
        }
        made_from |= {**counts, "measure": config.surface_measure, "exact_up_to": config.exact_up_to}

        def search() -> np.ndarray:
            stages.say(f"debcse: candidates of {len(texts):,} sentences")
            units = torch.from_numpy(np.array(vectors))
            measure, exact = config.surface_measure, config.exact_up_to
            return find_candidates(texts, units, **counts, measure=measure, exact_up_to=exact)

        candidates = stages.array("candidates", search, depends_on=made_from)
        sampler = self._rule(candidates, None)
        made_from |= {name: getattr(sampler, name) for name in RULE}
        self._report = self._described(sampler, texts, stages, made_from)
        columns = [Column("text", Text), Column("positive", Text), Column("negative", Text, required=False)]
        stages.table("pairs", columns, lambda: _sample(sampler, texts), depends_on=made_from)
        self._pairs = SampledPairs(
            self.encoder.tokenizer,
            table,
            stages.path("candidates.npy"),
            stages.path("vectors.npy"),
            tuple((name, getattr(sampler, name)) for name in RULE),
            config.copies,
            config.hard_negatives,
        )
        return table

    def views(self) -> SampledPairs:
        """Draw a positive and a negative for each sentence, and tokenise all three."""
        if self._pairs is None:
            raise RuntimeError("debcse: views() before prepare(); the candidates are not there yet.")
        return self._pairs

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over sentences, positives and negatives, so that each draws a dropout mask of its own."""
        text: Tokens = batch["text"]
        texts: list[Tokens] = [batch["positive"]] + ([batch["negative"]] if "negative" in batch else [])
        features: Tensor = self.head(self.encoder(text.followed_by(*texts)))
        size = len(batch)
        first, second, negative = unit_vectors(features).split([size, size, len(features) - 2 * size])
        rows = self._contrast(first, second, negative, batch)
        metrics = {
            "positive_surface": batch["positive_surface"].mean(),
            "hard_negatives": float(len(negative)),
        }
        contrast = Contrast(first.detach(), second.detach(), self.config.temperature)
        return StepOutput({"info_nce": rows.mean()}, metrics, contrast)

    def kept(self) -> Mapping[str, Any]:
        """Keep what the pairs were like."""
        return {"pairs": self._report, "surface_measure": self.config.surface_measure}

    def _contrast(self, first: Tensor, second: Tensor, negative: Tensor, batch: Batch) -> RowLosses:
        options: dict[str, Any] = {}
        vectors, weight = batch["positive_vector"], torch.ones_like(batch["positive_weight"])
        some = distributed.any_process(len(negative) > 0)
        if some:
            options["negatives"] = negative
            negative_vectors = batch.inputs.get("negative_vector", vectors[:0])
            negative_weight = batch.inputs.get("negative_weight", weight[:0])
        columns = [_columns(vectors, negative_vectors) if some else distributed.gather_rows(vectors)]
        if self.config.mask and batch["threshold"] < 1:
            options |= {"mask_mod": SimilarityMask(batch["threshold"]), "rows": (batch["text_vector"],)}
        evenly = self.config.weighting == "loss"
        if evenly and some:
            columns.append(_columns(weight, negative_weight).log())
            options["score_mod"] = _weighed
        if "mask_mod" in options or "score_mod" in options:
            options["columns"] = tuple(columns)
        rows: RowLosses = self.loss(first, second, **options)
        return RowLosses(rows.values * batch["positive_weight"], rows.counted) if evenly else rows

    def _scorer(self) -> TextEncoder:
        if self.config.scorer is None:
            return self.start()
        return load_text_encoder(self.config.scorer).served()

    def _rule(self, candidates: np.ndarray, thresholds: tuple[float, float] | None) -> IPWPairSampler:
        """Return the sampler of candidates; ``thresholds`` hold where none are given, else their quantiles."""
        config = self.config
        positive, negative = config.positive_threshold, config.negative_threshold
        if thresholds is None and None in (positive, negative):
            thresholds = quantile_thresholds(candidates)
        high, low = thresholds or (1.0, 0.0)
        return IPWPairSampler(
            candidates,
            positive_threshold=high if positive is None else positive,
            negative_threshold=low if negative is None else negative,
            positive_temperature=config.positive_temperature,
            negative_temperature=config.negative_temperature,
            epsilon=config.epsilon,
            max_weight=config.max_weight,
            evenly=config.weighting == "loss",
        )

    def _described(
        self, sampler: IPWPairSampler, texts: list[str], stages: Stages, made_from: Mapping[str, Any]
    ) -> list[Row]:
        """Write down what the pairs are like, and say it."""
        found = stages.table(
            "report",
            [Column("pairs", Text)],
            lambda: describe_pairs(sampler, SurfaceTexts(texts).lengths),
            depends_on=made_from,
        )
        report = [{**row, **found.extra(i)} for i, row in enumerate(found)]
        by_name = {row["pairs"]: row for row in report}
        high, low = sampler.positive_threshold, sampler.negative_threshold
        for name, bound in (("positive", f"at or above {high:.3f}"), ("negative", f"at or below {low:.3f}")):
            row = by_name[name]
            wanted = self.config.copies < 1 and high <= 1 if name == "positive" else self.config.hard_negatives
            if row["without"] == 1 and wanted:
                stages.say(
                    f"debcse: warning: no sentence has a {name} ({bound}), so there is none in training; the threshold "
                    f"does not fit the scale of the scorer. Leave --{name}-threshold out, and a quantile is taken."
                )
            elif wanted:
                stages.say(
                    f"debcse: {name}s {bound}: surface {row['surface']:.2f}, meaning {row['semantic']:.2f} (random "
                    f"pairs {by_name['random']['surface']:.2f} and {by_name['random']['semantic']:.2f}); "
                    f"{row['without']:.0%} of the sentences have none"
                )
        return report


RULE = tuple(field.name for field in fields(IPWPairSampler) if field.name != "candidates")
"""Settings of the sampler that are not its candidates."""


def _columns(positives: Tensor, negatives: Tensor) -> Tensor:
    """Lay out what belongs to the keys as the loss does: all processes' positives, then all their negatives."""
    return torch.cat([distributed.gather_rows(positives), distributed.gather_rows(negatives)])


def _weighed(score: Tensor, row: pairwise.Side, column: pairwise.Side) -> Tensor:
    """Add the logarithm of the weight of a column, which comes after the vectors."""
    return score + column[1].to(score.dtype)


def _sample(sampler: IPWPairSampler, texts: list[str]) -> Iterator[Row]:
    """Draw a pair of each kind for every text, for people to read; training draws its own."""
    for start in range(0, len(texts), DRAWN_AT_ONCE):
        rows = range(start, min(start + DRAWN_AT_ONCE, len(texts)))
        drawn = sampler.draw(rows, [np.random.default_rng([0, 0, row]) for row in rows])
        for i, row in enumerate(rows):
            made: Row = {"text": texts[row]}
            for name, one in zip(("positive", "negative"), drawn, strict=True):
                found = one.candidate[i]
                if found["row"] >= 0:
                    made[name] = texts[found["row"]]
                    made[f"{name}_surface"] = round(float(found["surface"]), 4)
                    made[f"{name}_semantic"] = round(float(found["semantic"]), 4)
                    made[f"{name}_weight"] = round(float(one.chance[i]), 6)
                    made[f"{name}_source"] = SOURCES[found["source"]]
                elif name == "positive":
                    made |= {"positive": texts[row], "positive_surface": 1.0, "positive_semantic": 1.0,
                             "positive_weight": 1.0, "positive_source": "copy"}  # fmt: skip
            yield made
