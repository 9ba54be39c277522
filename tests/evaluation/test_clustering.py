"""Agreement of clusters and labels against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.cluster import KMeans

import likewise.evaluation.tasks.clustering as module
from evaluation.labelled import blobs, drawn_items, labelled_rows, reader, unit
from likewise.errors import InputError
from likewise.evaluation import clustering
from likewise.evaluation.bootstrap import replicates_of
from likewise.evaluation.tasks.clustering import agreement_statistic, open_labelled


def of_scikit_learn(labels, clusters):
    nmi = metrics.normalized_mutual_info_score(labels, clusters, average_method="geometric")
    return [metrics.v_measure_score(labels, clusters), metrics.adjusted_rand_score(labels, clusters), nmi]


@settings(max_examples=50, deadline=None)  # scikit-learn is slow
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=25), st.integers(0, 99))
def test_value_and_replicates_are_those_of_scikit_learn(pairs, seed):
    labels, clusters = np.array(pairs).T
    statistic = agreement_statistic(labels, clusters)
    assert statistic(np.ones((1, len(labels))))[0] == pytest.approx(of_scikit_learn(labels, clusters), abs=1e-7)
    got = replicates_of(statistic, len(labels), 8, seed)
    for replicate, items in zip(got, drawn_items(len(labels), 8, seed), strict=True):
        assert replicate == pytest.approx(of_scikit_learn(labels[items], clusters[items]), abs=1e-7)


def test_blobs_far_apart_are_found_whatever_the_order_of_the_rows():
    vectors, labels = blobs(0, 60, spread=0.01)
    rows = labelled_rows(vectors, labels)
    result = clustering(reader(4), open_labelled(rows))
    assert result.metrics == pytest.approx({"v_measure": 1.0, "ari": 1.0, "nmi": 1.0})
    overlapping = labelled_rows(*blobs(0, 60, spread=2))
    a, b = (clustering(reader(4), open_labelled(some)) for some in (overlapping, overlapping[::-1]))
    assert a.metrics == pytest.approx(b.metrics)
    assert 0 < a.metrics["v_measure"] < 1


def test_clusters_are_those_of_k_means():
    vectors, labels = blobs(3, 50, spread=2)
    rows = sorted(
        zip(labelled_rows(vectors, labels), unit(vectors), labels, strict=True), key=lambda one: one[0]["text"]
    )
    result = clustering(reader(4), open_labelled([row for row, _, _ in rows]), seed=4)
    theirs = KMeans(3, n_init=10, random_state=4).fit_predict(np.array([vector for _, vector, _ in rows]))
    assert list(result.metrics.values()) == pytest.approx(of_scikit_learn([one for _, _, one in rows], theirs))


def test_large_sets_are_clustered_in_parts_and_it_is_said(monkeypatch):
    table = open_labelled(labelled_rows(*blobs(0, 60, spread=0.01)))
    assert clustering(reader(4), table, bootstrap=0).settings["algorithm"] == "KMeans"
    monkeypatch.setattr(module, "WHOLE_UP_TO", 59)
    result = clustering(reader(4), table, bootstrap=0)
    assert result.settings["algorithm"] == "MiniBatchKMeans"
    assert result.metrics["v_measure"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 0, 0], "all 3 rows have the label 'c0'; at least 2 classes"),
        ([0, 1, 2], "each of the 3 labels has one row"),
    ],
)
def test_labels_that_cannot_be_compared_are_said(labels, says):
    with pytest.raises(InputError, match=says):
        clustering(reader(4), open_labelled(labelled_rows(blobs(0, 3)[0], labels)))


def test_too_few_different_vectors_are_said(by_rule):
    table = open_labelled(labelled_rows(*blobs(0, 9)))
    with pytest.raises(InputError, match="there are 1 different vectors for 3 labels"):
        clustering(by_rule(2, lambda text: [1.0, 1.0]), table)
