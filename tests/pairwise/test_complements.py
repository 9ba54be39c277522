"""Binary cross-entropy of a softmax: equal to its dense twin, at every tile size, and exact where a p comes near 1."""

import math

import pytest
import torch
from hypothesis import given, settings
from torch.testing import assert_close

from likewise.pairwise import reference, softmax_bce
from pairwise.cases import assert_same, cases, everything_mod, leaf, normal, results_and_gradients, tiles


def along_rows(function, picked):
    def call(query, key, *, over, **options):
        return function(query, key, picked=picked, **options)

    return call


def picked_of(case):
    return torch.arange(len(case.query)) % len(case.key)


def gentle(case):
    """Scores of a few units: the dense twin subtracts p from 1."""
    with torch.no_grad():
        case.query.mul_(1.5 / case.query.abs().max().clamp(min=1.0))
    return case


@settings(deadline=None, max_examples=80)
@given(cases(mods=True), tiles)
def test_it_equals_the_reference_with_functions_of_the_caller(case, tile):
    case = gentle(case)
    found, expected = (along_rows(f, picked_of(case)) for f in (softmax_bce, reference.softmax_bce))
    assert_same(
        results_and_gradients(found, case, tile=tile), results_and_gradients(expected, case), rtol=1e-9, atol=1e-9
    )


@settings(deadline=None, max_examples=40)
@given(cases(dtype=torch.float32), tiles)
def test_it_equals_the_reference_in_single_precision(case, tile):
    case = gentle(case)
    found, expected = (along_rows(f, picked_of(case)) for f in (softmax_bce, reference.softmax_bce))
    assert_same(
        results_and_gradients(found, case, tile=tile), results_and_gradients(expected, case), rtol=1e-5, atol=1e-6
    )


def test_gradients_by_differences():
    query, key, row, column = leaf(3, 2, seed=0), leaf(4, 2, seed=1), leaf(3, seed=2), leaf(4, 2, seed=3)
    row1, scale = leaf(3, 2, seed=4), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def loss(query, key, row, row1, column, scale):
        return softmax_bce(
            query, key, picked=torch.tensor([2, 0, 0]), score_mod=everything_mod, rows=(row, row1), columns=(column,),
            scale=scale, tile=2,
        )  # fmt: skip

    assert torch.autograd.gradcheck(loss, (query, key, row, row1, column, scale))


@pytest.mark.parametrize("gap", [1.0, 12.0, 30.0, 80.0, 3000.0])
def test_a_negative_that_takes_all_is_exact_in_single_precision(gap):
    """Two columns, the wrong one ahead by ``gap``: the loss is 2 log(1 + e^gap), its gradient 2 p and -2 p."""
    score = torch.tensor([[0.0, gap]], requires_grad=True)
    loss = softmax_bce(score, torch.eye(2), picked=torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(2 * (gap + math.log1p(math.exp(-gap))), rel=1e-5)
    p = 1 / (1 + math.exp(-gap))
    assert score.grad[0].tolist() == pytest.approx([-2 * p, 2 * p], rel=1e-5)


@pytest.mark.parametrize("gap", [1.0, 12.0, 30.0, 80.0])
def test_a_positive_that_takes_all_is_exact_in_single_precision(gap):
    score = torch.tensor([[gap, 0.0, -1.0]], requires_grad=True)
    loss = softmax_bce(score, torch.eye(3), picked=torch.tensor([0]))
    loss.backward()
    wide = torch.tensor([[gap, 0.0, -1.0]], dtype=torch.float64, requires_grad=True)
    others = torch.logsumexp(wide[:, 1:] - wide[:, :1], 1)
    p = torch.softmax(wide, 1)[:, 1:]
    expected = torch.log1p(others.exp()) - torch.log1p(-p).sum(1)
    expected.backward()
    assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    assert_close(score.grad.double(), wide.grad, rtol=1e-5, atol=1e-45)


def test_equal_columns_share_and_one_column_is_certain():
    alike = softmax_bce(torch.zeros(2, 3), normal(4, 3, seed=0).float(), picked=torch.tensor([1, 3]))
    assert alike.tolist() == pytest.approx([math.log(4) - 3 * math.log(3 / 4)] * 2)
    query = leaf(3, 2, seed=1)
    alone = softmax_bce(query, normal(1, 2, seed=2), picked=torch.zeros(3, dtype=torch.int64))
    alone.sum().backward()
    assert torch.equal(alone, torch.zeros(3, dtype=torch.float64))
    assert torch.equal(query.grad, torch.zeros(3, 2, dtype=torch.float64))


def test_the_picked_pair_counts_whatever_the_mask_says():
    query, key = leaf(2, 3, seed=3), normal(4, 3, seed=4)
    picked = torch.tensor([0, 1])
    nothing = softmax_bce(query, key, picked=picked, mask_mod=lambda row, column: row.index + column.index < 0)
    assert torch.equal(nothing, torch.zeros(2, dtype=torch.float64))
    part = softmax_bce(
        query, key, picked=picked, first_column=5, mask_mod=lambda row, column: (column.index == 8) & (row.index > -1)
    )
    expected = (
        softmax_bce(query, key[[0, 3]], picked=torch.tensor([0, 0]))[0],
        softmax_bce(query, key[[1, 3]], picked=torch.tensor([0, 0]))[1],
    )
    assert part.tolist() == pytest.approx([x.item() for x in expected], rel=1e-9)


def test_bad_input_is_named():
    query = torch.eye(2)
    with pytest.raises(ValueError, match=r"softmax_bce: picked is .* it is int64 \[N\]"):
        softmax_bce(query, query, picked=torch.tensor([0]))
    with pytest.raises(ValueError, match="softmax_bce: picked names columns from 0 to 2; columns go from 0 to 1"):
        softmax_bce(query, query, picked=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="softmax_bce: query has an element that is not finite in row 1"):
        softmax_bce(torch.tensor([[0.0, 1.0], [math.nan, 0.0]]), query, picked=torch.tensor([0, 1]))
    x = torch.eye(2, requires_grad=True)
    (grad,) = torch.autograd.grad(softmax_bce(x, query, picked=torch.tensor([0, 1])).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="softmax_bce: the gradient of a gradient"):
        grad.sum().backward()
