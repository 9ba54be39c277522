"""Actions: clusters of utterances against a plain loop of average linkage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.flows import cluster_actions

VECTORS = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 2.0], [-1.0, 0.1]])
TEXTS = ["hi", "hello", "bye", "good bye", "no"]


def members(actions):
    return {one.members for one in actions}


def by_loop(vectors, threshold):
    """Join the two clusters of the smallest mean cosine distance while it is below the threshold."""
    groups = [[i] for i in range(len(vectors))]

    def distance(a, b):
        pairs = [(vectors[i], vectors[j]) for i in a for j in b]
        return math.fsum(1 - x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for x, y in pairs) / len(pairs)

    while len(groups) > 1:
        closest, i, j = min((distance(a, b), i, j) for i, a in enumerate(groups) for j, b in enumerate(groups[:i]))
        if closest >= threshold:
            break
        groups[j] += groups.pop(i)
    return {tuple(sorted(group)) for group in groups}


@given(st.integers(1, 9), st.floats(0.05, 1.9), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_clusters_are_those_of_a_plain_loop(number, threshold, seed):
    vectors = np.random.default_rng(seed).normal(size=(number, 3))
    found = cluster_actions(vectors, [str(i) for i in range(number)], threshold=threshold)
    assert members(found) == by_loop(vectors, threshold)


def test_the_largest_comes_first_and_the_nearest_to_the_centre_stands_for_it():
    found = cluster_actions(np.concatenate([VECTORS, [[0.05, 1.0]]]), [*TEXTS, "bye bye"], threshold=0.5)
    assert found[0].members == (2, 3, 5)
    assert found[0].nearest[0] in ("good bye", "bye bye")
    assert np.allclose(found[0].centre, [0.05, 4 / 3])
    cosines = [float(VECTORS[i] @ found[1].centre / np.linalg.norm(VECTORS[i])) for i in found[1].members]
    order = [TEXTS[i] for _, i in sorted(zip(cosines, found[1].members, strict=True), reverse=True)]
    assert list(found[1].nearest) == order


def test_a_number_of_clusters_takes_the_place_of_the_threshold():
    for number in (1, 2, 5):
        assert len(cluster_actions(VECTORS, TEXTS, number=number)) == number
    assert len(cluster_actions(VECTORS, TEXTS, number=50)) == 5
    assert len(cluster_actions(VECTORS, TEXTS, threshold=2.0)) == 1


def test_equal_texts_stand_for_an_action_once():
    (found,) = cluster_actions(np.ones((4, 2)), ["a", "a", "b", "a"], show=2)
    assert found.nearest == ("a", "b")


def test_a_vector_of_zeros_points_along_the_first_axis():
    found = cluster_actions(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]), ["", "x", "y"], threshold=0.5)
    assert members(found) == {(0, 1), (2,)}


def test_one_utterance_and_none():
    assert members(cluster_actions(np.ones((1, 2)), ["a"])) == {(0,)}
    assert cluster_actions(np.empty((0, 2)), []) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"threshold": 0.0}, r"threshold is 0.0; it is a cosine distance, more than 0 and at most 2"),
        ({"threshold": 2.5}, "threshold is 2.5"),
        ({"number": 0}, "the number of clusters is 0; it is at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        cluster_actions(VECTORS, TEXTS, **options)


def test_too_many_utterances_are_refused_before_anything_is_computed():
    with pytest.raises(InputError, match="30001 utterances of one speaker; at most 30000"):
        cluster_actions(np.ones((30_001, 1)), ["a"] * 30_001)
