"""Votes of neighbours against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

import likewise.evaluation.tasks.knn as module
from evaluation.labelled import blobs, labelled_rows, reader, unit
from likewise.errors import InputError
from likewise.evaluation import knn
from likewise.evaluation.tasks.probe import open_labelled_split


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 999), st.integers(1, 30), st.sampled_from(["weighted", "majority"]), st.sampled_from([0.02, 0.07, 1])
)
def test_votes_are_those_of_scikit_learn(seed, k, vote, temperature):
    train, test = blobs(seed, 30, classes=4, spread=3), blobs(seed + 1, 20, classes=4, spread=3)
    split = open_labelled_split(labelled_rows(*test), train=labelled_rows(*train))
    result = knn(reader(4), split, k=k, vote=vote, temperature=temperature, bootstrap=0)
    weights = "uniform" if vote == "majority" else lambda distance: np.exp((1 - distance) / temperature)
    theirs = KNeighborsClassifier(k, metric="cosine", weights=weights).fit(unit(train[0]), train[1])
    np.testing.assert_array_equal(result.per_item["accuracy"], theirs.predict(unit(test[0])) == test[1])


def test_by_hand():
    train = labelled_rows([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], [0, 1, 1, 2])
    split = open_labelled_split(labelled_rows([[1, 0.01]], [0]), train=train)
    assert knn(reader(2), split, k=1).metrics["accuracy"] == 1
    assert knn(reader(2), split, k=3, vote="majority").metrics["accuracy"] == 0  # two of three say 1
    assert (
        knn(reader(2), split, k=3, temperature=0.07).metrics["accuracy"] == 1
    )  # exp(1/.07) > exp(.8/.07) + exp(.6/.07)
    assert knn(reader(2), split, k=3, temperature=1.0).metrics["accuracy"] == 0


def test_small_temperatures_and_many_classes_at_a_time_change_nothing(monkeypatch):
    split = open_labelled_split(labelled_rows(*blobs(1, 20)), train=labelled_rows(*blobs(0, 30)))
    nearest = knn(reader(4), split, k=1)
    assert knn(reader(4), split, k=9, temperature=1e-5).metrics == nearest.metrics
    whole = knn(reader(4), split, k=9)
    monkeypatch.setattr(module, "_CELLS", 7)
    assert knn(reader(4), split, k=9) == whole


def test_the_order_of_the_rows_does_not_matter():
    test, train = labelled_rows(*blobs(1, 20)), labelled_rows(*blobs(0, 30))
    a = knn(reader(4), open_labelled_split(test, train=train), k=5, bootstrap=0)
    b = knn(reader(4), open_labelled_split(test[::-1], train=train[::-1]), k=5, bootstrap=0)
    assert a.metrics == b.metrics


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"k": 31}, "k is 31, but .* has 30 rows to vote"),
        ({"k": 0}, "k is 0; at least 1"),
        ({"temperature": 0}, "temperature is 0; a number above 0"),
        ({"vote": "weigthed"}, "vote is 'weigthed'"),
    ],
)
def test_what_cannot_be_measured_is_said(options, says):
    split = open_labelled_split(labelled_rows(*blobs(1, 20)), train=labelled_rows(*blobs(0, 30)))
    with pytest.raises(InputError, match=says):
        knn(reader(4), split, **options)
