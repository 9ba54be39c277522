"""What pairs are like, against a long draw and against loops."""

import numpy as np
import pytest

from likewise.sampling import IPWPairSampler, describe_pairs
from likewise.sampling.inverse_propensity import CANDIDATE, SOURCES

NUMBER, WIDTH = 25, 9


def sampler():
    random = np.random.default_rng(1)
    made = np.zeros((NUMBER, WIDTH), dtype=CANDIDATE)
    made["row"] = [random.choice(NUMBER, WIDTH, replace=False) for _ in range(NUMBER)]
    made["surface"], made["semantic"] = random.random((2, NUMBER, WIDTH))
    made["source"] = random.integers(len(SOURCES), size=(NUMBER, WIDTH))
    made["row"][:, -1] = -1
    made["semantic"][:5] = 0.7  # between the thresholds: nothing to draw
    return IPWPairSampler(made, 0.8, 0.6)


def test_it_is_what_a_loop_over_chances_says(monkeypatch):
    monkeypatch.setattr("likewise.sampling.pair_report.BLOCK", 7)
    one, lengths = sampler(), np.random.default_rng(2).integers(1, 20, NUMBER)
    found = {row["pairs"]: row for row in describe_pairs(one, lengths)}
    even = (one.candidates["row"] >= 0) & (one.candidates["source"] == SOURCES.index("random"))
    tables = {
        "positive": one.positive_chances(slice(None)),
        "negative": one.negative_chances(slice(None)),
        "random": even / np.maximum(even.sum(1, keepdims=True), 1),
    }
    for name, chances in tables.items():
        texts = [i for i in range(NUMBER) if chances[i].any()]
        surface = effective = allowed = 0.0
        apart = [0.0] * 11
        for i in texts:
            effective += 1 / sum(p * p for p in chances[i])
            for p, candidate in zip(chances[i], one.candidates[i], strict=True):
                surface += p * float(candidate["surface"])
                allowed += p > 0
                if p > 0:
                    apart[min(10, abs(int(lengths[i]) - int(lengths[candidate["row"]])))] += p
        row = found[name]
        assert row["surface"] == pytest.approx(surface / len(texts), rel=1e-6)
        assert row["effective"] == pytest.approx(effective / len(texts), rel=1e-9)
        assert row["allowed"] == pytest.approx(allowed / len(texts), rel=1e-9)
        assert row["length_difference"] == pytest.approx([x / len(texts) for x in apart], rel=1e-9)
        assert sum(row["length_difference"]) == pytest.approx(1.0)
        assert row["without"] == pytest.approx(1 - len(texts) / NUMBER)
    assert found["positive"]["without"] >= 0.2
    assert found["copy"]["surface"] == 1
    assert found["copy"]["length_difference"] == [1.0] + [0.0] * 10


def test_where_nothing_can_be_drawn_the_figures_are_0():
    none = IPWPairSampler(sampler().candidates, 2.0, -1.0)
    row = describe_pairs(none, np.ones(NUMBER, dtype=int))[0]
    assert row["without"] == 1
    assert (row["surface"], row["effective"]) == (0.0, 0.0)
