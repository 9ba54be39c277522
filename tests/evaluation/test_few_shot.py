"""Episodes against scikit-learn's nearest centroid on the same draws."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, ndcg_score
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


def test_all_classes_with_enough_rows_and_all_other_rows_can_take_part():
    """Against scikit-learn on the same draws, with classes of different sizes; as Dialog2Flow measures."""
    sizes = (9, 4, 12, 7, 20)
    vectors, _ = blobs(3, sum(sizes), classes=5, spread=2)
    labels = np.repeat(np.arange(5), sizes)
    rows = labelled_rows(vectors, labels)
    settings = {"ways": 0, "queries": 0, "shots": 2, "episodes": 6, "nearest": "dot"}
    result = few_shot(reader(4), open_labelled(rows), **settings, seed=7)
    assert result.settings["classes"] == 4  # one has fewer than max(2 * 2, 2 + 5) rows
    random, units = np.random.default_rng(7), unit(vectors)
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["label"], rows[i]["text"]))
    groups = [[i for i in order if labels[i] == label] for label in (0, 2, 3, 4)]
    expected = {"accuracy": [], "macro_f1": [], "ndcg@10": []}
    for _ in range(6):
        drawn = [random.choice(rows_of, len(rows_of), replace=False) for rows_of in groups]
        prototypes = np.stack([units[several[:2]].mean(axis=0) for several in drawn])
        asked = np.concatenate([several[2:] for several in drawn])
        truth = np.repeat(np.arange(4), [len(several) - 2 for several in drawn])
        products = units[asked] @ prototypes.T
        told = products.argmax(axis=1)
        expected["accuracy"].append((told == truth).mean())
        expected["macro_f1"].append(f1_score(truth, told, average="macro", zero_division=0))
        relevant = (truth[None, :] == np.arange(4)[:, None]).astype(int)
        expected["ndcg@10"].append(ndcg_score(relevant, products.T, k=10))
    for metric, values in expected.items():
        np.testing.assert_allclose(result.per_item[metric], values, rtol=1e-9)


def test_a_class_whose_examples_lie_close_together_is_favoured_by_the_dot_product():
    angles = np.deg2rad([0.0] * 12 + [30, 150, 60] * 6)
    rows = labelled_rows(np.stack([np.cos(angles), np.sin(angles)], axis=1), np.repeat([0, 1], (12, 18)))
    euclidean, dot = (
        few_shot(reader(2), open_labelled(rows), ways=0, queries=0, shots=5, episodes=30, nearest=how).metrics
        for how in ("euclidean", "dot")
    )
    assert dot["accuracy"] < euclidean["accuracy"]  # what lies at 60 degrees goes to the class at 0
    assert dot["ndcg@10"] == euclidean["ndcg@10"]


def test_too_few_classes_with_enough_rows_are_counted():
    with pytest.raises(InputError, match="0 of 6 classes have the 18 rows that an episode takes of each, and 2 are"):
        few_shot(reader(4), open_labelled(ROWS), ways=0, queries=0, shots=9)
