"""The probe against scikit-learn, and that the test takes no part in choosing."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evaluation.labelled import blobs, labelled_rows, reader, unit
from likewise.errors import InputError
from likewise.evaluation import probe
from likewise.evaluation.tasks.probe import open_labelled_split

TRAIN, TEST = blobs(0, 60, spread=2.0), blobs(1, 30, spread=2.0)
SPLIT = open_labelled_split(labelled_rows(*TEST), train=labelled_rows(*TRAIN))


def test_predictions_are_those_of_scikit_learn_at_the_strength_that_is_said():
    result = probe(reader(4), SPLIT)
    model = LogisticRegression(C=result.settings["C"], max_iter=1000).fit(unit(TRAIN[0]), TRAIN[1])
    right = model.predict(unit(TEST[0])) == TEST[1]
    np.testing.assert_array_equal(result.per_item["accuracy"], right)
    assert result.metrics["accuracy"] == pytest.approx(right.mean())
    assert 0.5 < right.mean() < 1
    low, high = result.intervals["accuracy"]
    assert low <= result.metrics["accuracy"] <= high
    assert (result.num_items, result.items, result.settings["split"]) == (30, "texts", "given")
    assert (result.settings["train_rows"], result.settings["converged"]) == (60, True)
    assert (result.data_fingerprint, result.model_fingerprint) == (SPLIT.fingerprint, "0123abcd")


def test_the_test_rows_take_no_part_in_choosing_the_strength():
    wrong = [{**row, "label": f"c{i % 3}"} for i, row in enumerate(labelled_rows(*blobs(7, 30))[::-1])]
    other = open_labelled_split(wrong, train=labelled_rows(*TRAIN))
    assert probe(reader(4), other).settings["C"] == probe(reader(4), SPLIT).settings["C"]


def test_the_order_of_the_rows_does_not_matter():
    shuffled = open_labelled_split(labelled_rows(*TEST)[::-1], train=labelled_rows(*TRAIN)[::-1])
    a, b = probe(reader(4), SPLIT, bootstrap=0), probe(reader(4), shuffled, bootstrap=0)
    assert a.metrics == b.metrics
    assert a.settings["C"] == b.settings["C"]


def test_the_real_model_tells_topics_apart(minilm):
    texts = {
        "food": ["bread", "soup", "cheese", "apple pie", "rice"],
        "space": ["rocket", "moon", "comet", "orbit", "mars"],
    }
    rows = [{"text": f"a story about {text}", "label": label} for label, several in texts.items() for text in several]
    assert probe(minilm, open_labelled_split(rows)).metrics["accuracy"] == 1.0


def test_what_cannot_be_measured_is_said():
    single = open_labelled_split(labelled_rows(*TEST), train=labelled_rows(*blobs(0, 3)))
    with pytest.raises(InputError, match="every class has a single text, so none can be held out"):
        probe(reader(4), single)
    with pytest.raises(InputError, match="max_iterations is 0"):
        probe(reader(4), SPLIT, max_iterations=0)
    with pytest.raises(InputError, match="is zero or not finite"):
        probe(reader(4), open_labelled_split(labelled_rows(*TEST), train=labelled_rows(TRAIN[0] * 0, TRAIN[1])))
    assert probe(reader(4), SPLIT, max_iterations=1).settings["converged"] is False
