"""Counts of all pairs by their score, exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.pairwise import histogram, reference
from pairwise.cases import normal, not_multiple_of_three


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_whole_numbers_are_counted_exactly_at_every_tile_size(data):
    """Scores that are whole numbers lie on the edges, whatever the order of summation."""
    num_rows, num_columns = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40))
    tile = data.draw(st.one_of(st.none(), st.integers(1, 50), st.tuples(st.integers(1, 4), st.integers(1, 50))))
    mask = data.draw(st.sampled_from([None, not_multiple_of_three, lambda row, column: column.index < row.index]))
    edges = torch.tensor(sorted(data.draw(st.sets(st.integers(-13, 13), min_size=2, max_size=9)))).float()
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**20)))
    query = torch.randint(-2, 3, (num_rows, 3), generator=generator).float()
    key = torch.randint(-2, 3, (num_columns, 3), generator=generator).float()
    found = histogram(query, key, edges, mask_mod=mask, tile=tile)
    assert found.dtype == torch.int64
    assert torch.equal(found, reference.histogram(query, key, edges, mask_mod=mask))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tile", [None, 64, (7, 500)])
def test_equals_numpy_over_many_pairs(dtype, tile):
    query, key = normal(60, 4, seed=0, dtype=dtype), normal(700, 4, seed=1, dtype=dtype)
    edges = torch.linspace(-3, 3, 31, dtype=dtype)
    expected, _ = np.histogram((query @ key.T).numpy(), bins=edges.numpy())
    assert histogram(query, key, edges, tile=tile).tolist() == expected.tolist()


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
    edges = torch.linspace(-5, 10, 16, dtype=torch.float64)
    expected = reference.histogram(query, key, edges, **options)
    assert expected.sum() > 100
    assert torch.equal(histogram(query, key, edges, tile=(4, 60), **options), expected)
    factors = {"score_mod": lambda scores, row, column: scores[0] - scores[1].abs()}
    found = histogram((query, query[:, :1]), (key, key[:, :1]), edges, tile=50, **factors)
    assert torch.equal(found, reference.histogram((query, query[:, :1]), (key, key[:, :1]), edges, **factors))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bins", [1, 3, 40, 1000])
def test_even_edges_are_those_of_a_search_also_where_scores_lie_on_them(dtype, bins):
    """Scores on every edge and one step of the number format to either side of it, and far outside."""
    edges = torch.linspace(-1, 1, bins + 1, dtype=dtype)
    around = [torch.nextafter(edges, torch.full_like(edges, way)) for way in (-9, 9)]
    score = torch.cat([edges, *around, torch.tensor([-50, 50, -torch.inf], dtype=dtype).clamp(min=-1e30)])
    found = histogram(score[:, None], torch.ones(1, 1, dtype=dtype), edges)
    assert found.tolist() == np.histogram(score.numpy(), edges.numpy().astype(score.numpy().dtype))[0].tolist()


def test_both_edges_of_the_last_bin_are_in_it_and_what_is_outside_is_in_none():
    score = torch.tensor([-1.5, -1.0, 0.0, 1.0, 1.5])
    assert histogram(torch.ones(2, 1), score[:, None], torch.tensor([-1.0, 0.0, 1.0])).tolist() == [2, 4]
    left_out = {"score_mod": lambda score, row, column: score.masked_fill(column.index == 1, -torch.inf)}
    assert histogram(torch.ones(1, 1), score[:, None], torch.tensor([-1.0, 0.0, 1.0]), **left_out).tolist() == [0, 2]


@pytest.mark.parametrize(("num_rows", "num_columns"), [(0, 3), (3, 0)])
def test_no_pair_is_no_count(num_rows, num_columns):
    assert histogram(torch.zeros(num_rows, 2), torch.zeros(num_columns, 2), torch.arange(3.0)).tolist() == [0, 0]


def test_no_gradient_is_kept_and_the_edges_are_left_as_they_are():
    edges = torch.tensor([0.0, 1.0])
    counts = histogram(torch.ones(2, 2, requires_grad=True), torch.ones(3, 2), edges)
    assert not counts.requires_grad
    assert edges.tolist() == [0.0, 1.0]


def test_bad_input():
    query, key, edges = torch.ones(2, 2), torch.ones(3, 2), torch.tensor([0.0, 1.0])
    for bad in (torch.tensor([0.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.0, torch.inf]), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match=r"histogram: edges are .* at least two finite numbers that rise"):
            histogram(query, key, bad)
    with pytest.raises(ValueError, match="histogram: key has an element that is not finite in row 1"):
        histogram(query, torch.tensor([[1.0, 0.0], [torch.nan, 0.0]]), edges)
    with pytest.raises(ValueError, match="histogram: the score_mod gives NaN in row 1 of query"):
        histogram(query, key, edges, score_mod=lambda s, row, column: torch.where(row.index == 1, torch.nan, s), tile=1)
