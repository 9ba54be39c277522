"""Language models that write texts: what a method asks of one, those that run here, and those behind an endpoint."""

from __future__ import annotations

from likewise.generators.base import ContrastiveGenerator, Generator
from likewise.generators.contrastive import ContrastiveLogits, check_contrast, contrastive_logits
from likewise.generators.endpoint import EndpointGenerator, Estimate
from likewise.generators.local import LocalGenerator
from likewise.generators.opening import generator_identity, is_endpoint, open_generator
from likewise.generators.scoring import EncoderScorer, PromptScorer, TripleScorer, parse_score, scoring_prompt
from likewise.generators.triples import first_sentence, sides_lacking, write_triples, writing_prompt

__all__ = [
    "ContrastiveGenerator",
    "ContrastiveLogits",
    "EncoderScorer",
    "EndpointGenerator",
    "Estimate",
    "Generator",
    "LocalGenerator",
    "PromptScorer",
    "TripleScorer",
    "check_contrast",
    "contrastive_logits",
    "first_sentence",
    "generator_identity",
    "is_endpoint",
    "open_generator",
    "parse_score",
    "scoring_prompt",
    "sides_lacking",
    "write_triples",
    "writing_prompt",
]
