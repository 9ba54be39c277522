"""The nearest of every row, exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.pairwise import reference, topk
from pairwise.cases import normal, not_multiple_of_three


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_equals_a_full_sort_with_ties_by_the_lower_column(data):
    """Whole numbers make exact ties, whatever the order of summation."""
    num_rows, num_columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 300))
    k = data.draw(st.sampled_from([1, 2, 5, 40, 400]))
    tile = data.draw(st.one_of(st.none(), st.integers(1, 300), st.tuples(st.integers(1, 4), st.integers(1, 300))))
    mask = data.draw(st.sampled_from([None, not_multiple_of_three, lambda row, column: column.index < row.index]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**20)))
    query = torch.randint(-2, 3, (num_rows, 3), generator=generator).float()
    key = torch.randint(-2, 3, (num_columns, 3), generator=generator).float()
    values, indices = topk(query, key, k, mask_mod=mask, tile=tile)
    expected = reference.topk(query, key, k, mask_mod=mask)
    assert torch.equal(values.double(), expected[0])
    assert torch.equal(indices, expected[1])


@pytest.mark.parametrize("k", [1, 7, 64, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_keys(k, dtype):
    query, key = normal(20, 4, seed=0, dtype=dtype), normal(3000, 4, seed=1, dtype=dtype)
    expected = (query @ key.T).topk(k, 1)
    for tile in (None, (7, 500), 64):
        values, indices = topk(query, key, k, tile=tile)
        torch.testing.assert_close(values, expected.values)
        assert torch.equal(indices, expected.indices)


@pytest.mark.parametrize("order", ["rising", "falling", "equal"])
def test_keys_in_an_unlucky_order(order):
    score = {"rising": torch.arange(700.0), "falling": -torch.arange(700.0), "equal": torch.zeros(700)}[order]
    values, indices = topk(torch.ones(3, 1), score[:, None], 5, tile=100)
    expected = [699, 698, 697, 696, 695] if order == "rising" else [0, 1, 2, 3, 4]
    assert indices.tolist() == [expected] * 3
    assert torch.equal(values, score[indices])


def test_rows_with_fewer_than_k():
    query, key = normal(3, 2, seed=0), normal(5, 2, seed=1)
    values, indices = topk(query, key, 4, mask_mod=lambda row, column: column.index < 2 * row.index, tile=2)
    assert (indices == -1).sum(1).tolist() == [4, 2, 0]
    assert torch.equal(indices == -1, values == -torch.inf)
    assert set(indices[1, :2].tolist()) == {0, 1}


@pytest.mark.parametrize(("num_rows", "num_columns"), [(0, 3), (3, 0)])
def test_nothing_to_find(num_rows, num_columns):
    values, indices = topk(torch.zeros(num_rows, 2), torch.zeros(num_columns, 2), 2)
    assert values.tolist() == [[-torch.inf] * 2] * num_rows
    assert indices.tolist() == [[-1] * 2] * num_rows


def test_scores_are_those_of_the_other_reductions():
    query, key = normal(6, 3, seed=0), normal(200, 3, seed=1)
    row, column = normal(6, seed=2), normal(200, seed=3)
    options = {
        "scale": torch.linspace(-1, 2, 6, dtype=torch.float64),
        "score_mod": lambda score, row, column: score * row[0] + column[0] + (row.index + column.index) % 7,
        "mask_mod": not_multiple_of_three,
        "rows": (row,),
        "columns": (column,),
        "first_row": 3,
        "first_column": 5,
    }
    values, indices = topk(query, key, 9, tile=(4, 60), **options)
    expected = reference.topk(query, key, 9, **options)
    torch.testing.assert_close(values, expected[0])
    assert torch.equal(indices, expected[1])
    factors = {"score_mod": lambda scores, row, column: scores[0] - scores[1].abs()}
    found = topk((query, query[:, :1]), (key, key[:, :1]), 9, tile=50, **factors)
    expected = reference.topk((query, query[:, :1]), (key, key[:, :1]), 9, **factors)
    torch.testing.assert_close(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_no_gradient_is_kept():
    values, _ = topk(torch.ones(2, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True), 1)
    assert not values.requires_grad


def test_bad_input():
    query, key = torch.ones(2, 2), torch.ones(3, 2)
    with pytest.raises(ValueError, match="topk: k is 0; it is >= 1"):
        topk(query, key, 0)
    with pytest.raises(ValueError, match="topk: key has an element that is not finite in row 1"):
        topk(query, torch.tensor([[1.0, 0.0], [torch.nan, 0.0]]), 1)
    with pytest.raises(ValueError, match="topk: the score_mod gives NaN in row 1 of query"):
        topk(query, key, 1, score_mod=lambda score, row, column: torch.where(row.index == 1, torch.nan, score), tile=1)
