"""The colours of pages and figures, by name, for a light and a dark theme."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DARK", "LIGHT", "NUM_SERIES", "band", "style_sheet", "variable"]

_SERIES = (
    ("#0054b2", "#53a5ff"),  # blue
    ("#cb781f", "#ff991e"),  # orange
    ("#046a6f", "#189f95"),  # teal
    ("#ce6fb3", "#ffbac7"),  # pink
    ("#804b00", "#ffed68"),  # brown; on black, yellow
    ("#232e71", "#6d61d4"),  # indigo
)  # from the hues of Okabe & Ito 2008, moved until colour-blind eyes tell any two apart and all stand out from the page

NUM_SERIES = len(_SERIES)
"""Series that a figure can tell apart by colour; further ones use the colours again with another dash."""


def _theme(ink: str, soft: str, line: str, page: str, raised: str, accent: str, place: int) -> Mapping[str, str]:
    words = {"ink": ink, "soft": soft, "line": line, "page": page, "raised": raised, "accent": accent}
    series = {f"series-{i + 1}": pair[place] for i, pair in enumerate(_SERIES)}
    return {**words, **series, **{band(name): _see_through(colour) for name, colour in series.items()}}


def band(name: str) -> str:
    """Return the name of the see-through form of a series' colour."""
    return f"{name}-band"


def _see_through(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"


LIGHT = _theme("#1d2430", "#566072", "#d9dee7", "#ffffff", "#f5f7fa", "#1d4fd7", 0)
"""Colours on a light page."""

DARK = _theme("#e6e9ef", "#a3adbd", "#344054", "#12161d", "#1a202a", "#8db0ff", 1)
"""Colours on a dark page."""


def variable(name: str) -> str:
    """Return the CSS variable that holds a colour in the theme of the moment.

    Example:
        >>> variable("ink")
        'var(--ink)'
    """
    return f"var(--{name})"


def style_sheet() -> str:
    """Return the rules that give the variables their values; paper is light whatever the screen is."""
    light, dark = ("".join(f"--{name}:{colour};" for name, colour in theme.items()) for theme in (LIGHT, DARK))
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"@media print{{:root{{color-scheme:light;{light}}}}}"
        f":root.printing{{color-scheme:light;{light}}}"
    )
