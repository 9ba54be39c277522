"""Icons of one colour with descriptive names, of several families, drawn at 64 pixels, black on nothing."""

from __future__ import annotations

import re
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from likewise.data.assets import LUCIDE_ICONS, PHOSPHOR_ICONS, SITE_ICONS, fetch
from likewise.data.images import StoredImage
from likewise.data.splits import drawn_order
from likewise.data.vector_graphics import drawn

__all__ = ["ICON_PARTS", "ICON_SEED", "Icon", "held_out_icons", "icons", "lucide_icons", "phosphor_icons", "site_icons"]

ICON_SEED = "likewise icons 1"
"""Goes into the order in which names are held out; another seed is another split."""
TEST_SHARE = 0.1
"""Share of the names that is held out."""
SIZE = 64
"""Pixels of a side."""
SITE_FAMILIES = {
    "material": "material",
    "fontawesome/solid": "fa-solid",
    "fontawesome/regular": "fa-regular",
    "octicons": "octicons",
}
WEIGHTS = ("thin", "light", "regular", "bold", "fill", "duotone")

ICON_PARTS = {
    "train": "the icons of nine in ten names, of all families",
    "test": "the icons of the other names, for results",
    "all": "train and test together",
}
"""What each part holds."""


class Icon(NamedTuple):
    """An icon as a package holds it."""

    family: str
    name: str
    """Lower-case words with lines between them: "arrow-up-left"."""
    svg: str


def site_icons(wheel: Path) -> Iterator[Icon]:
    """Read the icons in mkdocs-material's wheel: Material Design, Font Awesome (solid, regular), Octicons of 24 pixels.

    Logos are left out.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for path in sorted(names):
            folder, _, file = path.partition("/.icons/")[2].rpartition("/")
            if folder not in SITE_FAMILIES or not file.endswith(".svg"):
                continue
            name = file.removesuffix(".svg")
            if folder == "octicons":
                if name.endswith("-16") and path.replace("-16.svg", "-24.svg") in names:
                    continue
                name = re.sub(r"-\d+$", "", name)
            yield Icon(SITE_FAMILIES[folder], name, archive.read(path).decode())


def phosphor_icons(wheel: Path) -> Iterator[Icon]:
    """Read the icons in py-phosphor-icons' wheel: six weights of each."""
    with zipfile.ZipFile(wheel) as archive:
        for path in sorted(archive.namelist()):
            *folder, weight, file = path.split("/")
            if folder[-2:] == ["svgs", "flat"] and weight in WEIGHTS and file.endswith(".svg"):
                name = file.removesuffix(".svg").removesuffix(f"-{weight}")
                yield Icon(f"phosphor-{weight}", name, archive.read(path).decode())


def lucide_icons(database: Path) -> Iterator[Icon]:
    """Read the icons in python-lucide's database."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        for name, svg in connection.execute("SELECT name, svg FROM icons ORDER BY name"):
            yield Icon("lucide", name, svg)


def held_out_icons(found: Iterable[Icon]) -> set[str]:
    """Return the names of the part "test"."""
    names = sorted({icon.name for icon in found})
    return set(drawn_order(names, ICON_SEED)[: round(TEST_SHARE * len(names))])


def distinct(found: Iterable[Icon]) -> Iterator[Icon]:
    """Pass on the first icon of each drawing, the others being its second names."""
    seen: set[tuple[str, str]] = set()
    for icon in found:
        if (icon.family, icon.svg) not in seen:
            seen.add((icon.family, icon.svg))
            yield icon


def icons(part: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part of the icons: "train", "test" or "all".

    Raises:
        RunError: A package cannot be fetched.
        InputError: resvg is not installed.
    """
    found = [
        *distinct(site_icons(fetch(SITE_ICONS))),
        *distinct(phosphor_icons(fetch(PHOSPHOR_ICONS))),
        *distinct(lucide_icons(fetch(LUCIDE_ICONS))),
    ]
    held = held_out_icons(found)
    for icon in sorted(found, key=lambda one: (one.name, one.family)):
        if part == "all" or (icon.name in held) == (part == "test"):
            yield {
                "image": StoredImage(drawn(icon.svg, SIZE)),
                "text": icon.name.replace("-", " "),
                "family": icon.family,
                "concept": icon.name,
            }
