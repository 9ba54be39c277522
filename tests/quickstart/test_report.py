"""The report of the quickstart as a reader sees it, with texts that would do harm if they were not escaped."""

from pathlib import Path

import pytest

from likewise.quickstart import METRICS, Quickstart
from likewise.quickstart.report import next_commands, write_report
from likewise.search import Hit

HOSTILE = '<img src=x onerror="document.title = 1">'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "metrics.csv").write_text("step,loss\n" + "".join(f"{i},{3 / i + i % 3 / 10}\n" for i in range(1, 60)))
    hits = [
        Hit("1", "doghouse", 0.71, {"definitions": "outbuilding that serves as a shelter for a dog; a second one"}),
        Hit("2", HOSTILE, 0.6, {"definitions": HOSTILE}),
    ]
    made = Quickstart(
        before=dict.fromkeys(METRICS, 0.25),
        after=dict.fromkeys(METRICS, 0.5),
        seconds=92.4,
        model=Path("quickstart/model"),
        index=Path("quickstart/index"),
        report=folder / "report.html",
        queries={"a small house for a dog": hits, HOSTILE: hits},
        geometry={"before": "effective rank 120 of 384", "after": "effective rank 160 of 384"},
        num_words=61_234,
        num_queries=2_000,
    )
    write_report(made, folder / "metrics.csv")
    return made


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_is_sound_on_every_screen(made, browse, dark, width):
    view = browse(made.report, dark=dark, width=width)
    view.assert_sound()
    view.assert_figures_drawn(1)
    assert view.page.title() == "A reverse dictionary, before and after training"


def test_it_says_what_was_found(made, browse):
    page = browse(made.report).page
    text = page.locator("body").inner_text()
    for piece in ("2,000 held-out", "61,234 words", "92 seconds", "0.250", "0.500", "“a small house for a dog”"):
        assert piece in text
    assert "shelter for a dog; ..." in text
    assert "a second one" not in text
    assert text.count(HOSTILE) == 1 + 2 * 2  # the query, and word and definition below both queries
    assert page.locator("pre").inner_text().splitlines() == list(next_commands(made))


def test_the_figures_are_seen_on_a_phone_without_scrolling(made, browse):
    box = browse(made.report, width=360).page.get_by_text("after", exact=True).first.bounding_box()
    assert box["x"] + box["width"] <= 344  # the page has a margin of 16
