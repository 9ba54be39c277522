"""A page with one of everything, and with texts that would do harm if they were not escaped."""

import math
from pathlib import Path

import pytest

from likewise.report import Fragment, Page, plots
from likewise.report.plots import Curve, Histogram

HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title = \'taken\'"> & <b>"quoted"</b>'
HARMLESS_LONG = "/data/" + "a" * 180 + ".jsonl"
STEPS = [100 * (i + 1) for i in range(12)]


def rising(start: float, rate: float) -> list[float]:
    return [start + rate * math.log(step / 100) for step in STEPS]


def learning_curves() -> list[Curve]:
    values = {"pairs": rising(0.31, 0.11), "simcse": rising(0.22, 0.08), HOSTILE: rising(0.12, 0.05)}
    return [Curve(name, STEPS, y, [v - 0.03 for v in y], [v + 0.03 for v in y]) for name, y in values.items()]


def demo_page() -> Page:
    page = Page(f"One of everything {HOSTILE}", f"What pages are made of. {HARMLESS_LONG} {HOSTILE}")
    page.section("Text")
    page.text(f"A paragraph with a text from outside: {HOSTILE}")
    page.soft("A paragraph that stands back.")
    page.heading(f"A heading below {HOSTILE}", level=3)
    page.code(f"likewise train pairs --data {HARMLESS_LONG}\n{HOSTILE}")
    page.section("Tables")
    page.table(
        ["method", "what it is", "rows", "recall@10", HOSTILE],
        [
            [
                "pairs",
                "softmax over the batch of pairs that are given, with hard negatives",
                "12,410",
                "0.612",
                HOSTILE,
            ],
            ["simcse", "the same text twice under dropout", "1,204", "0.5", None],
            [HARMLESS_LONG, HARMLESS_LONG, "7", "0.25", 3],
        ],
        numbers=["rows", "recall@10"],
        caption=f"Made up. {HOSTILE}",
        emphasise=lambda row: row[0] == "pairs",
    )
    page.section(f"Figures {HOSTILE}")
    page.figure(
        plots.curves(learning_curves(), x="step", y="recall@10", log_x=True),
        caption=f"Learning curves. {HOSTILE}",
        alt=f"Three curves rise. {HOSTILE}",
    )
    differences = [("pairs", 0.05, 0.02, 0.08), ("a method with quite a long name", -0.01, -0.03, 0.02)]
    page.figure(
        plots.intervals(
            [*differences, (HOSTILE, 0.1, 0.06, 0.13)],
            x="difference of recall@10 from the baseline",
            zero=True,
        ),
        caption="Differences with 95 % intervals.",
        alt="Three intervals, two above zero.",
    )  # fmt: skip
    shares = {"simcse": [0.2, 0.5, 0.4], "pairs": [0.3, 0.7, 0.5]}
    page.figure(
        plots.bars(["recall@1", "recall@10", HOSTILE], shares, x="share"),
        caption="Before and after.",
        alt="After is higher in all three.",
    )  # fmt: skip
    edges = [i / 10 for i in range(-2, 11)]
    page.figure(
        plots.histograms(
            [
                Histogram("positive pairs", edges, [0, 0, 0, 1, 3, 9, 20, 41, 60, 42, 17, 5]),
                Histogram("negative pairs", edges, [9, 31, 66, 52, 21, 12, 4, 1, 0, 0, 0, 0]),
            ],
            x="cosine",
        ),
        caption="Cosines.",
        alt="Two heaps that overlap a little around 0.3.",
    )
    page.figure(
        plots.heatmap(
            [[1.0, 0.4, 0.1], [0.4, 1.0, float("nan")], [0.1, 0.2, 1.0]],
            ["dog", "house", HOSTILE],
            ["dog", "house", HOSTILE],
            name="cosine",
        ),
        caption="Who is near whom.",
        alt="Dog and house are near.",
    )
    page.section("Figures")
    folded = Fragment()
    folded.text("Seen when opened, and on paper.")
    folded.figure(
        plots.curves([Curve("simcse", STEPS, rising(0.2, 0.1))], x="step", y="loss (nats)"),
        caption="One curve.",
        alt="It rises.",
    )
    page.details(f"Folded away {HOSTILE}", folded)
    page.raw("<p>A <em>trusted</em> piece.</p>")
    return page


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "demo.html"
    demo_page().write(path)
    return path
