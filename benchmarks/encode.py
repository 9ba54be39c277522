"""Encoding texts of natural length: ``encode`` against that of sentence-transformers, and whether anything is lost."""

from __future__ import annotations

from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.nn import functional as F

from benchmarks import texts
from benchmarks.side_by_side import as_results, at_least, at_most, show, show_bars, take_turns, threads
from benchmarks.stored import store
from likewise.data import open_retrieval
from likewise.encoders import TextEncoder
from likewise.evaluation import retrieval

MAX_TOKENS = 256


def run(
    rounds: Annotated[int, typer.Option(help="Timings of each contender.")] = 5,
    number: Annotated[int, typer.Option(help="How many texts.")] = 20_000,
) -> None:
    """Encode the same texts in turns, compare vectors and a retrieval, print, and store."""
    definitions = [row["query"] for row in texts.pairs(number)]
    ours, theirs = texts.encoder(MAX_TOKENS), texts.peer(MAX_TOKENS)
    # The defaults of theirs: fp32, 32 texts a batch, sorted by length.
    vectors: dict[str, Tensor] = {}

    def keep(name: str, found: Tensor) -> None:
        vectors[name] = found

    case = take_turns(
        {"form": "encode", "texts": number},
        {
            "likewise": lambda: keep("likewise", ours.encode(definitions)),
            "likewise fp32": lambda: keep("likewise fp32", ours.encode(definitions, precision="fp32")),
            "sentence-transformers": lambda: keep(
                "sentence-transformers",
                theirs.encode(definitions, convert_to_tensor=True, show_progress_bar=False),
            ),
        },
        rounds=rounds,
        warm_up=0,
    )
    show("encoding", [case], of="likewise")
    exact = vectors["sentence-transformers"]
    cosines = {name: float(F.cosine_similarity(vectors[name], exact).min()) for name in ("likewise", "likewise fp32")}
    figures = _retrieval(ours, TextEncoder(theirs.eval(), "sentence-transformers"))
    lost = max(abs(figures["likewise"][name] - value) for name, value in figures["sentence-transformers"].items())
    bars = [
        at_least("encode: texts/s, times sentence-transformers", case.ratio("sentence-transformers", "likewise"), 2.4),
        at_least(
            "encode in fp32: texts/s, times sentence-transformers",
            case.ratio("sentence-transformers", "likewise fp32"),
            1.0,
        ),
        at_least("encode: least cosine with the fp32 vectors", cosines["likewise"], 0.999),
        at_most("encode: change of any retrieval metric, points of 100", 100 * lost, 0.2),
    ]
    show_bars(bars)
    path = store(
        "encode",
        [0],
        as_results([case]),
        threads=threads(),
        bars=[bar.as_dict() for bar in bars],
        least_cosine=cosines,
        retrieval=figures,
        tokens=texts.lengths(definitions, MAX_TOKENS),
    )
    print(path)


def _retrieval(ours: TextEncoder, theirs: TextEncoder) -> dict[str, dict[str, float]]:
    data = open_retrieval("demo:wordnet:test")
    with torch.inference_mode():
        return {
            "likewise": dict(retrieval(ours, data, bootstrap=0).metrics),
            "sentence-transformers": dict(retrieval(theirs, data, bootstrap=0, precision="fp32").metrics),
        }
