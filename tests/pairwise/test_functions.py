"""Scores, masks and values that the caller makes: exact, and differentiated through everything they use."""

import math

import pytest
import torch
from hypothesis import given, settings

from likewise.pairwise import expectation, logsumexp, reference, sum
from pairwise.cases import (
    assert_same,
    cases,
    everything_mod,
    leaf,
    normal,
    not_multiple_of_three,
    results_and_gradients,
    tiles,
)

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def gentle(score):
    """Bend scores; its derivative is nowhere zero for long."""
    return torch.tanh(score / 20) * 3 + 0.1 * score


def log_weight(score):
    return 0.7 * score - 0.001 * score.pow(2)


@settings(deadline=None, max_examples=80)
@given(cases(mods=True), tiles)
def test_logsumexp_with_a_score_mod_equals_the_reference(case, tile):
    assert_same(
        results_and_gradients(logsumexp, case, tile=tile), results_and_gradients(reference.logsumexp, case), **EXACT
    )


@settings(deadline=None, max_examples=60)
@given(cases(mods=True), tiles)
def test_sum_equals_the_reference(case, tile):
    assert_same(
        results_and_gradients(sum, case, value=gentle, tile=tile),
        results_and_gradients(reference.sum, case, value=gentle),
        **EXACT,
    )


@settings(deadline=None, max_examples=60)
@given(cases(mods=True), tiles)
def test_expectation_equals_the_reference(case, tile):
    assert_same(
        results_and_gradients(expectation, case, value=gentle, log_weight=log_weight, tile=tile),
        results_and_gradients(reference.expectation, case, value=gentle, log_weight=log_weight),
        **EXACT,
    )


@settings(deadline=None, max_examples=30)
@given(cases(), tiles)
def test_sum_and_expectation_need_no_score_mod(case, tile):
    for function, dense in ((sum, reference.sum), (expectation, reference.expectation)):
        assert_same(
            results_and_gradients(function, case, value=gentle, tile=tile),
            results_and_gradients(dense, case, value=gentle),
            **EXACT,
        )


@settings(deadline=None, max_examples=30)
@given(cases(mods=True, dtype=torch.float32), tiles)
def test_single_precision(case, tile):
    with torch.no_grad():
        case.query.clamp_(-3, 3)
    for function, dense, options in (
        (logsumexp, reference.logsumexp, {}),
        (sum, reference.sum, {"value": gentle}),
        (expectation, reference.expectation, {"value": gentle}),
    ):
        found = results_and_gradients(function, case, tile=tile, **options)
        assert all(x.dtype == torch.float32 for x in found[0] + found[1])
        assert_same(found, results_and_gradients(dense, case, **options), rtol=1e-4, atol=1e-4)  # scores up to 50


@pytest.mark.parametrize("over", ["keys", "both"])
def test_gradients_by_differences(over):
    query, key, row, column = leaf(3, 2, seed=0), leaf(4, 2, seed=1), leaf(3, seed=2), leaf(4, 2, seed=3)
    row1 = leaf(3, 2, seed=4)
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def options(row, row1, column, scale):
        return {"score_mod": everything_mod, "rows": (row, row1), "columns": (column,), "scale": scale, "tile": 2}

    for function, extra in (
        (logsumexp, {}),
        (sum, {"value": gentle}),
        (expectation, {"value": gentle, "log_weight": log_weight}),
    ):
        assert torch.autograd.gradcheck(
            lambda query, key, *rest, f=function, e=extra: f(query, key, over=over, **e, **options(*rest)),
            (query, key, row, row1, column, scale),
        )


def test_by_hand():
    query, key = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 2.0]])
    scores = [[1.0, 0.0, 2.0], [0.0, 3.0, 2.0]]
    hinge = sum(query, key, value=lambda score: torch.relu(score - 0.5))
    assert hinge.tolist() == pytest.approx([0.5 + 1.5, 2.5 + 1.5])
    mean = expectation(query, key, value=torch.square, log_weight=lambda score: 2 * score)
    expected = [
        math.fsum(math.exp(2 * s) * s * s for s in row) / math.fsum(math.exp(2 * s) for s in row) for row in scores
    ]
    assert mean.tolist() == pytest.approx(expected)
    weighted = logsumexp(
        query,
        key,
        score_mod=lambda score, row, column: score + torch.where(column.index == row.index + 1, math.log(2), 0.0),
    )
    assert weighted.tolist() == pytest.approx(
        [math.log(math.e + 2 + math.e**2), math.log(1 + math.e**3 + 2 * math.e**2)]
    )


def test_several_products_make_one_score():
    def mod(scores, row, column):
        product, size = scores
        return product * torch.rsqrt(size) + row[0] - column[0]

    query, key = (leaf(4, 3, seed=0), leaf(4, 2, seed=1)), (leaf(5, 3, seed=2), leaf(5, 2, seed=3))
    row, column = leaf(4, seed=4), leaf(5, seed=5)
    scale = torch.rand(4, dtype=torch.float64).add(0.5).requires_grad_()
    leaves = (*query, *key, row, column, scale)

    def result(function, **options):
        found = function(
            (query[0], query[1].square()),
            (key[0], key[1].square()),
            score_mod=mod,
            rows=(row,),
            columns=(column,),
            scale=scale,
            **options,
        )
        return found, torch.autograd.grad(found.sum(), leaves)

    expected = result(reference.logsumexp)
    for tile in (None, 1, (3, 2)):
        torch.testing.assert_close(result(logsumexp, tile=tile), expected, rtol=1e-9, atol=1e-12)


def test_a_network_in_the_score_receives_its_gradient():
    query, key = leaf(4, 3, seed=0), leaf(5, 3, seed=1)
    first, second = leaf(2, 3, seed=2), leaf(2, seed=3)

    def result(function, **options):
        in_rows, in_columns = query @ first.T, key @ first.T  # once a row, not once a pair

        def mod(score, row, column):
            return score + (torch.tanh(row[0] + column[0]) * second).sum(-1)

        found = function(
            query, key, score_mod=mod, rows=(in_rows,), columns=(in_columns,), parameters=(second,), **options
        )
        return found, torch.autograd.grad(found.sum(), (query, key, first, second))

    torch.testing.assert_close(result(logsumexp, tile=2), result(reference.logsumexp), rtol=1e-9, atol=1e-12)


def test_a_gradient_that_would_get_lost_is_an_error():
    query, key, weight = leaf(3, 2, seed=0), leaf(3, 2, seed=1), leaf(1, seed=2)
    for call in (
        lambda: logsumexp(query, key, score_mod=lambda score, row, column: score * weight),
        lambda: sum(query, key, value=lambda score: score * weight),
        lambda: expectation(query, key, value=lambda score: score, log_weight=lambda score: score * weight),
    ):
        with pytest.raises(ValueError, match="requires a gradient but would not receive it"):
            call()
        with torch.no_grad():
            call()
    assert logsumexp(query, key, score_mod=lambda score, row, column: score * weight.detach()).requires_grad


def test_only_what_is_asked_for_gets_a_gradient():
    query, key, row = normal(3, 2, seed=0), leaf(4, 2, seed=1), leaf(3, seed=2)
    logsumexp(query, key, score_mod=lambda score, row, column: score + row[0], rows=(row,)).sum().backward()
    torch.testing.assert_close(row.grad, torch.ones(3, dtype=torch.float64))  # a constant of the row
    assert key.grad.abs().sum() > 0
    with torch.no_grad():
        constant = logsumexp(query, key, score_mod=lambda score, row, column: score + row[0], rows=(row,))
    assert not constant.requires_grad


def test_pairs_that_do_not_count_may_have_any_score():
    """A logarithm of zero outside the mask spoils neither value nor gradient of query and key."""
    query, key = leaf(3, 2, seed=0), leaf(3, 2, seed=1)
    distance = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64).T

    def mod(score, row, column):
        return score - torch.log((row[0] - column[0]).abs().squeeze(-1))

    def other(row, column):
        return row.index != column.index

    for function, options in ((logsumexp, {}), (sum, {"value": gentle}), (expectation, {"value": gentle})):
        found = function(query, key, score_mod=mod, mask_mod=other, rows=(distance,), columns=(distance,), **options)
        assert found.isfinite().all()
        for grad in torch.autograd.grad(found.sum(), (query, key)):
            assert grad.isfinite().all()


def test_a_score_of_minus_infinity_leaves_the_pair_out():
    query, key = leaf(3, 2, seed=0), leaf(4, 2, seed=1)
    log_weight = torch.tensor([0.0, -math.inf, 0.5, -math.inf])
    found = logsumexp(query, key, score_mod=lambda score, row, column: score + column[0], columns=(log_weight,), tile=2)
    expected = torch.logsumexp(query @ key[[0, 2]].T + torch.tensor([0.0, 0.5]), 1)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert (key.grad[[1, 3]] == 0).all()
    assert query.grad.isfinite().all()


def test_without_pairs_sum_and_mean_are_zero():
    query, key = leaf(3, 2, seed=0), leaf(4, 2, seed=1)
    for function in (sum, expectation):
        found = function(query, key, value=torch.exp, mask_mod=lambda row, column: row.index != 1, tile=2)
        assert (found == 0).tolist() == [False, True, False]
        query_grad, key_grad = torch.autograd.grad(found.sum(), (query, key))
        assert (query_grad[1] == 0).all()
        assert key_grad.isfinite().all()


def test_masks_may_depend_on_one_side_only():
    query, key = normal(3, 2, seed=0), normal(4, 2, seed=1)
    keep = torch.tensor([True, False, True, True])
    for options in ({}, {"score_mod": lambda score, row, column: score}):
        found = logsumexp(query, key, mask_mod=lambda row, column: column[0], columns=(keep,), tile=3, **options)
        torch.testing.assert_close(found, torch.logsumexp(query @ key[keep].T, 1))


def test_functions_see_numbers_and_slices():
    seen = []

    def mod(score, row, column):
        seen.append((row.index.flatten().tolist(), column.index.flatten().tolist()))
        assert score.shape == (row.index.shape[0], column.index.shape[1])
        assert row[0].shape == (row.index.shape[0], 1, 2)
        assert column[0].shape == (1, column.index.shape[1])
        assert torch.equal(row[0][:, 0, 0], row.index[:, 0] - 10.0)
        assert torch.equal(column[0][0], column.index[0] - 20.0)
        return score

    rows, columns = torch.arange(3.0)[:, None].expand(3, 2), torch.arange(4.0)
    with torch.no_grad():
        logsumexp(
            normal(3, 2, seed=0), normal(4, 2, seed=1), score_mod=mod, rows=(rows,), columns=(columns,), tile=(2, 3),
            first_row=10, first_column=20,
        )  # fmt: skip
    assert seen == [
        ([10, 11], [20, 21, 22]), ([10, 11], [23]), ([12], [20, 21, 22]), ([12], [23]),
    ]  # fmt: skip


def test_mask_mods_work_for_all_reductions():
    query, key = normal(4, 2, seed=0), normal(5, 2, seed=1)
    for function, dense, options in (
        (logsumexp, reference.logsumexp, {}),
        (sum, reference.sum, {"value": gentle}),
        (expectation, reference.expectation, {"value": gentle}),
    ):
        found = function(query, key, mask_mod=not_multiple_of_three, over="both", tile=(2, 3), **options)
        torch.testing.assert_close(
            found, dense(query, key, mask_mod=not_multiple_of_three, over="both", **options), rtol=1e-9, atol=1e-12
        )
