"""Batch norm of pairs: by hand, whose turn it is, what leaks, and that gradients and state are whole."""

import copy

import pytest
import torch
from torch import nn

from likewise.errors import InputError
from likewise.heads import PairBatchNorm, PairProjector

ONE = torch.tensor([[1.0], [3.0]])


def settled(norm):
    """As it is after many batches: the momentum is the given one."""
    norm.num_batches.fill_(100)
    return norm


def test_the_first_batches_count_alike_and_the_start_does_not_count():
    norm, batches = PairBatchNorm(2), torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(0)) * 0.01
    for batch in batches:
        norm(batch, batch)
    torch.testing.assert_close(norm.running_mean, batches.mean((0, 1)))
    torch.testing.assert_close(norm.running_var, batches.var(1).mean(0))


def test_one_feature_by_hand():
    norm = settled(PairBatchNorm(1, eps=1e-12))
    by_batch, by_running = norm(ONE, ONE)
    torch.testing.assert_close(by_batch.flatten(), torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(
        by_running.flatten(), torch.tensor([1.0, 3.0])
    )  # as the statistics stood before the step: 0 and 1
    torch.testing.assert_close((norm.running_mean, norm.running_var), (torch.tensor([0.2]), torch.tensor([1.1])))
    norm.eval()
    for side in norm(ONE, ONE):
        torch.testing.assert_close(side.flatten(), torch.tensor([0.76277007, 2.66969525]))
    torch.testing.assert_close((norm.running_mean, norm.running_var), (torch.tensor([0.2]), torch.tensor([1.1])))


def test_exactly_one_side_moves_the_statistics_and_turns_alternate_through_a_saved_state():
    torch.manual_seed(0)
    norm = settled(PairBatchNorm(3))
    for step in range(4):
        first, second = torch.randn(5, 3), torch.randn(5, 3)
        if step == 2:
            norm, state = PairBatchNorm(3), norm.state_dict()
            norm.load_state_dict(copy.deepcopy(state))
        moved = first if step % 2 == 0 else second
        expected = norm.running_mean * 0.9 + moved.mean(0) * 0.1
        norm(first, second)
        torch.testing.assert_close(norm.running_mean, expected)
        assert bool(norm.second_by_batch) == (step % 2 == 1)
        norm.turn()


@pytest.mark.parametrize("asymmetric", [True, False])
def test_it_is_batch_norm_of_torch_on_each_side(asymmetric):
    torch.manual_seed(0)
    norm, theirs = settled(PairBatchNorm(4, asymmetric=asymmetric)), nn.BatchNorm1d(4)
    with torch.no_grad():
        for one in (norm, theirs):
            one.weight.copy_(torch.tensor([1.0, 2.0, 0.5, -1.0]))
            one.bias.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    first, second = torch.randn(6, 4), torch.randn(6, 4)
    expected_second = theirs.eval()(second) if asymmetric else None
    expected_first = theirs.train()(first)
    if expected_second is None:
        expected_second = theirs(second)
    torch.testing.assert_close(norm(first, second), (expected_first, expected_second))
    torch.testing.assert_close(norm.running_var, theirs.running_var)


def test_the_running_side_of_a_row_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    norm = PairBatchNorm(4)
    first, second = torch.randn(6, 4), torch.randn(6, 4)
    whole = norm(first, second)
    norm = PairBatchNorm(4)
    part = norm(first[:3], second[:3])
    assert torch.equal(whole[1][:3], part[1])
    assert not torch.allclose(whole[0][:3], part[0])


def test_gradients_of_both_sides_are_right():
    torch.manual_seed(0)
    norm = PairBatchNorm(3).double()
    sides = [torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def both(first, second):
        return torch.cat(copy.deepcopy(norm)(first, second))

    assert torch.autograd.gradcheck(both, sides)
    one, other = norm(*sides)
    (one.square().sum() + other.square().sum()).backward()  # though the statistics have moved meanwhile
    assert all(side.grad is not None and bool(side.grad.any()) for side in sides)


@pytest.mark.parametrize("norm", ["asymmetric", "symmetric", "none"])
def test_the_head_keeps_pairs_apart_in_evaluation(norm):
    torch.manual_seed(0)
    head = PairProjector(4, 2, norm).eval()
    x = torch.randn(5, 4)
    one, other = head(x, x)
    assert torch.equal(one, other)
    assert one.shape == (5, 2)
    torch.testing.assert_close(head(x[:2], x[:2])[0], one[:2])  # no row knows of the others


def test_a_single_row_and_an_unknown_norm_are_refused():
    with pytest.raises(ValueError, match="the batch has 1 row, and a variance takes 2"):
        PairBatchNorm(2)(torch.ones(1, 2), torch.ones(1, 2))
    with pytest.raises(InputError, match="did you mean 'symmetric'"):
        PairProjector(2, 2, "symetric")
