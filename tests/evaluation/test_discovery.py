"""Clusters matched to classes: sizes by rank, accuracies by one matching, and what does not matter."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from likewise.evaluation.discovery import class_counts, discovery_accuracy
from likewise.sampling import class_rates, kept_by_rate


def test_rates_are_those_of_the_specification():
    counts = np.array([60.0, 30.0, 10.0])
    np.testing.assert_allclose(class_rates(counts, 0.5), [0.408248, 0.57735, 1], atol=1e-6)
    np.testing.assert_allclose(class_rates(counts, 1.0), [0.166667, 0.333333, 1], atol=1e-6)
    assert class_rates(counts, 0.0).tolist() == [1, 1, 1]


def test_the_most_confident_are_kept_and_frequent_classes_give_most_away():
    random = np.random.default_rng(0)
    classes, confidence = np.repeat([0, 1], [600, 60]), random.random(660)
    kept = kept_by_rate(classes, confidence, class_rates(np.array([600.0, 60.0]), 1.0), np.random.default_rng(1))
    assert kept[600:].all()
    assert 40 < kept[:600].sum() < 80
    assert confidence[:600][kept[:600]].min() > confidence[:600][~kept[:600]].max()


def test_names_of_clusters_do_not_matter_and_counts_add_up():
    random = np.random.default_rng(0)
    clusters = random.integers(0, 5, 200)
    labels = np.where(random.random(200) < 0.3, clusters % 3, -1)
    counts = class_counts(clusters, labels, 5, 3)
    assert counts.sum() == 200
    assert counts.min() >= 1
    for _ in range(3):
        np.testing.assert_array_equal(class_counts(random.permutation(5)[clusters], labels, 5, 3), counts)


def test_known_classes_get_sizes_by_the_rank_of_their_labelled_rows():
    clusters = np.repeat([0, 1, 2, 3], [10, 50, 30, 20])
    labels = np.full(110, -1)
    labels[:3], labels[10:12] = 0, 1  # class 0 has more labels, and the smaller cluster
    assert class_counts(clusters, labels, 4, 2).tolist() == [50, 10, 30, 20]


def test_an_empty_cluster_counts_one_and_shifts_nothing():
    counts = class_counts(np.array([0, 0, 2, 2, 2]), np.array([0, -1, -1, -1, -1]), 3, 1)
    assert counts.tolist() == [2, 3, 1]


def test_a_permuted_perfect_prediction_is_right_everywhere():
    truth = np.random.default_rng(0).integers(0, 6, 100)
    found = discovery_accuracy(np.random.default_rng(1).permutation(6)[truth], truth, [0, 1])
    assert found == {"all": 1.0, "old": 1.0, "new": 1.0}


def test_old_and_new_have_the_matching_of_all():
    truth = np.repeat([0, 1], [3, 5])
    clusters = np.array([0, 0, 0, 0, 0, 0, 0, 1])  # class 1 takes cluster 0, though class 0 would want it
    assert discovery_accuracy(clusters, truth, [0]) == {"all": 0.5, "old": 0.0, "new": 0.8}


def drawn_by_the_official_code():
    """Three known and two new classes in 80 rows, and clusters that are right for most of them."""
    random = np.random.default_rng(11)
    truth = random.choice(5, size=80, p=[0.4, 0.1, 0.2, 0.2, 0.1])
    vectors = 2 * np.eye(5)[truth] + random.normal(size=(80, 5)) * 0.7
    labelled = (truth < 3) & (random.random(80) < 0.5)
    return truth, vectors, labelled, random


def test_counts_and_accuracies_are_those_of_the_official_code():
    # JianhongBai/BaCon at f602de5a: dist_est (k-means of scikit-learn, random_state 0) and split_cluster_acc_v2.
    truth, vectors, labelled, random = drawn_by_the_official_code()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    clusters = KMeans(5, random_state=0).fit(unit).labels_
    assert class_counts(clusters, np.where(labelled, truth, -1), 5, 3).tolist() == [39, 7, 14, 15, 5]
    clusters = random.permutation(5)[np.where(random.random(80) < 0.6, truth, random.integers(0, 5, 80))]
    found = discovery_accuracy(clusters, truth, range(3))
    assert found == pytest.approx({"all": 0.75, "old": 0.7419354838709677, "new": 0.7777777777777779}, abs=1e-12)
