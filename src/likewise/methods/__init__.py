"""The public list of methods; each is loaded when it is first asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from likewise.errors import unknown

__all__ = ["METHODS", "MethodEntry", "get_method"]


@dataclass(frozen=True)
class MethodEntry:
    """Where a method is, and what it is for in half a line."""

    where: str
    summary: str


METHODS = {
    "pairs": MethodEntry(
        "likewise.methods.retrieval.pairs:Pairs", "Find the text that answers: in-batch softmax over given pairs"
    ),
    "simcse": MethodEntry(
        "likewise.methods.text.simcse:SimCSE", "Sentence embeddings from bare sentences, or from entailment pairs"
    ),
    "esimcse": MethodEntry(
        "likewise.methods.text.esimcse:ESimCSE",
        "Sentence embeddings from bare sentences of uneven length: repeated words and a queue",
    ),
    "defsent-plus": MethodEntry(
        "likewise.methods.text.defsent_plus:DefSentPlus",
        "Sentence embeddings from a dictionary: each definition finds its entry; and a reverse dictionary",
    ),
    "multicsr": MethodEntry(
        "likewise.methods.text.multicsr:MultiCSR",
        "Sentence embeddings from triples that a language model wrote: written, curated, masked",
    ),
    "whitenedcse": MethodEntry(
        "likewise.methods.text.whitenedcse:WhitenedCSE",
        "Sentence embeddings from bare sentences whose space is a cone: views whitened in shuffled groups",
    ),
    "debcse": MethodEntry(
        "likewise.methods.text.debcse:DebCSE",
        "Sentence embeddings from a corpus that holds paraphrases: pairs drawn against the bias of shared words",
    ),
    "cross-encoder": MethodEntry(
        "likewise.methods.text.cross_encoder:CrossEncoderMethod",
        "Scores of labelled pairs by reading both texts at once: accurate, slow, a teacher",
    ),
    "dse": MethodEntry(
        "likewise.methods.text.dse:DSE", "Scores of pairs from embeddings and a light head, distilled from a teacher"
    ),
    "ccp": MethodEntry(
        "likewise.methods.text.ccp:CCP",
        "Sentence embeddings of many languages in one space, from documents without translations",
    ),
    "2dmse": MethodEntry(
        "likewise.methods.text.mse2d:MSE2D",
        "Embeddings for any speed and size: usable at every number of layers and of dimensions",
    ),
    "moe-cocitation": MethodEntry(
        "likewise.methods.text.moe_cocitation:MoECocitation",
        "One model for several domains of pairs, an expert each; pairs may come from citations",
    ),
    "dialog2flow": MethodEntry(
        "likewise.methods.dialog.dialog2flow:Dialog2Flow",
        "Embeddings of what utterances do in a dialog, and the flow of dialogs as a graph",
    ),
    "simclr": MethodEntry(
        "likewise.methods.vision.simclr:SimCLR", "Embeddings of pictures without labels: two random views of each"
    ),
    "isogclr": MethodEntry(
        "likewise.methods.vision.isogclr:ISogCLR",
        "Embeddings of pictures in small batches, and a temperature for each: which are rare, which frequent",
    ),
    "supcon": MethodEntry(
        "likewise.methods.vision.supcon:SupCon", "Embeddings of pictures with classes: all views of a class are alike"
    ),
    "hydra": MethodEntry(
        "likewise.methods.vision.hydra:Hydra",
        "Embeddings of pictures with classes that share parts: any pair is alike in the dimensions its gate opens",
    ),
    "projection-head": MethodEntry(
        "likewise.methods.vision.projection_head:ProjectionHead",
        "Embeddings of pictures cut at the best layer: any head, every layer of it measured",
    ),
    "moco": MethodEntry(
        "likewise.methods.vision.moco:MoCo",
        "Embeddings of pictures without labels in small batches: negatives from a queue",
    ),
    "mochi": MethodEntry(
        "likewise.methods.vision.mochi:MoCHi",
        "Embeddings of pictures without labels: a queue, and mixtures of its hardest negatives",
    ),
    "bacon": MethodEntry(
        "likewise.methods.vision.bacon:BaCon",
        "Known and new classes in pictures of which some have a label, whatever the sizes of classes",
    ),
    "beclr": MethodEntry(
        "likewise.methods.vision.beclr:BECLR",
        "Embeddings of pictures for tasks with few examples: a slow teacher, and neighbours from a clustered memory",
    ),
    "contrastive-behaviour": MethodEntry(
        "likewise.methods.vision.contrastive_behaviour:ContrastiveBehaviour",
        "Embeddings of pictures against a vector of every other, or the hardest of them; which temperature to choose",
    ),
    "cacr": MethodEntry(
        "likewise.methods.vision.cacr:CACR",
        "Embeddings of pictures from several views of each: far views attract, near pictures repel, no logarithm",
    ),
    "sepclr": MethodEntry(
        "likewise.methods.vision.sepclr:SepCLR",
        "What a set of pictures has and a background set has not: a common and a salient code",
    ),
}
"""Every method by name."""


def get_method(name: str) -> type[Any]:
    """Return the class of a method.

    Raises:
        InputError: No method has this name; the nearest is offered.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    module, _, cls = METHODS[name].where.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), cls)
    return found
