"""The figures of pages: curves with bands, intervals, bars, histograms and heat maps.

Each function returns a plotly figure in the colours of a light page; :meth:`likewise.report.Page.figure` gives it those
of the page's theme, and a series the same colour in every figure of the page. Every text may come from data.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from likewise.report import colours

if TYPE_CHECKING:
    import numpy.typing as npt
    from plotly.graph_objects import Figure

    Numbers = Sequence[float] | npt.NDArray[Any]

__all__ = ["HEIGHT", "Curve", "Histogram", "bars", "curves", "heatmap", "histograms", "intervals", "label", "paint"]

HEIGHT = 360
"""Height of a figure that sets none, in CSS pixels."""

_NAME_WIDTH = 20  # characters beside a figure; with these widths a phone of 360 px still shows every text whole
_TITLE_WIDTH = 40
_NARROW_TITLE_WIDTH = 26  # below a figure with names beside it, and along its height
_LINE, _ROW = 17, 14  # px: a line of a row's name, and what a row has around it
_AROUND = 74  # px: ticks and title of the axis below rows
_DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Curve:
    """A line, with a band around it where ``low`` and ``high`` are given.

    Args:
        name: Name of the series; the same name has the same colour in all figures of a page.
        x: Places, in order.
        y: Value at each place; NaN leaves a gap.
        low: Lower end of the band at each place.
        high: Upper end of the band at each place.
        dash: "solid", "dash", "dot", "dashdot"; where not given, solid until the colours are used up.

    Raises:
        ValueError: The lengths differ, or only one of ``low`` and ``high`` is given.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    dash: str | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"curve {self.name!r} has one end of its band; give both low and high, or neither.")
        lengths = {len(values) for values in (self.x, self.y, self.low, self.high) if values is not None}
        if len(lengths) > 1:
            raise ValueError(
                f"curve {self.name!r}: x, y, low and high have lengths {sorted(lengths)}; give equal ones."
            )


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, as ``numpy.histogram`` gives them.

    Args:
        name: Name of the series.
        edges: Ends of the bins, ascending; one more than ``counts``.
        counts: Number, share or density in each bin.

    Raises:
        ValueError: There is not one more edge than counts.
    """

    name: str
    edges: Numbers
    counts: Numbers

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(
                f"histogram {self.name!r} has {len(self.edges)} edges and {len(self.counts)} counts; "
                "give one more edge than counts."
            )


def label(text: str, width: int | None = None, lines: int = 3) -> str:
    """Return ``text`` as plotly shows it letter by letter; plotly itself reads labels as a small HTML.

    Args:
        text: Any text.
        width: Characters after which it is broken into lines.
        lines: Most lines there may be; what is left over is cut off.

    Example:
        >>> label("a<b")
        'a&lt;b'
        >>> label("a rather long name of a run", width=12)
        'a rather<br>long name of<br>a run'
    """
    text = " ".join(text.split())
    parts = [text] if width is None else textwrap.wrap(text, width, max_lines=lines, placeholder="…")
    return "<br>".join(html.escape(part, quote=False) for part in parts)


def curves(series: Sequence[Curve], *, x: str, y: str, log_x: bool = False) -> Figure:
    """Draw lines with their bands.

    Args:
        series: The lines.
        x: Title of the axis, with its unit.
        y: Title of the axis, with its unit.
        log_x: Powers of ten on the x axis.

    Raises:
        ValueError: ``log_x`` and a place is not above zero.

    Example:
        >>> figure = curves([Curve("pairs", [100, 200], [0.4, 0.5], [0.3, 0.4], [0.5, 0.6])], x="step", y="recall@10")
        >>> len(figure.data)  # a band and a line
        2
    """
    figure = _figure()
    for curve in series:
        places, values = _floats(curve.x), _floats(curve.y)
        if log_x and any(place <= 0 for place in places):
            raise ValueError(f"curve {curve.name!r} has x = {min(places):g}; log_x takes places above zero only.")
        if curve.low is not None and curve.high is not None:
            ends = zip(places, _floats(curve.low), _floats(curve.high), strict=True)
            whole = [end for end in ends if all(map(math.isfinite, end))]
            figure.add_scatter(
                x=[place for place, _, _ in whole] + [place for place, _, _ in reversed(whole)],
                y=[high for _, _, high in whole] + [low for _, low, _ in reversed(whole)],
                mode="lines",
                fill="toself",
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                **_series(curve.name),
            )
        figure.add_scatter(
            x=places,
            y=values,
            mode="lines" if len(places) > 1 else "markers",
            line={"width": 2, "dash": curve.dash},
            **_series(curve.name),
        )
    figure.update_layout(xaxis_title_text=label(x, _TITLE_WIDTH), yaxis_title_text=label(y, _NARROW_TITLE_WIDTH))
    # The legend stands below, and on a phone every long name has a line of its own.
    figure.update_layout(height=HEIGHT + (_LINE + 5) * max(0, len(series) - 3))
    if log_x:
        figure.update_xaxes(type="log", tickvals=_log_ticks([float(place) for curve in series for place in curve.x]))
    return _finished(figure)


def intervals(rows: Sequence[tuple[str, float, float, float]], *, x: str, zero: bool) -> Figure:
    """Draw values with their intervals, one row each (a forest plot).

    Args:
        rows: Name, value, lower and upper end of the interval, in the order from top to bottom.
        x: Title of the axis, with its unit.
        zero: Show where zero is: an interval of differences that keeps clear of it has a sign.

    Raises:
        ValueError: The lower end of an interval lies above the upper one.

    Example:
        >>> figure = intervals([("dropout 0.1", 0.02, 0.01, 0.03)], x="difference of recall@10", zero=True)
        >>> list(figure.data[1].x)
        [0.02]
    """
    for name, _, low, high in rows:
        if low > high:
            raise ValueError(f"interval {name!r} goes from {low:g} to {high:g}; give the lower end first.")
    figure = _figure()
    places = list(range(len(rows)))
    figure.add_scatter(
        x=[end for _, _, low, high in rows for end in (float(low), float(high), None)],
        y=[end for place in places for end in (place, place, None)],
        mode="lines+markers",
        line={"width": 2},
        marker={"symbol": "line-ns", "size": 8, "line": {"width": 2}},
        hoverinfo="skip",
        **_series(None),
    )
    figure.add_scatter(
        x=[float(value) for _, value, _, _ in rows],
        y=places,
        mode="markers",
        marker={"size": 9},
        text=[f"{label(name)}<br>{value:.4g} [{low:.4g}, {high:.4g}]" for name, value, low, high in rows],
        hoverinfo="text",
        **_series(None),
    )
    _rows_below_each_other(figure, [name for name, *_ in rows])
    figure.update_xaxes(title_text=label(x, _NARROW_TITLE_WIDTH))
    if zero:
        figure.update_xaxes(rangemode="tozero")
        figure.add_vline(x=0, line={"width": 1.5, "dash": "dot"})
    return _finished(figure, showlegend=False)


def bars(names: Sequence[str], series: Mapping[str, Numbers], *, x: str) -> Figure:
    """Draw bars from left to right, grouped by name.

    Args:
        names: The groups, in the order from top to bottom.
        series: Name of a series -> its value in each group.
        x: Title of the axis, with its unit.

    Raises:
        ValueError: A series has not one value for each name.

    Example:
        >>> figure = bars(["recall@1", "recall@10"], {"before": [0.2, 0.5], "after": [0.3, 0.7]}, x="share")
        >>> [bar.name for bar in figure.data]
        ['before', 'after']
    """
    figure = _figure()
    for name, values in series.items():
        if len(values) != len(names):
            raise ValueError(f"series {name!r} has {len(values)} values; give {len(names)}, one for each name.")
        figure.add_bar(
            x=_floats(values),
            y=list(range(len(names))),
            orientation="h",
            text=[f"{label(group)}: {value:.4g}" for group, value in zip(names, _floats(values), strict=True)],
            textposition="none",
            hoverinfo="text+name",
            **_series(name),
        )
    _rows_below_each_other(figure, names, least=_LINE * len(series))
    figure.update_xaxes(title_text=label(x, _NARROW_TITLE_WIDTH))
    figure.update_layout(bargap=0.3)
    return _finished(figure)


def histograms(series: Sequence[Histogram], *, x: str, y: str = "count") -> Figure:
    """Draw histograms over each other, as outlines that let each other be seen.

    Args:
        series: Edges and counts of each.
        x: Title of the axis, with its unit.
        y: Title of the axis: what ``counts`` are.

    Example:
        >>> figure = histograms([Histogram("positive", [0.0, 0.5, 1.0], [2, 6])], x="cosine")
        >>> list(figure.data[0].y)  # each bin from its left edge to its right, and down
        [2.0, 6.0, 6.0]
    """
    figure = _figure()
    for histogram in series:
        counts = _floats(histogram.counts)
        figure.add_scatter(
            x=_floats(histogram.edges),
            y=[*counts, *counts[-1:]],
            mode="lines",
            fill="tozeroy",
            line={"width": 2, "shape": "hv"},
            **_series(histogram.name),
        )
    figure.update_layout(xaxis_title_text=label(x, _TITLE_WIDTH), yaxis_title_text=label(y, _NARROW_TITLE_WIDTH))
    figure.update_yaxes(rangemode="tozero")
    return _finished(figure)


def heatmap(
    values: Sequence[Numbers] | npt.NDArray[Any], x: Sequence[str], y: Sequence[str], *, name: str = ""
) -> Figure:
    """Draw a table of values as colours, and as figures where there is room for them.

    Args:
        values: Rows of values, [len(y), len(x)]; NaN stays empty.
        x: Names of the columns.
        y: Names of the rows, from top to bottom.
        name: What the values are, with their unit; stands at the scale.

    Raises:
        ValueError: ``values`` has not the shape that the names say.

    Example:
        >>> figure = heatmap([[1.0, 0.2], [0.2, 1.0]], ["dog", "cat"], ["dog", "cat"], name="cosine")
        >>> list(figure.data[0].z[0])
        [1.0, 0.2]
    """
    cells = [_floats(row) for row in values]
    if len(cells) != len(y) or any(len(row) != len(x) for row in cells):
        shapes = f"{len(cells)} rows of {sorted({len(row) for row in cells})}"
        raise ValueError(f"heatmap: values are {shapes}; the names ask for {len(y)} rows of {len(x)}.")
    figure = _figure()
    figure.add_heatmap(
        z=cells,
        x=list(range(len(x))),
        y=list(range(len(y))),
        colorscale="Cividis",
        texttemplate="%{z:.2f}" if len(x) <= 8 else None,
        text=[[f"{label(row)} · {label(column)}" for column in x] for row in y],
        hovertemplate="%{text}<br>%{z:.4g}<extra></extra>",
        colorbar={"title": {"text": label(name)}, "orientation": "h", "thickness": 12, "nticks": 4},
    )
    _rows_below_each_other(figure, y, least=_ROW)
    many = len(x) > 4
    figure.update_xaxes(
        tickvals=list(range(len(x))),
        ticktext=[label(column, _NAME_WIDTH, 1) if many else label(column, 26 // max(1, len(x))) for column in x],
        tickangle=-90 if many else 0,
        ticklabeloverflow="allow",
    )
    figure.update_layout(height=figure.layout.height + 60)
    return _finished(figure)


def paint(figure: Figure, order: dict[str, int], colour: Callable[[str], str]) -> None:
    """Give a figure the template of pages, and its series their colours.

    Args:
        figure: Is changed. Only traces that a function of this module made have their colours set.
        order: Place of each series among the colours; new ones are added.
        colour: From the name of a colour to what plotly is to be told: its value, or a CSS variable.
    """
    figure.layout.template = _template(colour)
    for trace in figure.data:
        if not isinstance(trace.meta, Mapping) or "series" not in trace.meta:
            continue
        series = trace.meta["series"]
        if series is None:
            shade, round_ = "ink", 0
        else:
            round_, place = divmod(order.setdefault(series, len(order)), colours.NUM_SERIES)
            shade = f"series-{place + 1}"
        if trace.type == "bar":
            trace.marker.color = colour(shade)
            trace.marker.pattern.shape = ("", "/", ".", "x")[round_ % 4]
            continue
        trace.line.color = colour(shade)
        trace.marker.color = trace.marker.line.color = colour(shade)
        if trace.fill not in (None, "none"):
            trace.fillcolor = colour(colours.band(shade))
        if trace.line.dash is None:
            trace.line.dash = _DASHES[round_ % len(_DASHES)]


def _template(colour: Callable[[str], str]) -> dict[str, Any]:
    clear = "rgba(0,0,0,0)"
    lines = {name: colour("line") for name in ("gridcolor", "linecolor", "zerolinecolor")}
    flat = {**lines, "automargin": True, "ticklabelstandoff": 4, "title": {"standoff": 12}}
    deep = {**lines, "backgroundcolor": clear}
    return {
        "layout": {
            "paper_bgcolor": clear,
            "plot_bgcolor": clear,
            "colorway": [colour(f"series-{i + 1}") for i in range(colours.NUM_SERIES)],
            "font": {"color": colour("ink"), "family": "system-ui, sans-serif", "size": 13},
            "xaxis": flat,
            "yaxis": flat,
            "scene": {"xaxis": deep, "yaxis": deep, "zaxis": deep},
            "shapedefaults": {"line": {"color": colour("soft")}},
            "annotationdefaults": {"font": {"color": colour("ink")}, "arrowcolor": colour("soft")},
            "hoverlabel": {
                "bgcolor": colour("raised"),
                "bordercolor": colour("soft"),
                "font": {"color": colour("ink")},
                "align": "left",
            },
            "hovermode": "closest",
            "dragmode": False,  # a finger that begins on a figure scrolls the page
            "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "autotypenumbers": "strict",
        }
    }


def _figure() -> Figure:
    import plotly.graph_objects as go

    return go.Figure()


def _finished(figure: Figure, **layout: Any) -> Figure:
    figure.update_layout(height=figure.layout.height or HEIGHT, **layout)
    paint(figure, {}, colours.LIGHT.__getitem__)
    return figure


def _series(name: str | None) -> dict[str, Any]:
    return {"meta": {"series": name}, "name": label(name or "", 40), "legendgroup": name}


def _floats(values: Numbers) -> list[float]:
    return [float(value) for value in values]


def _log_ticks(places: Sequence[float]) -> list[float]:
    """Powers of ten, with twice and five times each where there would be few; plotly writes those as mere digits."""
    if not places:
        return []
    first, last = (math.floor(math.log10(end)) for end in (min(places), max(places)))
    steps = (1, 2, 5) if last - first < 3 else (1,)
    return [step * 10.0**power for power in range(first, last + 1) for step in steps]


def _rows_below_each_other(figure: Figure, names: Sequence[str], least: int = 0) -> None:
    """Rows at whole numbers, so that two of one name stay two, with their names at the axis."""
    labels = [label(name, _NAME_WIDTH) for name in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=labels,
        range=[len(names) - 0.5, -0.5],
        zeroline=False,
        showgrid=False,
    )
    heights = (max(least, _LINE * (1 + text.count("<br>"))) + _ROW for text in labels)
    figure.update_layout(height=sum(heights) + _AROUND)
