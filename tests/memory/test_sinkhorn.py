"""Transport plans: their sums, what they assign, and that no epsilon breaks them."""

import pytest
import torch
from torch.testing import assert_close

from likewise.memory import sinkhorn

DISTANCES = torch.tensor([[0.1, 1.5], [0.2, 1.4], [1.3, 0.3], [1.6, 0.2]], dtype=torch.float64)


def test_rows_go_to_what_is_near_and_with_the_sign_of_the_official_code_to_what_is_far():
    assert sinkhorn(DISTANCES, epsilon=0.1).argmax(1).tolist() == [0, 0, 1, 1]
    assert sinkhorn(-DISTANCES, epsilon=0.1).argmax(1).tolist() == [1, 1, 0, 0]
    softer = 4 * sinkhorn(DISTANCES, epsilon=0.5, tolerance=0)[0]
    # .93537 after the ten rounds of the official code, which end with rows; ours are all rounds.
    assert_close(softer, torch.tensor([0.93537, 0.06463], dtype=torch.float64), rtol=0, atol=3e-4)


def test_columns_get_equal_shares_where_all_rows_are_near_to_one():
    cost = torch.tensor([[0.1, 1.0], [0.2, 1.0], [0.3, 1.0], [0.35, 1.0]], dtype=torch.float64)
    plan = 4 * sinkhorn(cost, epsilon=0.05, tolerance=0)
    assert plan.argmax(1).tolist() == [0, 0, 1, 1]
    assert_close(plan.sum(0), torch.full((2,), 2.0, dtype=torch.float64), rtol=1e-9, atol=0)
    assert_close(plan.sum(1), torch.ones(4, dtype=torch.float64), rtol=1e-9, atol=0)


def test_a_constant_in_the_cost_of_a_row_or_column_changes_nothing():
    moved = DISTANCES + torch.tensor([[5.0], [0.0], [-2.0], [1.0]]) + torch.tensor([[3.0, -1.0]])
    assert_close(sinkhorn(moved, epsilon=0.3, tolerance=0), sinkhorn(DISTANCES, epsilon=0.3, tolerance=0))


@pytest.mark.parametrize("epsilon", [1e-5, 1e5])
def test_any_epsilon_gives_a_plan(epsilon):
    plan = sinkhorn(DISTANCES.float(), epsilon=epsilon)
    assert_close(plan.sum(), torch.tensor(1.0))
    assert_close(plan.sum(0), torch.tensor([0.5, 0.5]))


def test_bad_arguments_are_said():
    with pytest.raises(ValueError, match="matrix of finite numbers"):
        sinkhorn(DISTANCES / 0, epsilon=0.1)
    with pytest.raises(ValueError, match="epsilon is 0"):
        sinkhorn(DISTANCES, epsilon=0)
