"""The demo corpora: real data behind ``demo:NAME``, fetched on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from likewise.data.assets import WORDNET_31
from likewise.data.blocks import Block
from likewise.data.readers import read_rows
from likewise.data.retrieval_data import RetrievalData
from likewise.data.sources import Source
from likewise.data.wordnet import SPLIT_SEED, reverse_dictionary
from likewise.errors import InputError, unknown

__all__ = ["DEMOS", "Demo", "demo_retrieval", "demo_source"]


@dataclass(frozen=True)
class Demo:
    """A demo corpus.

    Args:
        about: What it is, in one line.
        parts: What each part holds, by its name; the first one is meant where none is named.
        rows: Yields the rows of a part.
        retrieval: Makes a retrieval task of a held-out part; None where there is none.
        identity: Changes whenever the rows change.
    """

    about: str
    parts: Mapping[str, str]
    rows: Callable[[str], Iterator[dict[str, Any]]]
    retrieval: Callable[[str], RetrievalData] | None
    identity: tuple[str, ...]


DEMOS: Mapping[str, Demo] = {
    "wordnet": Demo(
        about="reverse dictionary: from a definition to the word (WordNet 3.1, English)",
        parts={
            "train": "pairs of query (a definition) and positive (a word that has it)",
            "dictionary": "the words of train, each with all its definitions: entry and definition (a list)",
            "dev": "500 held-out definitions with all their words, for choosing settings",
            "test": "1,000 held-out definitions with all their words, for results",
            "words": "every word that is no name, the candidates: text, with its definitions beside it",
        },
        rows=lambda part: reverse_dictionary().rows(part),
        retrieval=lambda part: reverse_dictionary().retrieval(part),
        identity=(WORDNET_31.sha256, SPLIT_SEED, "2"),
    ),
}
"""The demo corpora by name."""


def demo_source(source: str) -> Source:
    """Make a source of ``demo:NAME[:part]``.

    Raises:
        InputError: There is no such demo or part.
    """
    name, part = _parse(source)
    demo = DEMOS[name]
    part = part or next(iter(demo.parts))

    def read(_: int) -> Iterator[Block]:
        return read_rows(demo.rows(part))

    identity = ["demo", name, part, *demo.identity]
    return Source(source, [source], read, identity=identity, content=" ".join(identity))


def demo_retrieval(source: str, split: str = "test") -> RetrievalData:
    """Make a retrieval task of a demo's held-out part.

    Args:
        source: ``demo:NAME`` or ``demo:NAME:part``.
        split: The part where ``source`` names none.

    Raises:
        InputError: There is no such demo or part, or the demo has no retrieval task.
    """
    name, part = _parse(source)
    make = DEMOS[name].retrieval
    if make is None:
        raise InputError(f"demo:{name} has no held-out queries; a retrieval is measured on demo:wordnet.")
    return make(part or split)


def _parse(source: str) -> tuple[str, str | None]:
    name, _, part = source.removeprefix("demo:").partition(":")
    if name not in DEMOS:
        raise unknown("demo", name, DEMOS)
    if part and part not in DEMOS[name].parts:
        raise unknown(f"part of demo:{name}", part, DEMOS[name].parts)
    return name, part or None
