"""Dropout from sixteen bits a number is dropout."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from likewise.encoders.dropout import BitDropout, dropout, use_bit_dropout
from likewise.encoders.packing import packed_attention, runs_of


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_shares_and_expectation_are_those_of_the_probability(p):
    """In each of the four places of a draw: within five standard deviations of a binomial count."""
    torch.manual_seed(0)
    out = dropout(torch.ones(1_000_002), p)
    for place in range(4):
        part = out[place::4]
        dropped = float((part == 0).float().mean())
        assert abs(dropped - p) < 5 * (p * (1 - p) / len(part)) ** 0.5
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=2e-4 if p < 0.9 else 2e-3)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    kept = dropout(torch.ones(400_000), 0.5) > 0
    for shift in (1, 2, 3, 4, 5):
        both = float((kept[shift:] & kept[:-shift]).float().mean())
        assert abs(both - 0.25) < 5 * (0.25 * 0.75 / len(kept)) ** 0.5


@given(shape=st.lists(st.integers(0, 5), max_size=3), p=st.sampled_from([0.0, 1e-9, 0.3, 1.0]))
def test_any_shape_and_the_limits_of_the_probability(shape, p):
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    out = dropout(x, p)
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    if p < 1e-6:
        assert torch.equal(out, x)
    if p == 1:
        assert not out.any()
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(grad, out.detach())  # of ones: each gradient is what its element was multiplied with


def test_a_seed_repeats_it_and_evaluation_leaves_it_out():
    x, layer = torch.ones(64, 64), BitDropout(0.1)
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(layer(x), first)
    assert layer.eval()(x) is x


def test_every_dropout_of_a_model_is_replaced_in_place():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3), nn.Sequential(nn.Dropout(0.2).eval()))
    use_bit_dropout(model)
    use_bit_dropout(model)
    assert isinstance(model[1], BitDropout)
    assert (model[1].p, model[1].training, model[2][0].p, model[2][0].training) == (0.3, True, 0.2, False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_with_dropout_has_the_expectation_of_attention(dtype):
    """Mean of many passes against the pass without; texts of unequal lengths in one run."""
    torch.manual_seed(0)
    lengths = torch.tensor([3, 4, 4])
    query, key, value = (torch.randn(1, 2, 11, 8).to(dtype) for _ in range(3))
    runs = runs_of(lengths)
    (whole,) = packed_attention(nn.Module(), query.float(), key.float(), value.float(), None, runs=runs)[:1]
    total = torch.zeros_like(whole)
    for _ in range(2000):
        total += packed_attention(nn.Module(), query, key, value, None, runs=runs, dropout=0.1)[0].float()
    assert (total / 2000 - whole).abs().max() < 0.05
