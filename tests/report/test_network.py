"""A directed graph on a page: where its nodes stand, what the page says, and what one can do with it."""

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.report import Edge, Network, Node, Page

HOSTILE = "</title></script><script>alert(1)</script><img src=x>\"'&<b>"

NODES = [
    Node("start", "start"),
    Node(
        "u1", "I would like to book a table for tonight at eight", "user", 0.3, "user, 9 times", ["a table", "book it"]
    ),
    Node("s1", "for how many?", "system", 0.5, "system, 8 times", ["how many people"]),
    Node("u2", "cancel", "user", 0.4, "user, 2 times", ["cancel it"]),
    Node("end", "end", order=1.0),
]
EDGES = [
    Edge("start", "u1", 1.0, "100%"),
    Edge("u1", "s1", 0.8, "80%"),
    Edge("u1", "u2", 0.3, "30%"),
    Edge("s1", "u1", 0.2, "20%"),
    Edge("s1", "end", 0.9, "90%"),
    Edge("u2", "end", 0.4, "40%"),
]
PATH = ["start", "u1", "s1", "end"]


def network(**more):
    return Network(**{"nodes": NODES, "edges": EDGES, "path": PATH, "path_name": "happy path", "least": 0.1, **more})


def page_of(one):
    page = Page("A flow")
    page.network(one, caption="What follows what.", alt="three actions")
    return page


def places(one):
    found = re.findall(r'data-key="([^"]*)"[^>]*translate\((-?\d+) (\d+)\)', one.svg("x"))
    return {key: (int(x), int(y)) for key, x, y in found}


def test_the_path_goes_straight_down_and_nobody_else_is_in_its_way():
    found = places(network())
    assert [found[key][0] for key in PATH] == [0, 0, 0, 0]
    heights = [found[key][1] for key in PATH]
    assert heights == sorted(set(heights))
    assert found["u2"][0] != 0
    assert found["u1"][1] < found["u2"][1] < found["end"][1]


@given(st.integers(2, 14), st.sets(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=40), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_no_two_nodes_stand_in_one_place(number, pairs, seed):
    nodes = [Node(str(i), f"node {i}", "user" if i % 2 else "system", (i * 7 + seed) % 11) for i in range(number)]
    ends = [Node("a", "start"), Node("z", "end", order=99)]
    edges = [Edge(str(i), str(j), 0.1 + (i + j) / 40, "x") for i, j in sorted(pairs) if i != j and max(i, j) < number]
    found = places(Network([*ends, *nodes], edges, ["a", "0", "z"]))
    assert len(set(found.values())) == len(found) == number + 2
    assert max(y for _, y in found.values()) == found["z"][1]
    assert min(y for _, y in found.values()) == found["a"][1]
    assert all(abs(x) <= 2 * 182 for x, _ in found.values())


def test_a_page_without_a_network_does_not_carry_its_script():
    plain, drawn = Page("t").html(), page_of(network()).html()
    assert "figure.network" not in plain
    assert drawn.count("figure.network") == 1
    assert "plotly" not in drawn
    assert len(drawn) < 40_000


def test_labels_are_cut_and_told_whole_to_the_script():
    html = page_of(network()).html()
    assert "I would like to book" in html
    assert " …</tspan>" in html
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', html)
    told = json.loads(data)
    assert told["nodes"]["u1"]["label"] == "I would like to book a table for tonight at eight"
    assert told["nodes"]["u1"]["quotes"] == ["a table", "book it"]
    assert (told["first"], told["last"]) == ("start", "end")


def test_texts_make_no_elements():
    nodes = [Node("a", HOSTILE), Node(HOSTILE, HOSTILE, HOSTILE, 0.5, HOSTILE, [HOSTILE]), Node("z", "end")]
    edges = [Edge("a", HOSTILE, 1.0, HOSTILE), Edge(HOSTILE, "z", 1.0, "x")]
    html = page_of(Network(nodes, edges, ["a", HOSTILE, "z"], path_name=HOSTILE, weight_name=HOSTILE)).html()
    assert "<img" not in html
    assert html.count("<script") == 2
    assert "<b>" not in html


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"edges": [Edge("start", "nobody", 1.0, "")]}, r"name \['nobody'\], which are no keys"),
        ({"path": ["start", "who", "end"]}, r"name \['who'\]"),
        ({"path": ["start"]}, r"path of a network is \['start'\]; it has a first and a last node"),
    ],
)
def test_what_names_no_node_is_refused(more, says):
    with pytest.raises(ValueError, match=says):
        network(**more)


def test_a_figure_needs_words():
    with pytest.raises(ValueError, match="caption of a figure is empty"):
        Page("t").network(network(), caption=" ", alt="x")


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_sound_in_both_themes(browse, tmp_path, dark):
    page_of(network()).write(tmp_path / "page.html")
    view = browse(tmp_path / "page.html", dark=dark)
    view.assert_sound()
    assert view.page.locator(".count").inner_text() == "3 of 3 actions, 6 of 6 edges"
    boxes = [view.page.locator(f'.node[data-key="{node.key}"]').bounding_box() for node in NODES]
    for a, b in itertools.combinations(boxes, 2):
        apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
        assert apart or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]
    outside = view.page.evaluate(
        "[...document.querySelectorAll('.node text')].filter((text) => { const a = text.getBoundingClientRect(), "
        "b = text.parentElement.querySelector('rect').getBoundingClientRect(); return a.left < b.left || a.right > "
        "b.right || a.bottom > b.bottom; }).map((text) => text.textContent)"
    )
    assert outside == []


def test_one_can_ask_a_node_cut_weak_edges_and_hide_the_way(browse, tmp_path):
    page_of(network()).write(tmp_path / "page.html")
    view = browse(tmp_path / "page.html")
    page, card = view.page, view.page.locator(".card")
    assert card.is_hidden()
    page.locator('.node[data-key="u1"]').hover()
    assert card.locator("b").inner_text() == "I would like to book a table for tonight at eight"
    assert card.locator("li").all_inner_texts() == ["a table", "book it"]
    assert page.locator(".node.lit").count() == 4  # itself, what leads there and what follows
    page.mouse.move(2, 2)
    assert card.is_hidden()
    page.locator('.node[data-key="u2"]').click()
    page.mouse.move(2, 2)
    assert card.locator("b").inner_text() == "cancel"  # held
    page.keyboard.press("Escape")
    assert card.is_hidden()
    page.locator('.node[data-key="s1"]').focus()
    page.keyboard.press("Enter")
    assert card.locator("b").inner_text() == "for how many?"
    page.locator("input[type=range]").evaluate("(s) => { s.value = 0.35; s.dispatchEvent(new Event('input')); }")
    assert page.locator(".count").inner_text() == "2 of 3 actions, 3 of 6 edges"
    assert page.locator('.node[data-key="u2"]').is_hidden()  # nothing strong leads there
    stroke = "() => getComputedStyle(document.querySelector('.edge.path path')).stroke"
    shown = page.evaluate(stroke)
    page.locator("input[type=checkbox]").uncheck()
    assert page.evaluate(stroke) != shown
    view.assert_no_errors()
