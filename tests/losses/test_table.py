"""Cross-entropy over the rows of a table: its numbers, its gradient, its limits, its invariances."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from likewise.losses import table_cross_entropy

TABLE = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_three_entries_worked_out_by_hand():
    query = torch.tensor([[0.5, -0.5]], dtype=torch.float64, requires_grad=True)
    rows = table_cross_entropy(query, torch.tensor(TABLE, dtype=torch.float64), torch.tensor([0]))
    rows.mean().backward()
    assert rows.values.item() == pytest.approx(0.68026967, abs=1e-8)
    assert query.grad.flatten().tolist() == pytest.approx([-0.18632372, 0.49351961], abs=1e-8)


@pytest.mark.parametrize("with_bias", [False, True])
def test_rows_equal_a_plain_loop(with_bias):
    query, table, target = drawn(4, 3), drawn(9, 3, seed=1), torch.tensor([8, 0, 3, 3])
    bias = drawn(9, seed=2) if with_bias else None
    rows = table_cross_entropy(query, table, target, bias=bias)
    assert rows.counted.all()
    for i, value in enumerate(rows.values.tolist()):
        logits = [sum(q * w for q, w in zip(query[i].tolist(), row, strict=True)) for row in table.tolist()]
        logits = [one + (bias[e].item() if with_bias else 0.0) for e, one in enumerate(logits)]
        assert value == pytest.approx(math.log(sum(map(math.exp, logits))) - logits[target[i]], rel=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    inputs = [one.requires_grad_() for one in (drawn(4, 3), drawn(6, 3, seed=1), drawn(6, seed=2))]
    target = torch.tensor([5, 0, 2, 2])

    def loss(query, table, bias):
        return table_cross_entropy(query, table, target, bias=bias).values

    assert torch.autograd.gradcheck(loss, inputs)


def test_fifty_thousand_entries_give_the_dense_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(32, 24, generator=generator).requires_grad_()
    table = torch.randn(50_000, 24, generator=generator)
    target = torch.randint(50_000, (32,), generator=generator)
    rows = table_cross_entropy(query, table, target)
    rows.mean().backward()
    expected = F.cross_entropy(query.detach() @ table.T, target, reduction="none")
    assert_close(rows.values, expected, rtol=1e-5, atol=1e-6)
    twin = query.detach().clone().requires_grad_()
    F.cross_entropy(twin @ table.T, target).backward()
    assert_close(query.grad, twin.grad, rtol=1e-5, atol=1e-6)
    assert table.grad is None


def test_the_loss_is_independent_of_tile_size_and_of_the_order_of_entries():
    query, table, target = drawn(7, 5), drawn(40, 5, seed=1), torch.arange(7)
    whole = table_cross_entropy(query, table, target).values
    for tile in ((2, 3), (7, 40), (1, 64)):
        assert_close(table_cross_entropy(query, table, target, tile=tile).values, whole, rtol=1e-9, atol=0)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    place = torch.argsort(order)
    assert_close(table_cross_entropy(query, table[order], place[target]).values, whole, rtol=1e-9, atol=0)


def test_scores_of_thousands_stay_finite_and_right():
    query, table = 100 * drawn(3, 8), 100 * drawn(50, 8, seed=1)
    target = torch.tensor([1, 2, 3])
    expected = F.cross_entropy(query @ table.T, target, reduction="none")
    assert expected.max() > 1000
    assert_close(table_cross_entropy(query, table, target).values, expected, rtol=1e-9, atol=1e-9)


def test_equal_entries_lose_the_logarithm_of_their_number():
    rows = table_cross_entropy(torch.randn(3, 4), torch.ones(11, 4), torch.tensor([0, 5, 10]))
    assert_close(rows.values, torch.full((3,), math.log(11)))


def test_a_target_outside_the_table_is_refused():
    with pytest.raises(ValueError, match="picked"):
        table_cross_entropy(torch.zeros(1, 2), torch.tensor(TABLE), torch.tensor([3]))


def test_a_table_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"\[.*2\].*\[.*5\]|differ|axes"):
        table_cross_entropy(torch.zeros(1, 2), torch.zeros(4, 5), torch.tensor([3]))
