"""The README's picture, drawn from the stored result of the quickstart."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from benchmarks.stored import RESULTS

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "quickstart.svg"
WIDTH, LEFT, SCALE = 860, 130, 1500


def run() -> None:
    """Write ``docs/images/quickstart.svg``: before and after on held-out words, and what was asked."""
    stored = json.loads((RESULTS / "quickstart.json").read_text(encoding="utf-8"))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(stored), encoding="utf-8")
    print(PICTURE.name)


def picture(stored: dict[str, Any]) -> str:
    """Draw bars of the means with the range over seeds, and the words that the first seed found."""
    before, after = stored["summary"]["before"], stored["summary"]["after"]
    first = stored["results"][0]
    title = f"{first['held_out']:,} held-out definitions, each looking for its word among {first['candidates']:,}"
    parts = [_text(20, 34, title, weight="bold", size=17)]
    y = 62
    for figure in before:
        parts.append(_text(20, y + 19, figure))
        for row, (side, colour) in enumerate(((before, "#9aa5b8"), (after, "#2563eb"))):
            value, top = side[figure]["mean"], y + 18 * row
            low, high = (LEFT + SCALE * side[figure][end] for end in ("lowest", "highest"))
            parts.append(f'<rect x="{LEFT}" y="{top}" width="{SCALE * value:.1f}" height="15" fill="{colour}"/>')
            parts.append(f'<path d="M{low:.1f} {top + 7.5} H{high:.1f}" stroke="#1d2430" stroke-width="2"/>')
            label = f"{value:.3f} {'before' if row == 0 else 'after'}"
            parts.append(_text(high + 8, top + 12.5, label, size=13))
        y += 50
    y += 14
    seeds = len(stored["seeds"])
    parts.append(
        _text(20, y, f"Mean of {seeds} seeds; the line is their range. Asked of the trained model:", soft=True)
    )
    for query, hits in first["queries"].items():
        y += 27
        parts.append(_text(20, y, f"“{query}”"))
        parts.append(_text(330, y, ", ".join(hit["text"] for hit in hits[:4]), weight="bold"))
    style = "text{font-family:system-ui,sans-serif}"
    size = f'width="{WIDTH}" height="{y + 24}" viewBox="0 0 {WIDTH} {y + 24}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>'
        f'<rect width="100%" height="100%" rx="8" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, text: str, *, weight: str = "normal", size: int = 15, soft: bool = False) -> str:
    colour = "#667085" if soft else "#1d2430"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}">'
        f"{html.escape(text)}</text>"
    )
