"""Figures of a classification are those of scikit-learn, also on the drawn items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from evaluation.labelled import drawn_items
from likewise.evaluation.classification import classification_figures

labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)  # scikit-learn is slow
@given(labels, st.integers(0, 99))
def test_value_and_replicates_are_those_of_scikit_learn(pairs, seed):
    truth, predicted = np.array(pairs).T
    figures = classification_figures(truth, predicted, bootstrap=10, seed=seed)
    for name, function in (
        ("accuracy", metrics.accuracy_score),
        ("macro_f1", lambda a, b: metrics.f1_score(a, b, average="macro", zero_division=0)),
    ):
        assert figures["metrics"][name] == pytest.approx(function(truth, predicted), rel=1e-9)
        for replicate, items in zip(figures["replicates"][name], drawn_items(len(truth), 10, seed), strict=True):
            assert replicate == pytest.approx(function(truth[items], predicted[items]), rel=1e-9)


def test_by_hand():
    figures = classification_figures([0, 0, 1, 1], [0, 1, 1, 1], bootstrap=0, seed=0, hits={"top5": np.ones(4)})
    assert figures["metrics"] == {"accuracy": 0.75, "macro_f1": pytest.approx((2 / 3 + 4 / 5) / 2), "top5": 1.0}
    assert figures["per_item"]["accuracy"].tolist() == [1, 0, 1, 1]
    assert figures["intervals"] == {}
