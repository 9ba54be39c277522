"""Translations found in a plain loop, with cosine and with the ratio margin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.labelled import drawn_items
from evaluation.rule_embedder import random_embedder, random_vector
from likewise.errors import InputError
from likewise.evaluation import bitext
from likewise.evaluation.tasks.bitext import open_bitext

texts = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=15).filter(
    lambda pairs: all(len(set(side)) > 1 for side in zip(*pairs, strict=True))
)


def in_a_loop(rows, scoring, k):
    """For each row: right forwards, right backwards, chosen by each other."""
    sources, targets = (list(dict.fromkeys(row[side] for row in rows)) for side in ("source", "target"))
    unit = {text: np.array(random_vector(text)) / np.linalg.norm(random_vector(text)) for text in [*sources, *targets]}

    def near(text, others):
        return np.mean(sorted((unit[text] @ unit[one] for one in others), reverse=True)[:k])

    def score(x, y):
        cosine = unit[x] @ unit[y]
        return cosine if scoring == "cosine" else cosine / max((near(x, targets) + near(y, sources)) / 2, 1e-6)

    there = {x: max(targets, key=lambda y: score(x, y)) for x in sources}
    back = {y: max(sources, key=lambda x: score(x, y)) for y in targets}
    pairs = {(row["source"], row["target"]) for row in rows}
    return np.array(
        [
            [(row["source"], there[row["source"]]) in pairs, (back[row["target"]], row["target"]) in pairs,
             back[there[row["source"]]] == row["source"]]
            for row in rows
        ],
        dtype=float,
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(texts, st.sampled_from(["cosine", "margin"]), st.integers(1, 5))
def test_figures_are_those_of_a_loop(pairs, scoring, k):
    rows = [{"source": f"s{a}", "target": f"t{b}"} for a, b in pairs]
    result = bitext(random_embedder(), open_bitext(rows), scoring=scoring, k=k, bootstrap=6, seed=1)
    there, back, mutual = in_a_loop(rows, scoring, k).T
    np.testing.assert_array_equal(result.per_item["source_to_target"], there)
    np.testing.assert_array_equal(result.per_item["target_to_source"], back)
    assert result.metrics["accuracy"] == pytest.approx((there.mean() + back.mean()) / 2)

    def f1(rows):
        right, chosen = (there * mutual)[rows].sum(), mutual[rows].sum()
        precision, recall = right / max(chosen, 1), right / len(rows)
        return 2 * precision * recall / (precision + recall) if right else 0.0

    assert result.metrics["f1"] == pytest.approx(f1(np.arange(len(rows))))
    expected = [f1(items) for items in drawn_items(len(rows), 6, 1)]
    np.testing.assert_allclose(result.replicates["f1"], expected, rtol=1e-9, atol=1e-12)


def test_equal_texts_count_as_right(by_rule):
    rows = [{"source": "yes", "target": "oui"}, {"source": "yes", "target": "si"}, {"source": "no", "target": "non"}]
    numbers = {"yes": [1, 0], "oui": [1, 0.1], "si": [1, 0.2], "no": [0, 1], "non": [0, 1]}
    result = bitext(by_rule(2, lambda text: numbers[text]), open_bitext(rows))
    assert result.metrics["accuracy"] == 1.0
    assert result.metrics["source_to_target"] == 1.0


def test_the_margin_takes_back_what_is_near_to_everything(by_rule):
    # "hub" is nearest to both sources; over its neighbourhood it is no longer.
    numbers = {"a": [1, 0.3, 0], "b": [1, -0.3, 0], "A": [1, 1, 0.5], "hub": [1, -0.25, 0]}
    rows = [{"source": "a", "target": "A"}, {"source": "b", "target": "hub"}]
    embedder = by_rule(3, lambda text: numbers[text])
    assert bitext(embedder, open_bitext(rows)).metrics["source_to_target"] == 0.5
    assert bitext(embedder, open_bitext(rows), scoring="margin", k=2).metrics["source_to_target"] == 1.0


def test_the_order_of_the_rows_does_not_matter():
    rows = [{"source": f"s{i}", "target": f"t{i}"} for i in range(12)]
    a, b = (bitext(random_embedder(), open_bitext(some), scoring="margin", bootstrap=0) for some in (rows, rows[::-1]))
    assert a.metrics == b.metrics


def test_what_cannot_be_measured_is_said():
    with pytest.raises(InputError, match="all 2 rows have the same target"):
        open_bitext([{"source": "a", "target": "b"}, {"source": "c", "target": "b"}])
    with pytest.raises(InputError, match="column 'target' is empty"):
        open_bitext([{"source": "a", "target": "b"}, {"source": "c", "target": " "}])
    opened = open_bitext([{"source": "a", "target": "b"}, {"source": "c", "target": "d"}])
    with pytest.raises(InputError, match="scoring is 'ratio'"):
        bitext(random_embedder(), opened, scoring="ratio")
    with pytest.raises(InputError, match="k is 0; at least 1"):
        bitext(random_embedder(), opened, scoring="margin", k=0)
