"""WordNet as a reverse dictionary: from a definition to the word.

Source: Fellbaum (ed.) 1998, "WordNet: An Electronic Lexical Database"; WordNet 3.1, Princeton University.
"""

from __future__ import annotations

import hashlib
import html
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from likewise.data.assets import WORDNET_31, fetch
from likewise.data.cache import cache_folder
from likewise.data.retrieval_data import RetrievalData
from likewise.errors import InputError, unknown

__all__ = ["NUM_DEV", "NUM_TEST", "ReverseDictionary", "Synset", "parse_wordnet", "reverse_dictionary", "without_names"]

NUM_TEST = 1000
"""Held-out synsets that results are quoted on."""
NUM_DEV = 500
"""Held-out synsets that settings are chosen by."""
SPLIT_SEED = "likewise reverse dictionary 1"
"""Goes into the order in which synsets are held out; another seed is another split."""
PARSED_LAYOUT = 1
"""Version of the stored form of the parsed file."""

_SYNSET = re.compile(r"<SYNSET><ID>([^<]*)</ID>(.*?)</SYNSET>", re.DOTALL)
_LITERAL = re.compile(r"<LITERAL>([^<]*)<")
_DEFINITION = re.compile(r"<DEF>([^<]*)</DEF>")
_PART_OF_SPEECH = re.compile(r"<POS>([^<]*)</POS>")
_SYNTAX_MARK = re.compile(r"\((?:a|p|ip)\)$")
_PARTS_OF_SPEECH = {"n": "noun", "v": "verb", "a": "adjective", "b": "adverb"}


@dataclass(frozen=True)
class Synset:
    """A meaning, and the words that have it."""

    id: str
    """For example "ENG31-02083346-n"."""
    words: tuple[str, ...]
    """Synonyms, the usual one first, each a word or a phrase."""
    part_of_speech: str
    """noun, verb, adjective or adverb."""
    definition: str
    """What the words mean, without examples."""
    is_instance: bool
    """Whether it is a single person, place or event rather than a kind of thing."""


def word_key(word: str) -> str:
    """Return what tells words apart: "Turkey" and "turkey" are one candidate, as they are to an uncased encoder.

    Example:
        >>> word_key("Turkey")
        'turkey'
    """
    return " ".join(word.casefold().split())


def parse_wordnet(path: Path) -> list[Synset]:
    """Read the synsets of a WordNet file in XML, a synset a line.

    Marks of syntax behind adjectives ("galore(ip)") are taken off.

    Raises:
        InputError: There is no synset in the file.
    """
    synsets = []
    for found in _SYNSET.finditer(path.read_text(encoding="utf-8")):
        name, body = found.groups()
        definition, part = _DEFINITION.search(body), _PART_OF_SPEECH.search(body)
        words = [html.unescape(_SYNTAX_MARK.sub("", word)).strip() for word in _LITERAL.findall(body)]
        synsets.append(
            Synset(
                name,
                tuple(dict.fromkeys(word for word in words if word)),
                _PARTS_OF_SPEECH.get(part[1] if part else "", "other"),
                html.unescape(definition[1]).strip() if definition else "",
                "<TYPE>INSTANCE_HYPERNYM</TYPE>" in body,
            )
        )
    if not synsets:
        raise InputError(f"{path.name} holds no synset; a WordNet file in XML has <SYNSET> elements.")
    return synsets


def without_names(synsets: Iterable[Synset]) -> list[Synset]:
    """Leave out words that are written with a capital letter, and synsets that have no other.

    These are names of persons, places and species, and abbreviations: a quarter of WordNet's words, which nobody asks
    a reverse dictionary for, and which an encoder can only know by heart.

    Example:
        >>> canine = Synset("1", ("Canis familiaris", "dog"), "noun", "a pet", False)
        >>> without_names([canine, Synset("2", ("Texas",), "noun", "a state", True)])[0].words
        ('dog',)
    """
    common = (replace(one, words=tuple(word for word in one.words if word == word.lower())) for one in synsets)
    return [synset for synset in common if synset.words]


class ReverseDictionary:
    """Definitions to find words by, with synsets held out so that nothing about their words is trained on.

    ``test`` and ``dev`` are synsets drawn at random (by a digest of seed and id, so the draw never changes) among those
    whose definition stands only once and which are no single person, place or event. ``train`` is every synset that
    has none of the held-out words and none of their synonyms: no word that shares any synset with a held-out word.
    No word of ``dev`` is a word of ``test`` or a synonym of one.

    Args:
        synsets: All of them.
        num_test: Synsets to hold out for results.
        num_dev: Synsets to hold out for choosing settings.
        seed: Goes into the draw.

    Raises:
        ValueError: There are too few synsets to hold out so many.
    """

    def __init__(
        self, synsets: Sequence[Synset], *, num_test: int = NUM_TEST, num_dev: int = NUM_DEV, seed: str = SPLIT_SEED
    ) -> None:
        self.synsets = list(synsets)
        self._of_word: dict[str, list[int]] = defaultdict(list)
        for i, synset in enumerate(self.synsets):
            for key in dict.fromkeys(map(word_key, synset.words)):
                self._of_word[key].append(i)
        drawn = self._eligible(seed)
        test = drawn[:num_test]
        near_test = self._near(test)
        dev = [i for i in drawn if i not in near_test][:num_dev]
        if len(test) < num_test or len(dev) < num_dev:
            raise ValueError(f"{len(drawn)} synsets can be held out, too few for {num_test} to test and {num_dev} dev")
        held_out = near_test | self._near(dev)
        self.test = [self.synsets[i] for i in sorted(test)]
        self.dev = [self.synsets[i] for i in sorted(dev)]
        self.train = [synset for i, synset in enumerate(self.synsets) if i not in held_out]

    def _eligible(self, seed: str) -> list[int]:
        """Return the synsets that may be held out, in the order of the draw."""
        times = Counter(synset.definition for synset in self.synsets)
        fit = [
            i
            for i, one in enumerate(self.synsets)
            if one.words and one.definition and times[one.definition] == 1 and not one.is_instance
        ]
        return sorted(fit, key=lambda i: hashlib.sha256(f"{seed} {self.synsets[i].id}".encode()).digest())

    def _near(self, held_out: Iterable[int]) -> set[int]:
        """Return every synset that has a word of these synsets or a synonym of such a word."""
        words = {word_key(word) for i in held_out for word in self.synsets[i].words}
        synonyms = {word_key(word) for key in words for i in self._of_word[key] for word in self.synsets[i].words}
        return {i for key in synonyms for i in self._of_word[key]}

    @cached_property
    def words(self) -> dict[str, str]:
        """Every candidate: the spelling of each word by its key. Of several spellings the one with most meanings."""
        spellings: dict[str, Counter[str]] = defaultdict(Counter)
        for synset in self.synsets:
            for word in synset.words:
                spellings[word_key(word)][word] += 1
        return {key: max(found, key=lambda word: (found[word], word)) for key, found in spellings.items()}

    def held_out(self, part: str) -> list[Synset]:
        """Return the synsets of "test" or "dev"."""
        if part not in ("test", "dev"):
            raise unknown("held-out part of demo:wordnet", part, ["test", "dev"])
        return self.test if part == "test" else self.dev

    def retrieval(self, part: str = "test") -> RetrievalData:
        """Return a held-out part as a retrieval: each definition is a query, every word of WordNet a document.

        Args:
            part: "test" for results, "dev" for choosing settings.

        Returns:
            Queries by synset id; documents by ``word_key``; all words of the synset are relevant.
        """
        synsets = self.held_out(part)
        return RetrievalData(
            self.words,
            {synset.id: synset.definition for synset in synsets},
            {synset.id: set(map(word_key, synset.words)) for synset in synsets},
            name=f"demo:wordnet:{part}",
        )

    def rows(self, part: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a part: "train", "dictionary", "dev", "test" or "words"."""
        if part == "train":
            for synset in self.train:
                for word in synset.words:
                    yield {"query": synset.definition, "positive": word, **_about(synset)}
        elif part == "dictionary":
            meant: dict[str, dict[str, None]] = defaultdict(dict)
            for synset in self.train:
                for word in synset.words:
                    meant[self.words[word_key(word)]][synset.definition] = None
            for word, glosses in meant.items():
                yield {"entry": word, "definition": list(glosses)}
        elif part == "words":
            for key, word in self.words.items():
                meanings = [self.synsets[i] for i in self._of_word[key]]
                kinds = dict.fromkeys(synset.part_of_speech for synset in meanings)
                definitions = dict.fromkeys(synset.definition for synset in meanings)
                yield {
                    "text": word,
                    "id": key,
                    "part_of_speech": ", ".join(kinds),
                    "definitions": "; ".join(definitions),
                }
        else:
            for synset in self.held_out(part):
                yield {"query": synset.definition, "positive": list(synset.words), **_about(synset)}


def _about(synset: Synset) -> dict[str, str]:
    return {"part_of_speech": synset.part_of_speech, "synset": synset.id}


def reverse_dictionary(cache: Path | None = None) -> ReverseDictionary:
    """Return the reverse dictionary of WordNet 3.1, fetched and parsed if need be.

    Args:
        cache: Folder of the parsed file; default ``cache_folder() / "demos"``.

    Raises:
        RunError: WordNet cannot be fetched.
    """
    stored = (cache or cache_folder() / "demos") / f"wordnet-{WORDNET_31.version}-{PARSED_LAYOUT}.parquet"
    if not stored.exists():
        _store(parse_wordnet(fetch(WORDNET_31)), stored)
    columns = pq.read_table(stored).to_pydict()
    fields = zip(*columns.values(), strict=True)
    return ReverseDictionary(without_names(Synset(name, tuple(words), *rest) for name, words, *rest in fields))


def _store(synsets: Sequence[Synset], path: Path) -> None:
    names = ("id", "words", "part_of_speech", "definition", "is_instance")
    table = pa.table({name: [getattr(synset, name) for synset in synsets] for name in names})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="making-") as unfinished:
        pq.write_table(table, Path(unfinished) / path.name)
        (Path(unfinished) / path.name).replace(path)
