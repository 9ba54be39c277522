"""Pairs of rows with one label: how many, of what, and never a row with itself."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.sampling import LabelPairs

SIZES = {"a": 7, "b": 4, "c": 2, "alone": 1}
LABELS = [label for label, size in SIZES.items() for _ in range(size)]


def pairs_by_label(balance, labels=LABELS, seed=0):
    found = {}
    for i, j in LabelPairs(balance).of(labels, np.random.default_rng(seed)).tolist():
        assert labels[i] == labels[j]
        assert i != j
        found.setdefault(labels[i], []).append((i, j))
    return found


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        ("none", {"a": 6, "b": 3, "c": 1}),
        ("reduce", {"a": 3, "b": 3, "c": 1}),  # at most 4 rows of "a", as many as "b" has
        ("extend", {"a": 7, "b": 7, "c": 7}),
    ],
)
def test_how_many_pairs_a_label_gives(balance, expected):
    for seed in range(5):
        assert {label: len(pairs) for label, pairs in pairs_by_label(balance, seed=seed).items()} == expected


@given(st.lists(st.integers(0, 4), max_size=40), st.sampled_from(["none", "reduce", "extend"]), st.integers(0, 9))
def test_pairs_have_one_label_and_two_rows(labels, balance, seed):
    found = pairs_by_label(balance, labels, seed)
    assert set(found) == {label for label, size in Counter(labels).items() if size > 1}


def test_without_balance_every_row_takes_part_and_at_most_once_on_each_side():
    for label, pairs in pairs_by_label("none").items():
        anchors, partners = (Counter(side) for side in zip(*pairs, strict=True))
        assert max(anchors.values()) == max(partners.values()) == 1
        assert anchors.keys() | partners.keys() == {i for i, one in enumerate(LABELS) if one == label}


def test_extended_labels_are_put_in_another_order_when_they_are_used_up():
    pairs = pairs_by_label("extend", ["a"] * 60 + ["b"] * 3)["b"]
    assert len(pairs) == 60
    assert len(set(pairs)) == 6  # all ordered pairs of three rows
    anchors = Counter(i for i, _ in pairs)
    assert max(anchors.values()) - min(anchors.values()) <= 20


def test_pairs_are_shuffled_and_come_from_the_generator_alone():
    one, same, other = (LabelPairs().of(["a"] * 9 + ["b"] * 9, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.tolist() == same.tolist() != other.tolist()
    assert (np.diff(one[:, 0] < 9) != 0).sum() > 1


def test_no_label_with_two_rows_gives_no_pair():
    assert LabelPairs("extend").of(["a", "b"], np.random.default_rng(0)).shape == (0, 2)
    assert LabelPairs().of([], np.random.default_rng(0)).shape == (0, 2)


def test_an_unknown_balance_is_refused():
    with pytest.raises(InputError, match="unknown balance of labels 'extent': did you mean 'extend'"):
        LabelPairs("extent")
