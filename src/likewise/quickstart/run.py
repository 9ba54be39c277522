"""From nothing to a search: train definition -> word on WordNet, measure before and after on held-out words, index."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likewise import artefact
from likewise.api import train
from likewise.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from likewise.data import RetrievalData
    from likewise.encoders import Embedder
    from likewise.search import Hit

__all__ = ["EXAMPLES", "METRICS", "Quickstart", "quickstart"]

METRICS = ("recall@1", "recall@10", "mrr@10")
"""What is measured before and after."""

EXAMPLES = ("a small house for a dog", "fear of being in closed spaces", "to walk slowly and without a goal")
"""Queries that are asked at the end; none of them is a definition of the data."""

SETTINGS: Mapping[str, Any] = {
    "steps": 160,
    "batch_size": 128,
    "lr": 2e-4,
    "temperature": 0.05,
    "symmetric": True,
    "max_tokens": 64,
    "checkpoint_every": 80,
}
"""Training settings, chosen on the development words (``demo:wordnet:dev``), never on the held-out ones."""


@dataclass(frozen=True)
class Quickstart:
    """What a quickstart made.

    Args:
        before: Figures of the encoder as it comes, on the held-out words.
        after: The same after training.
        seconds: Time of the whole, without the installation.
        model: Folder of the trained model.
        index: Folder of the index over all words.
        report: The HTML report.
        queries: Example queries and what was found.
        geometry: The space in one line, before and after.
        num_words: Size of the candidate list.
        num_queries: Number of held-out definitions.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    seconds: float
    model: Path
    index: Path
    report: Path
    queries: Mapping[str, Sequence[Hit]]
    geometry: Mapping[str, str]
    num_words: int
    num_queries: int

    def as_dict(self) -> dict[str, Any]:
        """Return the document that ``quickstart --json`` writes."""
        return {
            "before": dict(self.before),
            "after": dict(self.after),
            "seconds": round(self.seconds, 1),
            "model": str(self.model),
            "index": str(self.index),
            "report": str(self.report),
            "candidates": self.num_words,
            "held_out": self.num_queries,
            "queries": {query: [hit.as_dict() for hit in hits] for query, hits in self.queries.items()},
            "geometry": dict(self.geometry),
        }


def quickstart(
    out: Path, *, steps: int | None = None, seed: int = 0, say: Callable[[str], None] = lambda _: None
) -> Quickstart:
    """Train a reverse dictionary and put it to use.

    Args:
        out: A new folder for the model, the index and the report.
        steps: Optimiser steps; the quickstart's own number where not given.
        seed: Start of all random numbers.
        say: Told what is going on, a line at a time.

    Returns:
        What was made and measured.

    Raises:
        InputError: ``out`` exists, or the demo data cannot be fetched.
    """
    if out.exists():
        raise InputError(f"{out} exists; give another --out, or remove it first.")
    began = time.perf_counter()
    from likewise.data import open_retrieval

    say("fetching the encoder all-MiniLM-L6-v2 and WordNet (kept for the next time) ...")
    start = artefact.load("all-MiniLM-L6-v2")
    held_out = open_retrieval("demo:wordnet")
    say(f"before: {len(held_out.queries):,} held-out definitions against all {len(held_out.corpus):,} words ...")
    before = _measure(start, held_out)
    say(_figures("before", before.figures))
    settings = {**SETTINGS, "seed": seed, **({"steps": steps} if steps else {})}
    say(f"training pairs: definition -> word, {settings['steps']} steps of {settings['batch_size']} ...")
    model = train("pairs", "demo:wordnet", out=out / "model", **settings)
    say("after: the same words and definitions ...")
    after = _measure(model, held_out)
    say(_figures("after", after.figures))
    index = _index(out / "index", artefact.load(out / "model"), after.documents)
    answers = {query: index.search(query, k=5) for query in EXAMPLES}
    made = Quickstart(
        before=before.figures,
        after=after.figures,
        seconds=time.perf_counter() - began,
        model=out / "model",
        index=out / "index",
        report=out / "report.html",
        queries=answers,
        geometry={"before": before.geometry, "after": after.geometry},
        num_words=len(held_out.corpus),
        num_queries=len(held_out.queries),
    )
    from likewise.quickstart.report import write_report

    write_report(made, out / "model" / "metrics.csv")
    return made


@dataclass(frozen=True)
class _Measured:
    figures: dict[str, float]
    geometry: str
    documents: Tensor


def _measure(model: Embedder, data: RetrievalData) -> _Measured:
    """Embed queries and candidates once; figures and geometry come from the same vectors."""
    from likewise.evaluation import retrieval
    from likewise.geometry import one_line, summary

    documents = model.encode(list(data.corpus.values()), role="document", batch_size=512, progress=True)
    queries = model.encode(list(data.queries.values()), role="query", batch_size=512, progress=True)
    result = retrieval(model, data, metrics=METRICS, query_embeddings=queries, corpus_embeddings=documents, bootstrap=0)
    place = {document: number for number, document in enumerate(data.corpus)}
    answers = documents[[place[min(data.relevant[query], key=place.__getitem__)] for query in data.queries]]
    return _Measured(dict(result.metrics), one_line(summary(queries, answers)), documents)


def _index(folder: Path, model: Embedder, documents: Tensor) -> Any:
    from likewise.search import Index

    return Index.create(folder, model, "demo:wordnet:words", vectors=documents)


def _figures(name: str, figures: Mapping[str, float]) -> str:
    return f"{name}: " + "  ".join(f"{metric} {value:.3f}" for metric, value in figures.items())
