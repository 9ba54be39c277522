"""The demo corpora: real data behind ``demo:NAME``, fetched on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from likewise.data.assets import (
    EMOJI_CLOUD,
    EMOJI_NAMES,
    LUCIDE_ICONS,
    MNIST_5K,
    OPENMOJI,
    PHOSPHOR_ICONS,
    SITE_ICONS,
    WORDNET_31,
)
from likewise.data.blocks import Block
from likewise.data.digits import DIGITS_SEED, MNIST_SEED, digits, mnist5k
from likewise.data.emoji import EMOJI_PARTS, EMOJI_SEED, emoji
from likewise.data.icons import ICON_PARTS, ICON_SEED, icons
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
        identity: Changes whenever the rows change.
        retrieval: Makes a retrieval task of a held-out part; None where there is none.
    """

    about: str
    parts: Mapping[str, str]
    rows: Callable[[str], Iterator[dict[str, Any]]]
    identity: tuple[str, ...]
    retrieval: Callable[[str], RetrievalData] | None = None


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
        identity=(WORDNET_31.sha256, SPLIT_SEED, "2"),
        retrieval=lambda part: reverse_dictionary().retrieval(part),
    ),
    "digits": Demo(
        about="handwritten digits of 8 x 8 pixels (scikit-learn): image and label",
        parts={"train": "1,300 digits", "test": "497 others"},
        rows=digits,
        identity=(DIGITS_SEED, "1"),
    ),
    "mnist5k": Demo(
        about="handwritten digits of 28 x 28 pixels (500 of each from MNIST): image and label",
        parts={"train": "400 of each digit", "test": "100 others of each"},
        rows=mnist5k,
        identity=(MNIST_5K.sha256, MNIST_SEED, "1"),
    ),
    "emoji": Demo(
        about="emoji as several makers draw them: image, text (the English name), family, concept, category",
        parts=EMOJI_PARTS,
        rows=emoji,
        identity=(EMOJI_CLOUD.sha256, EMOJI_NAMES.sha256, OPENMOJI.sha256, EMOJI_SEED, "1"),
    ),
    "icons": Demo(
        about="icons of one colour of eleven families: image, text (the name in words), family, concept",
        parts=ICON_PARTS,
        rows=icons,
        identity=(SITE_ICONS.sha256, PHOSPHOR_ICONS.sha256, LUCIDE_ICONS.sha256, ICON_SEED, "1"),
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
