"""The log-sum-exp over pairs: exact for any scores, at any tile size, in any order; gradients too."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.pairwise import logsumexp, plain, reference, softmax_terms
from pairwise.cases import assert_same, cases, leaf, normal, not_multiple_of_three, results_and_gradients, tiles

EXACT = {"rtol": 1e-9, "atol": 1e-9}
SINGLE = {"rtol": 1e-5, "atol": 1e-5}


def loop_logsumexp(query, key, scale, counts):
    """Written with plain numbers, one pair after the other."""
    rows = []
    for i in range(len(query)):
        counting = [j for j in range(len(key)) if counts(i, j)]
        scores = [scale * math.fsum(a * b for a, b in zip(query[i], key[j], strict=True)) for j in counting]
        highest = max(scores, default=-math.inf)
        rows.append(highest + math.log(math.fsum(math.exp(s - highest) for s in scores)) if scores else -math.inf)
    return rows


def test_by_hand():
    query, key = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    over_keys, over_queries = logsumexp(query, key, scale=2.0, over="both")
    assert over_keys.tolist() == pytest.approx([math.log(math.e**2 + math.e**1.2), math.log(1 + math.e**1.6)])
    assert over_queries.tolist() == pytest.approx([math.log(math.e**2 + 1), math.log(math.e**1.2 + math.e**1.6)])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [0.0, 1.0, 40.0, 3000.0])
def test_equals_a_plain_loop(scale, masked):
    query, key = normal(5, 3, seed=0), normal(7, 3, seed=1)
    expected = loop_logsumexp(
        query, key, scale, lambda i, j: not masked or ((i + 2 * j) % 3 != 0 and i != 2 and j != 1)
    )
    for tile in (None, 2):
        found = logsumexp(query, key, scale=scale, mask_mod=not_multiple_of_three if masked else None, tile=tile)
        assert found.tolist() == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=150)
@given(cases(), tiles)
def test_equals_the_reference(case, tile):
    assert_same(
        results_and_gradients(logsumexp, case, tile=tile), results_and_gradients(reference.logsumexp, case), **EXACT
    )


@settings(deadline=None, max_examples=50)
@given(cases(dtype=torch.float32), tiles)
def test_single_precision_is_as_near_as_it_can_be(case, tile):
    found = results_and_gradients(logsumexp, case, tile=tile)
    assert all(x.dtype == torch.float32 for x in found[0] + found[1])
    size = float(case.query.detach().abs().max()) * 10  # a score of 100 is known to about 1e-5
    assert_same(found, results_and_gradients(reference.logsumexp, case), rtol=1e-5, atol=max(1e-5, 1e-6 * size))


@settings(deadline=None, max_examples=40)
@given(cases(), st.randoms(use_true_random=False))
def test_order_does_not_matter(case, random):
    if "mask_mod" in case.options:
        del case.options["mask_mod"]  # it goes by numbers
    row_order, column_order = list(range(len(case.query))), list(range(len(case.key)))
    random.shuffle(row_order)
    random.shuffle(column_order)
    scale = case.options.get("scale", 1.0)
    shuffled = scale[row_order] if isinstance(scale, torch.Tensor) and scale.ndim else scale
    rows, columns = logsumexp(case.query, case.key, scale=scale, over="both")
    found = logsumexp(case.query[row_order], case.key[column_order], scale=shuffled, over="both", tile=3)
    torch.testing.assert_close(found[0], rows[row_order], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[1], columns[column_order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("over", ["keys", "queries", "both"])
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_by_differences(over, scale, masked):
    query, key = leaf(4, 3, seed=0, scale=0.3), leaf(5, 3, seed=1, scale=0.3)
    scales = torch.linspace(0.5, 1.5, 4, dtype=torch.float64).mul(scale).requires_grad_()
    mask = (lambda row, column: row.index != column.index) if masked else None

    def function(query, key, scales):
        return logsumexp(query, key, scale=scales, over=over, mask_mod=mask, tile=2)

    assert torch.autograd.gradcheck(function, (query, key, scales), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("keep_bytes", [0, 200, 10**6])
def test_tiles_that_are_kept_change_nothing(monkeypatch, keep_bytes, scale):
    monkeypatch.setattr(plain, "KEEP_BYTES", keep_bytes)
    query, key = leaf(9, 3, seed=0), leaf(7, 3, seed=1)
    grads = []
    for tile in (None, (2, 3)):
        rows, columns = logsumexp(query, key, scale=scale, over="both", tile=tile, mask_mod=not_multiple_of_three)
        finite = rows[rows > -torch.inf].sum() + columns[columns > -torch.inf].sum()
        # A second pass through the same graph finds everything as it was.
        grads.extend(torch.autograd.grad(finite, (query, key), retain_graph=True) for _ in range(2))
    for grad in grads[1:]:
        for x, y in zip(grad, grads[0], strict=True):
            torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


def test_scores_far_apart_are_summed_exactly():
    """A column whose scores are tiny next to those of all rows: one shared maximum would lose it."""
    query, key = torch.tensor([[1.0, 0.0], [1.0, 1e-3]]), torch.tensor([[90.0, 0.0], [-500.0, 0.0]])
    rows, columns = logsumexp(query, key, over="both")
    assert rows.tolist() == pytest.approx([90.0, 90.0])
    assert columns.tolist() == pytest.approx([90 + math.log(2), -500 + math.log(2)])


@pytest.mark.parametrize("score", [-1e4, -300.0, 0.0, 300.0, 1e4])
def test_any_size_of_score(score):
    query, key = torch.ones(3, 1), torch.full((4, 1), score)
    rows, columns = logsumexp(query, key, over="both", tile=2)
    assert rows.tolist() == pytest.approx([score + math.log(4)] * 3, rel=1e-6)
    assert columns.tolist() == pytest.approx([score + math.log(3)] * 4, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_rows_without_a_pair_have_no_value_and_no_gradient(scale):
    query, key = leaf(3, 2, seed=0), leaf(4, 2, seed=1)
    rows, columns = logsumexp(
        query, key, scale=scale, over="both", mask_mod=lambda row, column: (row.index != 1) & (column.index != 3)
    )
    assert (rows == -torch.inf).tolist() == [False, True, False]
    assert (columns == -torch.inf).tolist() == [False, False, False, True]
    (rows.nan_to_num(neginf=0.0) + 5 * rows.masked_fill(rows == -torch.inf, 0)).sum().backward(retain_graph=True)
    torch.autograd.backward((rows, columns), (torch.ones(3), torch.ones(4)))  # whoever forgets to count them out
    assert query.grad.isfinite().all()
    assert key.grad.isfinite().all()
    assert (query.grad[1] == 0).all()
    assert (key.grad[3] == 0).all()


@pytest.mark.parametrize(("num_rows", "num_columns"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_sum(num_rows, num_columns):
    query, key = leaf(num_rows, 2, seed=0), leaf(num_columns, 2, seed=1)
    rows, columns = logsumexp(query, key, over="both")
    assert rows.tolist() == [-math.inf] * num_rows
    assert columns.tolist() == [-math.inf] * num_columns
    (rows.sum() + columns.sum()).backward()
    assert query.grad.tolist() == torch.zeros(num_rows, 2).tolist()
    assert key.grad.tolist() == torch.zeros(num_columns, 2).tolist()


@pytest.mark.parametrize("constant", ["query", "key"])
@pytest.mark.parametrize("learned_scale", [False, True])
def test_constants_cost_no_product(monkeypatch, constant, learned_scale):
    given = {name: leaf(6, 3, seed=seed) for seed, name in enumerate(("query", "key"))}
    given[constant] = given[constant].detach()
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=learned_scale)
    leaves = [x for x in (*given.values(), scale) if x.requires_grad]
    expected = torch.autograd.grad(reference.logsumexp(**given, scale=scale).sum(), leaves)
    called = []
    from likewise.pairwise.operands import Operands

    for name in ("pull_query", "pull_key"):
        original = getattr(Operands, name)
        monkeypatch.setattr(
            Operands, name, lambda *a, name=name, original=original, **k: (called.append(name), original(*a, **k))[1]
        )
    found = torch.autograd.grad(logsumexp(**given, scale=scale).sum(), leaves)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wanted = {f"pull_{name}" for name in given if name != constant} | ({"pull_query"} if learned_scale else set())
    assert set(called) == wanted


@settings(deadline=None, max_examples=60)
@given(cases(), cases(mods=True), st.booleans(), tiles)
def test_picked_scores_come_along(plain_case, modded_case, modded, tile):
    case = modded_case if modded else plain_case
    num_rows, num_columns = len(case.query), len(case.key)
    picked = torch.arange(num_rows) * 3 % num_columns

    def terms(query, key, over, **options):
        found = softmax_terms(query, key, over=over, picked=picked, **options)
        return tuple(x for x in found if x is not None)

    def expected(query, key, over, **options):
        options.pop("tile", None)
        found = reference.logsumexp(query, key, over=over, **options)
        score = reference.all_pairs(query, key, **options).score[torch.arange(num_rows), picked]
        return (*found, score) if isinstance(found, tuple) else (found, score)

    assert_same(results_and_gradients(terms, case, tile=tile), results_and_gradients(expected, case), **EXACT)


def test_picked_alone_and_sums_alone():
    """A loss that uses only some of the results gets the gradient of these."""
    query, key = leaf(5, 3, seed=0), leaf(6, 3, seed=1)
    picked = torch.tensor([5, 0, 0, 3, 2])
    for name in ("over_keys", "over_queries", "picked"):
        terms = softmax_terms(query, key, over="both", picked=picked, tile=2)
        found = torch.autograd.grad(getattr(terms, name).sum(), (query, key))
        score = query @ key.T
        dense = {"over_keys": score.logsumexp(1), "over_queries": score.logsumexp(0)}
        dense["picked"] = score[torch.arange(5), picked]
        expected = torch.autograd.grad(dense[name].sum(), (query, key))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_numbers_of_rows_and_columns_start_where_they_are_told_to():
    query, key = normal(3, 2, seed=0), normal(4, 2, seed=1)
    whole = logsumexp(query, key, mask_mod=not_multiple_of_three)
    parts = [
        logsumexp(query[1:], key[first:last], mask_mod=not_multiple_of_three, first_row=1, first_column=first, tile=1)
        for first, last in ((0, 1), (1, 4))
    ]
    torch.testing.assert_close(torch.logsumexp(torch.stack(parts), 0), whole[1:])


def test_vectors_need_not_lie_in_order():
    query, key = normal(3, 6, seed=0).T, normal(5, 12, seed=1)[:, ::4].flip(0)
    assert not query.is_contiguous()
    for tile in (None, 2):
        found = logsumexp(query, key, over="both", tile=tile)
        expected = reference.logsumexp(query, key, over="both")
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_without_gradient_nothing_is_kept():
    query, key = leaf(4, 2, seed=0), leaf(4, 2, seed=1)
    with torch.no_grad():
        assert not logsumexp(query, key).requires_grad
    assert not logsumexp(query.detach(), key.detach()).requires_grad


def test_a_second_derivative_is_refused_in_so_many_words():
    query, key = leaf(4, 2, seed=0), leaf(4, 2, seed=1)
    for options in ({}, {"score_mod": lambda score, row, column: score * 2}):
        (grad,) = torch.autograd.grad(logsumexp(query, key, **options).sum(), query, create_graph=True)
        with pytest.raises(RuntimeError, match=r"logsumexp: the gradient of a gradient .*reference"):
            grad.pow(2).sum().backward()
    scale = torch.tensor(2.0, requires_grad=True)
    (grad,) = torch.autograd.grad(logsumexp(query.detach(), key.detach(), scale=scale).sum(), scale, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        grad.backward()
    (grad,) = torch.autograd.grad(reference.logsumexp(query, key).sum(), query, create_graph=True)
    grad.pow(2).sum().backward()
    assert key.grad is not None
