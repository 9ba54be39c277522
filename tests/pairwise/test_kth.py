"""The k-th highest of every row, exactly, for small and large k."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.pairwise import kth, reference
from pairwise.cases import normal, not_multiple_of_three


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_equals_a_full_sort_with_ties_each_counted(data):
    """Whole numbers make exact ties, whatever the order of summation."""
    num_rows, num_columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 60))
    k = data.draw(st.integers(1, num_columns + 2))
    tile = data.draw(st.one_of(st.none(), st.integers(1, 60), st.tuples(st.integers(1, 4), st.integers(1, 60))))
    mask = data.draw(st.sampled_from([None, not_multiple_of_three, lambda row, column: column.index < row.index]))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**20)))
    query = torch.randint(-2, 3, (num_rows, 3), generator=generator).to(dtype)
    key = torch.randint(-2, 3, (num_columns, 3), generator=generator).to(dtype)
    found = kth(query, key, k, mask_mod=mask, tile=tile)
    assert found.dtype == dtype
    assert torch.equal(found.double(), reference.kth(query, key, k, mask_mod=mask))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, -1.0])
def test_many_keys_of_any_size_and_sign(dtype, scale):
    query, key = normal(9, 4, seed=0, dtype=dtype), normal(3000, 4, seed=1, dtype=dtype)
    scores = (scale * (query @ key.T)).sort(dim=1, descending=True).values
    for k in (1, 2, 777, 1500, 3000):
        found = kth(query, key, k, scale=scale, tile=(4, 700))
        torch.testing.assert_close(found, scores[:, k - 1], rtol=1e-5, atol=1e-6 * abs(scale))
    assert (kth(query, key, 3001) == -torch.inf).all()


def test_as_many_scores_are_no_lower_as_k_says_and_tiles_do_not_matter():
    query, key = normal(5, 8, seed=2, dtype=torch.float32), normal(900, 8, seed=3, dtype=torch.float32)
    found = kth(query, key, 300, tile=1000)
    assert ((query @ key.T) >= found[:, None]).sum(1).tolist() == [300] * 5
    torch.testing.assert_close(kth(query, key, 300, tile=(2, 64)), found)


def test_scores_are_those_of_the_other_reductions():
    query, key = normal(6, 3, seed=0), normal(200, 3, seed=1)
    options = {
        "scale": torch.linspace(-1, 2, 6, dtype=torch.float64),
        "score_mod": lambda score, row, column: score * row[0] + column[0] + (row.index + column.index) % 7,
        "mask_mod": not_multiple_of_three,
        "rows": (normal(6, seed=2),),
        "columns": (normal(200, seed=3),),
        "first_row": 3,
        "first_column": 5,
    }
    torch.testing.assert_close(kth(query, key, 40, tile=(4, 60), **options), reference.kth(query, key, 40, **options))


def test_pairs_that_a_score_mod_leaves_out_are_not_counted_and_no_gradient_is_kept():
    query, key = torch.ones(2, 1, requires_grad=True), torch.arange(6.0)[:, None]

    def out(score, row, column):
        return torch.where(column.index < 4, score, -torch.inf)

    assert kth(query, key, 4, score_mod=out).tolist() == [0.0, 0.0]
    assert kth(query, key, 5, score_mod=out).tolist() == [-torch.inf] * 2
    assert not kth(query, key, 1).requires_grad


@pytest.mark.parametrize(("num_rows", "num_columns"), [(0, 3), (3, 0)])
def test_nothing_to_find(num_rows, num_columns):
    assert kth(torch.zeros(num_rows, 2), torch.zeros(num_columns, 2), 1).tolist() == [-torch.inf] * num_rows


def test_bad_input():
    query, key = torch.ones(2, 2), torch.ones(3, 2)
    with pytest.raises(ValueError, match="kth: k is 0; it is >= 1"):
        kth(query, key, 0)
    with pytest.raises(ValueError, match="kth: key has an element that is not finite in row 1"):
        kth(query, torch.tensor([[1.0, 0.0], [torch.nan, 0.0], [1.0, 1.0]]), 1)
    with pytest.raises(ValueError, match="kth: the score_mod gives NaN in row 1 of query"):
        kth(query, key, 1, score_mod=lambda score, row, column: torch.where(row.index == 1, torch.nan, score), tile=1)
