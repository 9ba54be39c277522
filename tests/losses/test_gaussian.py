"""Kernel objectives of codes against plain loops, the figures of the specification, and their limits."""

import math

import numpy as np
import pytest
import torch

from likewise.losses import attribute_alignment, gaussian_alignment, gaussian_uniformity, joint_entropy

CIRCLE = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
PLANE = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def square(x, y):
    return sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True))


def uniformity_by_loop(x, t):
    pairs = [math.exp(-square(x[i], x[j]) / (2 * t)) for i in range(len(x)) for j in range(i)]
    return math.log(sum(pairs) / len(pairs))


def entropy_by_loop(c, s, t):
    size = len(c)
    kernel = [
        [math.exp(-square(c[i], c[j]) / (2 * t)) * math.exp(-square(s[i], s[j]) / (2 * t)) for j in range(size)]
        for i in range(size)
    ]
    return sum(math.log(sum(row) / size) for row in kernel) / size


def test_the_figures_of_three_points():
    assert gaussian_uniformity(CIRCLE, temperature=0.5).item() == pytest.approx(-2.339989, abs=1e-6)
    assert gaussian_uniformity(PLANE, temperature=0.5).item() == pytest.approx(-2.032728, abs=1e-6)
    assert joint_entropy(CIRCLE, PLANE, temperature=0.5).mean().item() == pytest.approx(-1.065409, abs=1e-6)
    first, second = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert gaussian_alignment(first, second, temperature=0.5).mean().item() == 1.0


def test_they_equal_plain_loops():
    c, s = drawn(7, 3), drawn(7, 2, seed=1)
    assert gaussian_uniformity(s, temperature=0.7).item() == pytest.approx(uniformity_by_loop(s, 0.7), rel=1e-9)
    assert joint_entropy(c, s, temperature=0.7).mean().item() == pytest.approx(entropy_by_loop(c, s, 0.7), rel=1e-9)
    together = joint_entropy(torch.cat([c, s], dim=1), temperature=0.7).mean().item()
    assert together == pytest.approx(entropy_by_loop(c, s, 0.7), rel=1e-9)
    assert joint_entropy(s, c, temperature=0.7).mean().item() == pytest.approx(together, rel=1e-9)


def test_equal_points_have_no_loss_however_far_they_are_from_zero():
    same = torch.full((5, 3), 1000.3)
    assert gaussian_uniformity(same, temperature=0.5).item() == pytest.approx(0, abs=1e-5)
    assert joint_entropy(same, same, temperature=0.5).mean().item() == pytest.approx(0, abs=1e-5)
    assert gaussian_alignment(same, same, temperature=0.5).mean().item() == 0


def test_the_joint_entropy_has_a_floor_and_uniformity_has_none():
    far = 1000 * torch.arange(5, dtype=torch.float64)[:, None]
    assert joint_entropy(far, temperature=0.5).mean().item() == pytest.approx(-math.log(5), rel=1e-12)
    assert gaussian_uniformity(far, temperature=0.5).item() < -1e5
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert gaussian_uniformity(opposite, temperature=0.5).item() == pytest.approx(-4)


def test_turning_and_moving_codes_leaves_distances():
    c, s = drawn(6, 3), drawn(6, 3, seed=1)
    turn = torch.linalg.qr(drawn(3, 3, seed=2)).Q
    before = joint_entropy(c, s, temperature=0.5).mean(), gaussian_uniformity(s, temperature=0.5)
    after = joint_entropy(c @ turn, s + 3, temperature=0.5).mean(), gaussian_uniformity(s @ turn, temperature=0.5)
    torch.testing.assert_close(before, after, rtol=1e-9, atol=1e-12)


def test_gradients_are_those_of_finite_differences():
    c, s = drawn(5, 3).requires_grad_(), drawn(5, 2, seed=1).requires_grad_()
    attributes, counted = drawn(5, 2, seed=2), torch.tensor([True, True, False, True, True])

    def all_of_them(c, s):
        pulled = attribute_alignment(s, attributes, width=0.5, counted=counted).mean()
        return joint_entropy(c, s, temperature=0.5).mean() + gaussian_uniformity(s, temperature=0.5) + pulled

    assert torch.autograd.gradcheck(all_of_them, (c, s))


def test_attributes_pull_by_loop():
    s, y, counted = drawn(6, 2), drawn(6, 2, seed=1), torch.tensor([True, False, True, True, True, False])
    y[1] = math.nan
    rows = attribute_alignment(s, y, width=0.3, counted=counted)
    chosen = [i for i in range(6) if counted[i]]
    pairs = [
        math.exp(-((y[i, k] - y[j, k]).item() ** 2) / 0.6) * (s[i, k] - s[j, k]).item() ** 2
        for i in chosen for j in chosen for k in range(2) if i != j
    ]  # fmt: skip
    assert rows.mean().item() == pytest.approx(sum(pairs) / len(pairs), rel=1e-9)
    assert rows.counted.tolist() == counted.tolist()
    one = attribute_alignment(s, y, width=0.3, counted=torch.arange(6) == 0)
    assert one.mean_or_zero().item() == 0


def test_what_they_cannot_take_is_said():
    with pytest.raises(ValueError, match="1 rows"):
        gaussian_uniformity(torch.ones(1, 2), temperature=0.5)
    with pytest.raises(ValueError, match="must be above 0"):
        gaussian_uniformity(torch.ones(2, 2), temperature=0.0)
    with pytest.raises(ValueError, match="one shape"):
        gaussian_alignment(torch.ones(2, 2), torch.ones(2, 3), temperature=0.5)
    with pytest.raises(ValueError, match="same rows"):
        joint_entropy(torch.ones(2, 2), torch.ones(3, 2), temperature=0.5)
    bad = torch.tensor([[math.nan], [1.0]])
    with pytest.raises(ValueError, match="not finite"):
        attribute_alignment(torch.ones(2, 1), bad, width=1.0, counted=torch.ones(2, dtype=torch.bool))


def test_the_pull_of_attributes_is_that_of_the_official_code():
    # neurospin-projects/2024_rlouiset_sep_clr at 0e40bff4, losses.py: sup_align_loss and discrete_sup_align_loss.
    code, values = (torch.from_numpy(np.random.default_rng(seed).normal(size=(6, 1))) for seed in (0, 1))
    every = torch.ones(6, dtype=torch.bool)
    found = attribute_alignment(code, values, width=0.025, counted=every).mean()
    assert found.item() == pytest.approx(0.0363176711, abs=2e-9)
    kinds = torch.tensor([0.0, 1, 1, 0, 2, 0], dtype=torch.float64)[:, None]
    found = attribute_alignment(code, kinds, width=1e-5 / 2, counted=every).mean()
    assert found.item() == pytest.approx(0.0479171442, abs=2e-9)
