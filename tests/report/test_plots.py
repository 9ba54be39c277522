"""Figures from numbers: what is drawn where, and in which colours."""

import itertools

import numpy as np
import pytest

from likewise.report import colours, plots
from likewise.report.plots import Curve, Histogram


def test_a_band_goes_up_one_side_and_back_the_other_and_leaves_out_gaps():
    curve = Curve("a", [1, 2, 3], [5, 6, 7], [4, float("nan"), 6], [6, 8, 8])
    band, line = plots.curves([curve], x="x", y="y").data
    assert (list(band.x), list(band.y)) == ([1, 3, 3, 1], [6, 8, 6, 4])
    assert list(line.y) == [5, 6, 7]
    assert band.fillcolor == colours.LIGHT["series-1-band"]
    assert line.line.color == colours.LIGHT["series-1"]
    assert not band.showlegend


def test_arrays_are_taken():
    x = np.arange(3)
    assert list(plots.curves([Curve("a", x, x * 2.0)], x="x", y="y").data[0].y) == [0, 2, 4]
    counts, edges = np.histogram([0.1, 0.2, 0.9], bins=2, range=(0, 1))
    assert list(plots.histograms([Histogram("a", edges, counts)], x="x").data[0].y) == [2, 1, 1]
    assert plots.heatmap(np.eye(2), "ab", "ab").data[0].z[1] == [0, 1]


@pytest.mark.parametrize(
    ("places", "ticks"),
    [([100, 900], [100, 200, 500]), ([0.5, 20], [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]), ([1, 1000], [1, 10, 100, 1000])],
)
def test_ticks_of_a_logarithmic_axis(places, ticks):
    figure = plots.curves([Curve("a", places, places)], x="x", y="y", log_x=True)
    assert list(figure.layout.xaxis.tickvals) == pytest.approx(ticks)


def test_more_series_than_colours_are_told_apart_by_their_dash():
    number = 2 * colours.NUM_SERIES
    figure = plots.curves([Curve(str(i), [1, 2], [1, i]) for i in range(number)], x="x", y="y")
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == number
    asked = plots.curves([Curve("a", [1, 2], [1, 2], dash="dot")], x="x", y="y")
    assert asked.data[0].line.dash == "dot"


def test_two_rows_of_one_name_stay_two():
    figure = plots.intervals([("a", 1, 0, 2), ("a", 3, 2, 4)], x="x", zero=False)
    lines, points = figure.data
    assert list(points.y) == [0, 1]
    assert list(lines.x) == [0, 2, None, 2, 4, None]
    assert list(figure.layout.yaxis.ticktext) == ["a", "a"]
    assert figure.layout.yaxis.range == (1.5, -0.5)  # the first row is on top
    assert not figure.layout.shapes


def test_zero_is_shown_where_it_is_asked_for():
    figure = plots.intervals([("a", 3, 2, 4)], x="x", zero=True)
    assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == 0
    assert figure.layout.xaxis.rangemode == "tozero"


def test_labels_are_shown_letter_by_letter():
    assert plots.label("a <b>\n&amp; c") == "a &lt;b&gt; &amp;amp; c"
    assert plots.label("<b> <b> <b>", width=3, lines=2) == "&lt;b&gt;<br>…"
    assert plots.label("", width=5) == ""


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Curve("a", [1], [1], low=[0]), "one end of its band"),
        (lambda: Curve("a", [1, 2], [1]), r"lengths \[1, 2\]"),
        (lambda: plots.curves([Curve("a", [0, 1], [1, 2])], x="x", y="y", log_x=True), "x = 0; log_x"),
        (lambda: Histogram("a", [0, 1], [1, 2]), "2 edges and 2 counts"),
        (lambda: plots.intervals([("a", 1, 2, 0)], x="x", zero=True), "from 2 to 0"),
        (lambda: plots.bars(["g"], {"a": [1, 2]}, x="x"), "'a' has 2 values; give 1"),
        (lambda: plots.heatmap([[1, 2]], ["a"], ["b"]), r"1 rows of \[2\]; the names ask for 1 rows of 1"),
    ],
)
def test_mistakes_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()


def linear(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb):
    to_lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
              [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    to_lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
              [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.array(to_lab) @ np.cbrt(np.array(to_lms) @ rgb)


SEEN_BY = {
    "everybody": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}  # Machado et al. 2009, severity 1


@pytest.mark.parametrize("theme", [colours.LIGHT, colours.DARK], ids=["light", "dark"])
def test_colours_stand_out_from_the_page(theme):
    for name, colour in theme.items():
        if name.startswith("series-") and not name.endswith("band"):
            assert contrast(colour, theme["page"]) >= 3, name  # WCAG 2.1, 1.4.11
    for name in ("ink", "soft", "accent"):
        assert contrast(theme[name], theme["page"]) >= 4.5, name
        assert contrast(theme[name], theme["raised"]) >= 4.5, name


@pytest.mark.parametrize("who", SEEN_BY)
@pytest.mark.parametrize("theme", [colours.LIGHT, colours.DARK], ids=["light", "dark"])
def test_series_are_told_apart_by(theme, who):
    seen = [
        oklab(np.clip(np.array(SEEN_BY[who]) @ linear(theme[f"series-{i + 1}"]), 0, 1))
        for i in range(colours.NUM_SERIES)
    ]
    pairs = itertools.combinations(range(len(seen)), 2)
    distances = {(i + 1, j + 1): float(np.linalg.norm(seen[i] - seen[j])) for i, j in pairs}
    assert min(distances.values()) > 0.1, sorted(distances.items(), key=lambda item: item[1])[:4]
