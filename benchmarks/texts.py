"""The texts of the benchmarks: WordNet's definitions and their words, as ``demo:wordnet`` holds them."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from likewise.data import open_table
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder
from likewise.methods import get_method


def pairs(number: int) -> list[dict[str, str]]:
    """Return rows of query (a definition) and positive (a word), spread over the whole table."""
    table = open_table("demo:wordnet", columns=get_method("pairs").columns)
    step = len(table) // number
    rows = [table[place] for place in range(0, step * number, step)]
    return [{"query": row["query"], "positive": row["positive"]} for row in rows]


def encoder(max_tokens: int) -> TextEncoder:
    """Return a fresh all-MiniLM-L6-v2."""
    return load_text_encoder(TextEncoderConfig(max_tokens=max_tokens))


def peer(max_tokens: int) -> Any:
    """Return the same model as a plain ``SentenceTransformer``, with the attention that it chooses itself."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder:
        encoder(max_tokens).save(Path(folder))
        model = SentenceTransformer(folder, device="cpu")
    model.max_seq_length = max_tokens
    return model


def lengths(texts: Sequence[str], max_tokens: int) -> dict[str, float]:
    """Return how many tokens the texts have once they are cut."""
    found = sorted(encoder(max_tokens).tokenizer(list(texts)).lengths.tolist())
    return {
        "mean": statistics.mean(found),
        "median": statistics.median(found),
        "95 %": found[int(0.95 * len(found))],
        "longest": found[-1],
    }
