"""Drawing rows to targets and pushing kinds apart: by loops, by hand, in the limits, and against official code."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from likewise import pairwise
from likewise.losses import cosine_alignment, cosine_uniformity, gaussian_uniformity


def unit(count, dim=4, seed=0):
    drawn = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, dim)))
    return F.normalize(drawn, dim=-1)


def uniformity_by_loops(rows, identity, temperature, constants=(), own=None):
    total, pairs = 0.0, 0
    for i, row in enumerate(rows):
        for j, other in enumerate(rows):
            if identity[i] != identity[j]:
                total, pairs = total + (row @ other / temperature).exp(), pairs + 1
        for j, other in enumerate(constants):
            if own is None or j not in own[i].tolist():
                total, pairs = total + (row @ other / temperature).exp(), pairs + 1
    return (total / pairs).log()


def views(pictures):
    return torch.arange(pictures).repeat(2)


def test_the_number_of_the_specification_in_both_forms():
    z = F.normalize(torch.tensor([[1.0, 0], [0, 1], [1, 0.2], [0.1, 1]], dtype=torch.float64))
    assert cosine_uniformity(z, views(2), temperature=2.0).item() == pytest.approx(0.075026, abs=5e-7)
    mask = 1 - torch.eye(2, dtype=torch.float64).repeat(2, 2)
    products = ((z @ z.T * mask / 2).exp().sum(1) - 2).div(2).mean().log()  # of masked products, as the official code
    assert products.item() == pytest.approx(0.075026, abs=5e-7)


def test_it_is_that_of_the_official_code():
    # stypoumic/BECLR at 8b33581, BECLRLoss with uniformity_config SS and ST, on CPU in float32, of NumPy's
    # default_rng(seed).normal(size=(6, 4)) for p (seed 1), z of the student (2) and of the teacher (3).
    p, z, t = unit(6, seed=1), unit(6, seed=2), unit(6, seed=3)
    assert cosine_alignment(p, t.roll(3, 0)[:, None]).mean().item() == pytest.approx(-0.004295799881219864, abs=1e-7)
    assert cosine_uniformity(z, views(3), temperature=2.0).item() == pytest.approx(0.09627272933721542, abs=1e-7)
    mixed = torch.cat([z[:3], t[3:]])
    assert cosine_uniformity(mixed, views(3), temperature=2.0).item() == pytest.approx(-0.009389054030179977, abs=1e-7)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), rows=st.integers(2, 9), kinds=st.integers(2, 5), given=st.integers(0, 4),
    places=st.integers(0, 3), temperature=st.floats(0.05, 5),
)  # fmt: skip
def test_loops_over_any_kinds_and_constants(seed, rows, kinds, given, places, temperature):
    random = np.random.default_rng(seed)
    z, y = unit(rows, seed=seed), unit(given, seed=seed + 1)
    identity = torch.from_numpy(np.r_[0, 1, random.integers(0, kinds, rows)][:rows])
    own = torch.from_numpy(random.integers(0, max(given, 1), (rows, places if given else 0)))
    expected = uniformity_by_loops(z, identity, temperature, y, own)
    found = cosine_uniformity(z, identity, temperature=temperature, constants=y, own=own)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)


def test_alignment_is_the_mean_over_targets_and_never_moves_them():
    rows, targets = unit(3).requires_grad_(), unit(6, seed=1).unflatten(0, (3, 2)).requires_grad_()
    losses = cosine_alignment(rows, targets)
    for i in range(3):
        expected = -(rows[i] @ targets[i, 0] + rows[i] @ targets[i, 1]) / 2
        assert losses.values[i].item() == pytest.approx(expected.item(), rel=1e-12)
    losses.mean().backward()
    assert targets.grad is None
    assert_close(rows.grad, -targets.detach().mean(1) / 3)


def test_gradients():
    rows, identity, own = (
        unit(5).requires_grad_(),
        torch.tensor([0, 1, 0, 2, 1]),
        torch.tensor([[0], [1], [0], [2], [1]]),
    )

    def uniformity(rows):
        return cosine_uniformity(rows, identity, temperature=0.7, constants=unit(3, seed=1), own=own)

    assert torch.autograd.gradcheck(uniformity, rows)
    assert torch.autograd.gradcheck(
        lambda rows: cosine_alignment(rows, unit(10, seed=2).unflatten(0, (5, 2))).mean(), rows
    )


def test_constants_get_no_gradient_and_a_row_none_of_its_own():
    constants = unit(2, seed=1).requires_grad_()
    rows = unit(2).requires_grad_()
    same, own = torch.zeros(2, dtype=torch.int64), torch.tensor([[0], [0]])
    cosine_uniformity(rows, same, temperature=2.0, constants=constants, own=own).backward()
    assert constants.grad is None
    # What is left for a row is the constant that is not its own.
    weight = (rows.detach() @ constants.detach()[1] / 2).softmax(0)
    assert_close(rows.grad, weight[:, None] * constants.detach()[1] / 2)


def test_equal_rows_are_at_the_upper_end_and_equal_targets_at_the_lower():
    same = unit(1).expand(6, 4)
    assert cosine_uniformity(same, views(3), temperature=2.0).item() == pytest.approx(0.5, rel=1e-12)
    assert cosine_alignment(same, same[:, None]).mean().item() == pytest.approx(-1.0, rel=1e-12)


def test_with_rows_of_one_kind_each_it_is_the_gaussian_one():
    z = unit(7)
    expected = gaussian_uniformity(z, temperature=2.0) + 0.5
    assert_close(cosine_uniformity(z, torch.arange(7), temperature=2.0), expected, rtol=1e-9, atol=1e-12)


def test_neither_order_nor_tiles_matter(monkeypatch):
    rows, identity, own, constants = unit(8), views(4), torch.arange(16).reshape(8, 2) % 5, unit(5, seed=1)

    def value(order=slice(None)):
        return cosine_uniformity(rows[order], identity[order], temperature=0.5, constants=constants, own=own[order])

    whole = value()
    assert_close(value(torch.randperm(8, generator=torch.Generator().manual_seed(0))), whole, rtol=1e-12, atol=0)
    plain = pairwise.logsumexp
    monkeypatch.setattr(pairwise, "logsumexp", lambda *operands, **options: plain(*operands, **options, tile=(3, 2)))
    assert_close(value(), whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize("temperature", [1e-3, 1e4])
def test_any_temperature_is_finite(temperature):
    z = unit(6).float()
    found = cosine_uniformity(z, views(3), temperature=temperature).item()
    assert found == pytest.approx(uniformity_by_loops(z.double(), views(3), temperature).item(), rel=1e-5, abs=1e-6)
    assert abs(found) <= 1 / temperature + 1e-6


def test_half_precision_is_that_of_the_rounded_rows():
    z = unit(6).bfloat16()
    found = cosine_uniformity(z, views(3), temperature=2.0).item()
    assert found == pytest.approx(uniformity_by_loops(z.double(), views(3), 2.0).item(), rel=2e-2, abs=1e-4)


def test_what_cannot_be_is_said():
    z, kinds = unit(2), torch.tensor([3, 3])
    with pytest.raises(ValueError, match="the 2 rows are all of one kind"):
        cosine_uniformity(z, kinds, temperature=2.0)
    with pytest.raises(ValueError, match="temperature is 0"):
        cosine_uniformity(z, kinds, temperature=0.0)
    with pytest.raises(ValueError, match="temperature is inf"):
        cosine_uniformity(z, kinds, temperature=math.inf)
    with pytest.raises(ValueError, match=r"identity \[3\]"):
        cosine_uniformity(z, torch.arange(3), temperature=2.0)
    with pytest.raises(ValueError, match="places in the constants"):
        cosine_uniformity(z, kinds, temperature=2.0, own=kinds[:, None])
    for rows, targets in ((z, z), (z, z[:, None, :3]), (z, z[:, None][:, :0])):
        with pytest.raises(ValueError, match="one target or more a row"):
            cosine_alignment(rows, targets)
