"""Episodes against scikit-learn's nearest centroid on the same draws."""

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from evaluation.labelled import blobs, labelled_rows, reader, unit
from likewise.errors import InputError
from likewise.evaluation import few_shot
from likewise.evaluation.tasks.clustering import open_labelled

VECTORS, LABELS = blobs(0, 60, classes=6, spread=2)
ROWS = labelled_rows(VECTORS, LABELS)
SMALL = {"ways": 3, "shots": 2, "queries": 4, "episodes": 40}


def test_every_episode_is_that_of_a_nearest_centroid():
    result = few_shot(reader(4), open_labelled(ROWS), **SMALL, seed=5)
    random = np.random.default_rng(5)
    order = sorted(range(60), key=lambda i: (ROWS[i]["label"], ROWS[i]["text"]))
    groups = [[i for i in order if LABELS[i] == label] for label in range(6)]
    vectors = unit(VECTORS)
    expected = []
    for _ in range(40):
        classes = random.choice(6, 3, replace=False)
        drawn = [random.choice(groups[one], 6, replace=False) for one in classes]
        model = NearestCentroid().fit(np.concatenate([vectors[rows[:2]] for rows in drawn]), np.repeat(np.arange(3), 2))
        asked = np.concatenate([vectors[rows[2:]] for rows in drawn])
        expected.append((model.predict(asked) == np.repeat(np.arange(3), 4)).mean())
    np.testing.assert_allclose(result.per_item["accuracy"], expected)
    assert result.metrics["accuracy"] == pytest.approx(np.mean(expected))
    assert (result.num_items, result.items) == (40, "episodes")


def test_the_interval_is_over_episodes():
    many = few_shot(reader(4), open_labelled(ROWS), **{**SMALL, "episodes": 400})
    few = few_shot(reader(4), open_labelled(ROWS), **{**SMALL, "episodes": 25})
    widths = [high - low for low, high in (one.intervals["accuracy"] for one in (many, few))]
    assert widths[0] < widths[1] / 2
    error = many.per_item["accuracy"].std() / 20  # of a mean over 400
    assert widths[0] == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does():
    a, b = (few_shot(reader(4), open_labelled(rows), **SMALL) for rows in (ROWS, ROWS[::-1]))
    assert a.metrics == b.metrics
    assert few_shot(reader(4), open_labelled(ROWS), **SMALL, seed=1).metrics != a.metrics


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ways": 7}, "has 6 classes, fewer than the 7 ways"),
        ({"shots": 8}, "class 'c0' has 10 rows, fewer than the 12 .shots and queries."),
        ({"ways": 1}, "ways is 1; at least 2"),
        ({"episodes": 0}, "episodes is 0; at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_said(options, says):
    with pytest.raises(InputError, match=says):
        few_shot(reader(4), open_labelled(ROWS), **{**SMALL, **options})
