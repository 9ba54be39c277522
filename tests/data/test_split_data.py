"""What is fitted on and what is tested on: no text on both sides, every class on both."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.data import LABELLED_COLUMNS, VALUED_COLUMNS, open_split
from likewise.data.split_data import SplitSettings, held_out_rows
from likewise.errors import InputError


def labelled(*labels):
    return [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abc")), min_size=1, max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 50),
)
def test_no_text_is_on_both_sides_and_every_class_is(pairs, share, seed):
    first = {}
    for text, label in pairs:
        first.setdefault(text, label)
    texts, labels = [str(text) for text, _ in pairs], [label for _, label in pairs]
    sizes = {one: sum(label == one for label in first.values()) for one in set(first.values())}
    if min(sizes.values()) < 2:
        with pytest.raises(InputError, match="has a single text"):
            held_out_rows(texts, labels, share, seed)
        return
    held = held_out_rows(texts, labels, share, seed)
    test, train = ({text for text, chosen in zip(texts, held, strict=True) if chosen == side} for side in (True, False))
    assert not test & train
    for one, size in sizes.items():
        number = sum(first[int(text)] == one for text in test)
        assert number == min(max(round(share * size), 1), size - 1)
    shuffled = np.random.default_rng(0).permutation(len(texts))
    again = held_out_rows([f"{texts[i]}" for i in sorted(shuffled)], labels, share, seed)
    np.testing.assert_array_equal(again, held)


def test_what_is_held_out_does_not_depend_on_the_order_of_the_rows():
    rows = labelled(*"aabbaabbab")
    split, other = (open_split(some, columns=LABELLED_COLUMNS) for some in (rows, rows[::-1]))
    assert sorted(split.test.inputs) == sorted(other.test.inputs)
    assert sorted(split.test.inputs) != sorted(open_split(rows, columns=LABELLED_COLUMNS, split_seed=3).test.inputs)


def test_a_class_of_one_text_may_stay_where_it_is():
    held = held_out_rows(["x", "y", "z"], ["a", "a", "b"], 0.5, 0, every_class=False)
    assert held.sum() == 1
    assert not held[2]


def test_two_files_are_used_as_they_are(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na dog,1\na cat,2\n")
    (tmp_path / "test.csv").write_text("text,label\na dog,1\na hen,2\n")
    split = open_split(tmp_path / "test.csv", columns=LABELLED_COLUMNS, train=tmp_path / "train.csv")
    assert (split.train.inputs, split.test.inputs) == (["a dog", "a cat"], ["a dog", "a hen"])
    assert split.how["train"] == "train.csv"
    assert (split.how["train_rows"], split.how["test_rows"], split.how["texts_in_both"]) == (2, 2, 1)
    assert split.test.where(1) == "test.csv, row 2"


def test_the_fingerprint_tells_data_and_split_apart():
    rows = labelled(*"aabbaabb")
    prints = {
        open_split(rows, columns=LABELLED_COLUMNS).fingerprint,
        open_split(rows, columns=LABELLED_COLUMNS, split_seed=1).fingerprint,
        open_split(rows, columns=LABELLED_COLUMNS, test_share=0.5).fingerprint,
        open_split(rows, columns=LABELLED_COLUMNS, train=labelled(*"ab")).fingerprint,
        open_split(rows[:-1], columns=LABELLED_COLUMNS).fingerprint,
    }
    assert len(prints) == 5
    assert open_split(rows, columns=LABELLED_COLUMNS).fingerprint in prints


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        (labelled("a", "a"), {}, "all 2 rows have the label 'a'; at least 2 classes"),
        (labelled("a", "a", "b"), {}, "class 'b' has a single text, so it cannot be both fitted on and tested"),
        (
            labelled("a", "b", "c"),
            {"train": labelled("a", "b")},
            r"rows\[2\]: the label 'c' is in no row to fit on",
        ),
        (labelled("a", "b"), {"train": labelled("a", "a")}, "all 2 rows have the label 'a'"),
        ([{"text": "a", "label": " "}], {}, "column 'label' is empty; every row needs a label: a non-empty text or"),
        ([{"text": "a", "labels": "x"}], {}, "has no column 'label' .did you mean 'labels'"),
    ],
)
def test_labels_that_cannot_be_split_are_said(rows, options, says):
    with pytest.raises(InputError, match=says):
        open_split(rows, columns=LABELLED_COLUMNS, **options)


def test_a_single_text_with_a_value_is_said():
    with pytest.raises(InputError, match="there is a single text"):
        open_split([{"text": "a", "value": 1}], columns=VALUED_COLUMNS)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"test_share": 1.0}, "test_share is 1.0; a share between"), ({"split_seed": -1}, "split_seed is -1")],
)
def test_shares_and_seeds_out_of_range_are_said(options, says):
    with pytest.raises(InputError, match=says):
        SplitSettings(**options)
