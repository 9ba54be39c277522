"""2DMSE: one encoder whose embeddings are usable at any depth (layers run) and any width (numbers kept).

Paper: Li, Li, Li, Xie, Li 2024, "2D Matryoshka Sentence Embeddings", arXiv 2402.14776; its second version, "ESE:
Espresso Sentence Embeddings", ICLR 2025. Widths alone are Kusupati et al. 2022 (MRL), arXiv 2205.13147.

What is new there: MRL trains the first d numbers of an embedding to be an embedding of their own, but every layer has
to be run all the same. Here each step also trains one layer below the last, drawn at random, whole and cut to d, and
draws what it says to what the last layer says. So a user chooses speed and size at every call, and trains once.

What a row brings, by ``objective``: a query and a text that answers it, and optionally texts that do not (``pairs``);
or a sentence alone, whose other view is another dropout mask (``dropout``, as in SimCSE).

Objective, for h_n the pooled output of layer n (of N), h^d its first d numbers, and l the in-batch softmax over cosines
at a temperature (cut first, then normalised); n uniform in {1 .. N-1}, d uniform in {8, 16, 32, ...} below D::

    loss = l(h_N) + l(h_N^d) + a_n (l(h_n) + l(h_n^d)) + c_n T^p mean over texts of KL(softmax(h_N/T) || softmax(h_n/T))

The four published forms of it (``variant``) differ in a_n, c_n, T, p and in which depths and widths take part; see
:class:`likewise.losses.Nested2D`. All layers come from one pass.

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    one pass for all layers       ``paper``: a pass for each of the two       half the cost; the two layers see one
                                  layers; later code: one                     dropout mask
    l is the softmax alone        a sum with an angle and a ranking term      the term that all variants share
                                  of pairs with scores
    the encoder's own pooling     first token                                 first-token pooling of an encoder that
    (cls for --pooling cls)                                                   was trained with means gets worse
    what follows the pooling is   same (``sbert``), nothing follows there     the layer is served as it was trained
    run at every depth            (others)
    a final norm (pre-norm        not applied below the last layer            the same: a cut encoder applies it
    encoders) at every depth
    the divergence is of          ``sbert``: of unit vectors, where the       the other variants have it so
    features without unit norm    model ends in a normalisation
    ``sbert`` weighs layer n by   sentence-transformers 6.2: by 1, and holds  as the published results were made;
    1 / (1 + n)                   the teacher constant                        --layer-weighting, --detach-teacher
    ``ese``: signs of singular    left to a random draw                       a target that flips is none
    vectors are fixed
    (n, d) from seed and step     from the global generator of each process   equal on all processes, and on resuming
    gradient of several           1 / W of it                                 exactness: W processes equal one
    processes equals one's
    ============================  ==========================================  =====================================
The paper's learning rate and length of training are not known; the defaults are those of the reproduction of
ielab (arXiv 2411.17299): batch 128, 5e-5, 128 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from likewise import distributed
from likewise.data.columns import Column, Text
from likewise.encoders import TextEncoder, Tokens
from likewise.errors import InputError
from likewise.heads import unit_vectors
from likewise.losses import InfoNCE, LayerWeighting, Nested2D, NestedVariant, nested_widths, other_texts
from likewise.methods.base import Contrast, Paper, StepOutput, TextMethod
from likewise.views import Batch, TextInput, TextViews

__all__ = ["MSE2D", "Config"]


@dataclass(frozen=True)
class Config:
    """Settings of ``2dmse``."""

    objective: Literal["pairs", "dropout"] = "pairs"
    """What is alike: the query and the positive of a row (pairs), or a sentence under two dropout masks (dropout)."""
    variant: NestedVariant = "paper"
    """Which published form: paper, improved (weaker lower layers, stronger divergence), sbert (sentence-transformers),
    ese (Espresso: every layer in every step, the first numbers drawn to a compression of all)."""
    temperature: float = 0.05
    """Divisor of the cosines, > 0 (official: a scale of 20)."""
    dims: tuple[int, ...] = ()
    """Widths to draw from, each from 1 to the encoder's; where not given, 8, 16, 32, ... below it (sbert: and itself;
    ese: 128)."""
    layers: tuple[int, ...] = ()
    """Depths below the last to train, each from 1 to one less than the encoder's; all where not given."""
    layer_weight: float = 1.0
    """Multiplier of the losses below the last layer, >= 0."""
    kl_weight: float = 1.0
    """Multiplier of the divergence, >= 0. With both at 0, only the last layer is trained: widths alone (MRL)."""
    kl_temperature: float | None = None
    """Divisor of the features in the divergence, > 0; where not given, the variant's: 1, of sbert 0.3."""
    layer_weighting: LayerWeighting | None = None
    """How the loss of layer n is weighted: uniform 1, linear 1 / (1 + n), log 1 / (1 + log(1 + n)); where not given, as
    the variant does: paper 1, improved 1 / n, sbert linear, ese log."""
    detach_teacher: bool = False
    """Whether the divergence moves the lower layer alone, and not the last one too."""


class MSE2D(TextMethod[Config]):
    """Embeddings that can be cut to the first layers and the first numbers; see the module."""

    paper = Paper("2D Matryoshka Sentence Embeddings", venue="2024; ESE: ICLR 2025", arxiv="2402.14776")
    columns = (
        Column("query", Text, help="what is asked or looked up"),
        Column("positive", Text, help="a text that answers it, or says the same"),
        Column("negative", Text, required=False, many=True, help="one or more texts that do not (hard negatives)"),
        Column("text", Text, required=False, help="with --objective dropout, and then alone: a sentence"),
    )
    pair = ("query", "positive")
    roles = {"query": "query", "positive": "document", "negative": "document"}
    keep_apart = ("query", "positive")
    training_defaults = {"batch_size": 128, "lr": 5e-5}
    encoder_defaults = {"max_tokens": 128}

    def __init__(self, config: Config, encoder: TextEncoder) -> None:
        super().__init__(config, encoder)
        self.nested = Nested2D(
            InfoNCE(config.temperature),
            config.dims or nested_widths(encoder.dim, config.variant),
            _depths(config, encoder),
            config.variant,
            layer_weight=config.layer_weight,
            kl_weight=config.kl_weight,
            kl_temperature=config.kl_temperature,
            layer_weighting=config.layer_weighting,
            detach_teacher=config.detach_teacher,
        )
        if self.nested.draw().below:
            encoder.truncated(layers=1)  # says so where a layer has no embedding of its own
        if max(self.nested.dims) > encoder.dim:
            raise InputError(
                f"dims has {max(self.nested.dims)}, but an embedding of '{encoder.name}' has {encoder.dim} numbers; "
                f"give 1 to {encoder.dim}."
            )

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """Pairs and perhaps hard negatives; or one sentence."""
        *of_pairs, text = cls.columns
        return tuple(of_pairs) if config.objective == "pairs" else (Column("text", Text, help=text.help),)

    def views(self) -> TextViews:
        """Tokenise each text once."""
        if self.config.objective == "dropout":
            return TextViews(self.encoder.tokenizer, {"text": TextInput("text")})
        inputs = {
            "query": TextInput("query", role=self.roles["query"]),
            "positive": TextInput("positive", role=self.roles["positive"], with_ids=True),
            "negative": TextInput("negative", role=self.roles["negative"], with_ids=True),
        }
        return TextViews(self.encoder.tokenizer, inputs)

    def training_step(self, batch: Batch) -> StepOutput:
        """One pass over all texts, of which the layers of this step are kept; the objective at each of them."""
        draw = self.nested.draw()
        if self.config.objective == "dropout":
            text: Tokens = batch["text"]
            features = self.encoder(text.repeat(2), return_layers=draw.layers)  # [2B, K, D]
            sets, options = dict(zip(("query", "key"), features.chunk(2), strict=True)), dict[str, Any]()
        else:
            sets, options = self._pairs(batch, draw.layers)
        terms = self.nested(sets, draw, **options)
        metrics: dict[str, Tensor | float] = {"width": float(draw.width)}
        if len(draw.below) == 1:
            metrics["layer"] = float(draw.below[0])
        query, key = (unit_vectors(sets[name][:, -1].detach()) for name in ("query", "key"))
        return StepOutput(terms, metrics, Contrast(query, key, self.config.temperature))

    def after_step(self) -> None:
        """Draw other depths and widths for the next step."""
        self.nested.after_step()

    def _pairs(self, batch: Batch, layers: tuple[int, ...]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Encode pairs and whatever hard negatives the rows bring."""
        texts = batch["positive"].followed_by(batch["negative"]) if "negative" in batch else batch["positive"]
        query, documents = self.encoder.together(batch["query"], texts, return_layers=layers)  # [., K, D]
        positive, negative = documents.split([len(batch), len(texts) - len(batch)])
        if not distributed.any_process("negative" in batch):
            return {"query": query, "key": positive}, {}
        negative_id = batch["negative_id"] if "negative" in batch else batch["positive_id"][:0]
        others = other_texts(batch.row_index, batch["positive_id"], negative_id)
        return {"query": query, "key": positive, "negatives": negative}, others


def _depths(config: Config, encoder: TextEncoder) -> tuple[int, ...]:
    """Return the depths that are trained, the whole encoder last."""
    count = encoder.num_layers
    least = 0 if config.variant in ("sbert", "ese") else 1
    below = config.layers or tuple(range(least, count))
    if not all(least <= layer < count for layer in below):
        raise InputError(
            f"layers is {config.layers}; the encoder '{encoder.name}' has {count}, so {least} to {count - 1} lie below "
            "the last."
        )
    return (*sorted(below), count)
