"""Where two models disagree: the rows, and nothing where they agree."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise.studies.disagreement import disagreements
from likewise.studies.measures import neighbours


def arrays(rows, positives=None, k=2):
    found = neighbours(rows, positives, k)
    return {"index": found.index, "cosine": found.cosine, "rank": found.rank}


def test_neighbours_are_the_other_rows_by_cosine_and_the_rank_is_that_of_the_own_positive():
    rows = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 2.0]])
    assert arrays(rows)["index"].tolist() == [[1, 2], [0, 2], [1, 0]]
    positives = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
    found = arrays(rows, positives)
    assert found["index"][0].tolist() == [1, 0]
    assert found["rank"].tolist() == [2, 2, 1]


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 99))
def test_ranks_are_those_of_a_plain_loop(number, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    rows, positives = torch.randn(2, number, dim, generator=generator) + 0.01
    ranks = arrays(rows, positives)["rank"]
    unit = [torch.nn.functional.normalize(x, dim=1) for x in (rows, positives)]
    for i in range(number):
        own = float(unit[0][i] @ unit[1][i])
        nearer = [j for j in range(number) if float(unit[0][i] @ unit[1][j]) - own > 1e-6]
        assert abs(ranks[i] - 1 - len(nearer)) <= sum(
            abs(float(unit[0][i] @ unit[1][j]) - own) < 2e-6 for j in range(number)
        )


def test_a_copy_of_the_own_positive_is_no_nearer_than_it():
    rows = torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    assert arrays(rows, rows[[0, 0, 0, 0, 0, 0]])["rank"].tolist() == [1] * 6


def test_models_that_agree_disagree_nowhere():
    rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    assert disagreements(arrays(rows), arrays(3 * rows), 5) == []
    assert disagreements(arrays(rows, rows), arrays(rows, rows), 5) == []


def test_the_row_that_moved_furthest_in_rank_comes_first():
    first = {"index": np.zeros((3, 1), int), "cosine": np.ones((3, 1)), "rank": np.array([1, 10, 4])}
    second = {"index": np.zeros((3, 1), int), "cosine": np.ones((3, 1)), "rank": np.array([3, 100, 4])}
    found = disagreements(first, second, 9)
    assert [(one.row, one.ranks) for one in found] == [(1, (10, 100)), (0, (1, 3))]
    assert len(disagreements(first, second, 1)) == 1
