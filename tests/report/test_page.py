"""What a page promises before a browser has seen it."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest

from likewise.report import Fragment, Page, plots
from likewise.report.plots import Curve

DATA = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(page):
    parser = Elements()
    parser.feed(page.html())
    return parser.found


def one_curve(name="pairs"):
    return plots.curves([Curve(name, [1, 2], [3, 4])], x="step", y="loss")


def figures_of(page):
    return [json.loads(data) for data in DATA.findall(page.html())]


HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<b>"
ADDERS = {
    "heading": lambda page: page.heading(HOSTILE),
    "text": lambda page: page.text(HOSTILE),
    "soft": lambda page: page.soft(HOSTILE),
    "code": lambda page: page.code(HOSTILE),
    "section": lambda page: [page.section(HOSTILE) for _ in range(4)],
    "table": lambda page: page.table([HOSTILE, "n"], [[HOSTILE, HOSTILE]], numbers=["n"], caption=HOSTILE),
    "caption": lambda page: page.figure(one_curve(), caption=HOSTILE, alt=HOSTILE),
    "figure": lambda page: page.figure(one_curve(HOSTILE), caption="c", alt="a"),
    "summary": lambda page: page.details(HOSTILE, Fragment()),
}


@pytest.mark.parametrize("what", ADDERS)
def test_texts_make_no_elements(what):
    page = Page(HOSTILE, HOSTILE)
    ADDERS[what](page)
    found = elements(page)
    assert not {"img", "b"} & {tag for tag, _ in found}
    assert sum(tag == "script" for tag, _ in found) == (3 if "<figure>" in page.html() else 0)
    assert not [attrs for _, attrs in found if "onerror" in attrs]


def test_raw_is_taken_as_it_is():
    page = Page("t")
    page.raw('<p class="mine">1 &lt; 2</p>')
    assert ("p", {"class": "mine"}) in elements(page)


def test_plotly_is_part_of_the_file_once_and_only_with_a_figure():
    page = Page("t")
    page.text("no figure")
    assert len(page.html()) < 10_000
    for _ in range(3):
        page.figure(one_curve(), caption="c", alt="a")
    assert page.html().count("* plotly.js v") == 1


def test_a_series_has_one_colour_on_the_whole_page():
    page = Page("t")
    page.figure(
        plots.curves([Curve("a", [1, 2], [1, 2]), Curve("b", [1, 2], [1, 2])], x="x", y="y"), caption="c", alt="a"
    )
    folded = Fragment()
    folded.figure(plots.bars(["g"], {"c": [1], "b": [2]}, x="x"), caption="c", alt="a")
    page.details("more", folded)
    first, second = figures_of(page)
    assert [trace["line"]["color"] for trace in first["data"]] == ["var(--series-1)", "var(--series-2)"]
    assert [trace["marker"]["color"] for trace in second["data"]] == ["var(--series-3)", "var(--series-2)"]


def test_a_figure_of_ones_own_gets_the_colours_of_the_page_where_it_sets_none():
    figure = go.Figure().add_scatter(x=[1], y=[1], marker={"color": "red"})
    page = Page("t")
    page.figure(figure, caption="c", alt="a")
    figure.data[0].x = [2]
    (drawn,) = figures_of(page)
    assert drawn["data"][0]["marker"]["color"] == "red"
    assert drawn["data"][0]["x"] == [1]
    assert drawn["layout"]["template"]["layout"]["font"]["color"] == "var(--ink)"
    assert figure.layout.template.layout.font.color != "var(--ink)"


def test_writing_a_page_twice_gives_the_same_page():
    page = Page("t")
    page.figure(one_curve(), caption="c", alt="a")
    assert page.html() == page.html()


@pytest.mark.parametrize(("number", "wanted"), [(3, 0), (4, 4)])
def test_more_than_three_sections_get_a_table_of_contents(number, wanted):
    page = Page("t")
    for _ in range(number):
        page.section("Mean & spread")
    found = elements(page)
    links = [attrs["href"] for tag, attrs in found if tag == "a"]
    anchors = [f"#{attrs['id']}" for tag, attrs in found if tag == "h2"]
    assert len(set(anchors)) == number
    assert links == anchors[:wanted]


def test_cells_of_a_table():
    page = Page("t")
    page.table(["name", "n"], [["x" * 30, 7], [None, 8]], numbers=["n"], emphasise=lambda row: row[1] == 8)
    html = page.html()
    assert f"<td>{'x' * 24}<wbr>{'x' * 6}</td>" in html
    assert '<td class="number">7</td>' in html
    assert '<tr class="emphasis"><td>–</td><td class="number">8</td></tr>' in html


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda page: page.table(["a", "b"], [[1, 2], [1]]), "row 1 has 1 cells; give 2"),
        (lambda page: page.table(["a"], [[1]], numbers=["b"]), r"numbers names \['b'\]; the columns are \['a'\]"),
        (lambda page: page.heading("h", level=1), "is 1; give 2 to 6"),
        (lambda page: page.figure(one_curve(), caption="c", alt=" "), "alt of a figure is empty"),
        (lambda page: page.figure(one_curve(), caption="", alt="a"), "caption of a figure is empty"),
        (lambda page: page.details("s", page), "cannot be folded into itself"),
    ],
)
def test_mistakes_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong(Page("t"))


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new folder" / "page.html"
    page = Page("first")
    page.write(path)
    before = path.read_bytes()
    page.text("second")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)  # the last thing that is done
    with pytest.raises(OSError, match="No space left"):
        page.write(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_utf_8_cannot_hold_becomes_a_question_mark(tmp_path):
    page = Page("a file's name may hold it: \udcff")
    page.write(tmp_path / "page.html")
    assert "hold it: ?" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_room_is_opened_without_plotly():
    code = "import sys, likewise.report; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"plotly", "numpy", "torch"} & set(shown.stdout.split())
