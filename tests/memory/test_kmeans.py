"""K-means: what it finds, and what it cannot."""

import numpy as np
import pytest

from likewise.errors import InputError
from likewise.memory import clusters_of


def test_clusters_are_found_and_the_seed_decides_their_names():
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 20)
    vectors = (5 * np.eye(3)[truth] + random.normal(size=(60, 3))).astype(np.float32)
    found = clusters_of(vectors, 3, seed=1)
    assert [len(set(found[truth == one])) for one in range(3)] == [1, 1, 1]
    assert set(found) == {0, 1, 2}
    np.testing.assert_array_equal(clusters_of(vectors, 3, seed=1), found)


def test_fewer_vectors_than_clusters_are_refused():
    with pytest.raises(InputError, match="2 different vectors for 3 clusters"):
        clusters_of(np.array([[0.0], [0.0], [1.0]], dtype=np.float32), 3)
