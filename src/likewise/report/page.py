"""A page that is put together piece by piece and written as one file."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from likewise.report import colours, plots

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from likewise.report.network import Network

__all__ = ["Fragment", "Page"]

_HERE = Path(__file__).parent
_UNBROKEN = re.compile(r"\S{24}(?=\S)")
_LONG = 40
"""Characters from which on a cell is given room and wraps, instead of being squeezed to its longest word."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:"
"""What the browser lets the page do: run what stands in it, and load nothing (plotly's 3D figures compile shaders)."""


@dataclass(frozen=True)
class _Drawing:
    figure: Figure
    caption: str
    alt: str


@dataclass(frozen=True)
class _Graph:
    network: Network
    caption: str
    alt: str


@dataclass(frozen=True)
class _Section:
    title: str


@dataclass(frozen=True)
class _Folded:
    summary: str
    fragment: Fragment


_Piece: TypeAlias = "str | _Drawing | _Graph | _Section | _Folded"


class Fragment:
    """Pieces one below the other; what is folded away on a page is one, and a page is one itself.

    Every text is escaped, so it may come from anywhere; only :meth:`raw` takes HTML.

    Example:
        >>> fragment = Fragment()
        >>> fragment.text("1 < 2")
        >>> page = Page("Numbers")
        >>> page.details("More", fragment)
        >>> "<p>1 &lt; 2</p>" in page.html()
        True
    """

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []

    def heading(self, text: str, level: int = 2) -> None:
        """Add a heading without an entry in the table of contents.

        Args:
            text: The heading.
            level: 2 (as a section) to 6.

        Raises:
            ValueError: ``level`` lies outside 2 to 6; 1 is the title of the page.
        """
        if not 2 <= level <= 6:
            raise ValueError(f"level of a heading is {level}; give 2 to 6 (1 is the title of the page).")
        self._pieces.append(f"<h{level}>{_escaped(text)}</h{level}>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._pieces.append(f"<p>{_escaped(text)}</p>")

    def soft(self, text: str) -> None:
        """Add a paragraph that stands back: an explanation, a source."""
        self._pieces.append(f'<p class="soft">{_escaped(text)}</p>')

    def code(self, text: str) -> None:
        """Add lines in a fixed-width font, broken only where ``text`` is."""
        self._pieces.append(f'<pre tabindex="0">{_escaped(text)}</pre>')

    def raw(self, html: str) -> None:
        """Add HTML as it is; never a text that somebody else wrote."""
        self._pieces.append(html)

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        numbers: Collection[str] = (),
        caption: str | None = None,
        emphasise: Callable[[Sequence[object]], bool] | None = None,
    ) -> None:
        """Add a table; one that is too wide for the screen scrolls sideways by itself.

        Args:
            columns: Heads of the columns.
            rows: Cells, written as ``str`` gives them; None is a dash. Numbers are formatted by who knows their unit.
            numbers: Columns of figures: right-aligned, digits of one width, never wrapped.
            caption: A line above the table.
            emphasise: Told a row, says whether it stands out.

        Raises:
            ValueError: A row has not as many cells as there are columns, or ``numbers`` names no column.

        Example:
            >>> page = Page("Languages")
            >>> page.table(["language", "rows"], [["Welsh", "1,204"]], numbers=["rows"])
        """
        if strange := sorted(set(numbers) - set(columns)):
            raise ValueError(f"numbers names {strange}; the columns are {list(columns)}.")
        for place, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(f"row {place} has {len(row)} cells; give {len(columns)}, one for each column.")
        classes = [("number",) if column in numbers else () for column in columns]
        head = "".join(
            f'<th scope="col"{_class(*kind)}>{_breakable(column)}</th>'
            for column, kind in zip(columns, classes, strict=True)
        )
        body = "".join(
            f"<tr{_class(*(('emphasis',) if emphasise and emphasise(row) else ()))}>"
            + "".join(_cell(cell, kind) for cell, kind in zip(row, classes, strict=True))
            + "</tr>"
            for row in rows
        )
        above = f"<caption><span>{_escaped(caption)}</span></caption>" if caption else ""
        name = html.escape(caption or f"table: {', '.join(filter(None, columns))}")
        self._pieces.append(
            f'<div class="table" role="region" tabindex="0" aria-label="{name}">'
            f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def figure(self, figure: Figure, *, caption: str, alt: str) -> None:
        """Add a figure: one of :mod:`likewise.report.plots`, or any of plotly's.

        Its template is replaced by that of the page, which follows the theme; what a figure sets itself stays. Colours
        may be given as ``var(--ink)``, ``var(--soft)``, ``var(--line)``, ``var(--series-1)`` and so on. A series has
        one colour on the whole page. Labels of a figure of your own that come from data go through
        :func:`likewise.report.plots.label`.

        Args:
            figure: What is drawn; it is copied, so that a later change is not seen.
            caption: Stands below the figure.
            alt: Tells in words what the figure shows, to who does not see it.

        Raises:
            ValueError: ``caption`` or ``alt`` is empty.
        """
        _check_words(caption, alt)
        self._pieces.append(_Drawing(type(figure)(figure), caption, alt))

    def network(self, network: Network, *, caption: str, alt: str) -> None:
        """Add a directed graph that one can ask: weak edges can be hidden, and a node tells more when it is pointed at.

        Args:
            network: Nodes, edges and the way that stands out.
            caption: Stands below the drawing.
            alt: Tells in words what it shows, to who does not see it.

        Raises:
            ValueError: ``caption`` or ``alt`` is empty.
        """
        _check_words(caption, alt)
        self._pieces.append(_Graph(network, caption, alt))

    def details(self, summary: str, fragment: Fragment | str) -> None:
        """Add material that is folded away until it is asked for; print shows it.

        Args:
            summary: The line that is seen.
            fragment: What is behind it. A string is HTML, as in :meth:`raw`.

        Raises:
            ValueError: ``fragment`` is this very fragment, or holds it.
        """
        if isinstance(fragment, str):
            inner = Fragment()
            inner.raw(fragment)
            fragment = inner
        if fragment._holds(self):
            raise ValueError("a fragment cannot be folded into itself; make a new Fragment() for what is folded away.")
        self._pieces.append(_Folded(summary, fragment))

    def _holds(self, other: Fragment) -> bool:
        return self is other or any(
            piece.fragment._holds(other) for piece in self._pieces if isinstance(piece, _Folded)
        )


class Page(Fragment):
    """A page of results in one file, for a browser without a network.

    It reads in a light and a dark theme (the system's), on a phone and on paper. plotly.js (4.8 MB) is part of the
    file where the page has a figure, once.

    Args:
        title: Head line of the page and name of its window.
        lead: What the page says, in a sentence or two.

    Example:
        >>> page = Page("Two runs", "The second is better.")
        >>> page.section("Recall")
        >>> page.table(["run", "recall@10"], [["first", "0.61"], ["second", "0.72"]], numbers=["recall@10"])
        >>> page.html()[:15]
        '<!doctype html>'
    """

    def __init__(self, title: str, lead: str = "") -> None:
        super().__init__()
        self.title, self.lead = title, lead

    def section(self, title: str) -> None:
        """Begin a section; more than three get a table of contents at the top of the page."""
        self._pieces.append(_Section(title))

    def html(self) -> str:
        """Return the whole page."""
        writer = _Writer()
        body = writer.body(self)
        lead = f'<p class="soft">{_escaped(self.lead)}</p>' if self.lead else ""
        style = colours.style_sheet() + "".join((_HERE / name).read_text(encoding="utf-8") for name in writer.styles())
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_escaped(self.title)}</title><style>{style}</style></head>"
            f"<body><main><h1>{_escaped(self.title)}</h1>{lead}{writer.contents()}{body}</main>"
            f"{writer.scripts()}</body></html>\n"
        )

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all.

        Args:
            path: A file; one that is there is replaced. Its folder is made.

        Raises:
            OSError: The file cannot be written; a page that was there is as it was.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.partial")
        try:
            # The name of a file may hold what UTF-8 cannot; it becomes a question mark.
            temporary.write_text(self.html(), encoding="utf-8", errors="replace")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


class _Writer:
    """What has to be known of the whole page while its pieces are written: anchors, colours, whether plotly is used."""

    def __init__(self) -> None:
        self._anchors: dict[str, str] = {}
        self._order: dict[str, int] = {}
        self._drew = False
        self._networks = False

    def styles(self) -> list[str]:
        return ["page.css", "network.css"] if self._networks else ["page.css"]

    def body(self, fragment: Fragment) -> str:
        return "".join(self._piece(piece) for piece in fragment._pieces)

    def contents(self) -> str:
        if len(self._anchors) <= 3:
            return ""
        entries = "".join(f'<li><a href="#{a}">{_escaped(title)}</a></li>' for a, title in self._anchors.items())
        return f'<nav aria-label="Contents"><ul>{entries}</ul></nav>'

    def scripts(self) -> str:
        found = []
        if self._drew:
            from plotly.offline import get_plotlyjs

            found += [get_plotlyjs(), (_HERE / "figures.js").read_text(encoding="utf-8")]
        if self._networks:
            found.append((_HERE / "network.js").read_text(encoding="utf-8"))
        return "".join(f"<script>{script}</script>" for script in found)

    def _piece(self, piece: _Piece) -> str:
        if isinstance(piece, str):
            return piece
        if isinstance(piece, _Section):
            return f'<h2 id="{self._anchor(piece.title)}">{_escaped(piece.title)}</h2>'
        if isinstance(piece, _Folded):
            inner = self.body(piece.fragment)
            return f"<details><summary>{_escaped(piece.summary)}</summary>{inner}</details>"
        if isinstance(piece, _Graph):
            self._networks = True
            caption = f"<figcaption>{_escaped(piece.caption)}</figcaption>"
            return f'<figure class="network with-way">{piece.network.html(piece.alt)}{caption}</figure>'
        return self._drawing(piece)

    def _anchor(self, title: str) -> str:
        words = "-".join(re.findall(r"\w+", title.lower())) or "section"
        anchor, number = words, 1
        while anchor in self._anchors:
            number += 1
            anchor = f"{words}-{number}"
        self._anchors[anchor] = title
        return anchor

    def _drawing(self, drawing: _Drawing) -> str:
        self._drew = True
        plots.paint(drawing.figure, self._order, colours.variable)
        data = str(drawing.figure.to_json()).replace("<", "\\u003c")  # so that no text can end the script element
        height = int(drawing.figure.layout.height or plots.HEIGHT)
        return (
            f'<figure><div class="plot" role="img" aria-label="{html.escape(drawing.alt)}" '
            f'style="min-height:{height}px">{_escaped(drawing.alt)}</div>'
            f'<script type="application/json">{data}</script>'
            f"<figcaption>{_escaped(drawing.caption)}</figcaption></figure>"
        )


def _check_words(caption: str, alt: str) -> None:
    for name, value in (("caption", caption), ("alt", alt)):
        if not value.strip():
            raise ValueError(f"{name} of a figure is empty; say in a sentence what it shows.")


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _breakable(text: str) -> str:
    """Allow a break in what has no space for long: a path, a hash. Copied text stays as it was."""
    return "<wbr>".join(_escaped(part) for part in _UNBROKEN.sub(lambda run: run.group() + "\0", text).split("\0"))


def _class(*names: str) -> str:
    return f' class="{" ".join(names)}"' if names else ""


def _cell(cell: object, kind: tuple[str, ...]) -> str:
    text = "–" if cell is None else str(cell)
    if not kind and len(text) > _LONG:
        kind = ("long",)
    return f"<td{_class(*kind)}>{_escaped(text) if 'number' in kind else _breakable(text)}</td>"
