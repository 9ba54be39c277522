"""The spectral loss against all pairs, and what it makes of a linear net: the paper's theory of heads."""

import numpy as np
import pytest
import torch

from likewise.losses import spectral


def by_pairs(first, second):
    size = len(first)
    values = []
    for i in range(size):
        products = [sum(a * b for a, b in zip(first[i], second[j], strict=True)) for j in range(size)]
        others = sum(products[j] ** 2 for j in range(size) if j != i)
        values.append(-2 * products[i] + others / (size - 1))
    return values


def test_two_small_matrices_stand_for_all_pairs():
    first, second = np.random.default_rng(0).normal(size=(2, 7, 3))
    rows = spectral(torch.tensor(first), torch.tensor(second))
    np.testing.assert_allclose(rows.values, by_pairs(first, second), rtol=1e-12)
    assert rows.counted.all()
    swapped = spectral(torch.tensor(second), torch.tensor(first))
    assert swapped.mean().item() == pytest.approx(rows.mean().item(), rel=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    both = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: spectral(*x).mean(), (both,))


def test_low_precision_is_added_up_in_float32():
    both = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    values = spectral(*both).values
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, spectral(*both.float()).values)


def test_what_it_cannot_take_is_said():
    with pytest.raises(ValueError, match="one row"):
        spectral(torch.ones(1, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"\[3, 2\] and \[2, 2\]"):
        spectral(torch.ones(3, 2), torch.ones(2, 2))


PHI, SIGMA = np.array([1.0, 1.0, 0.5, 2.0]), np.array([0.0, 1.0, 0.5, 1.0])


def imbalance(tower, head):
    return tower @ tower.T - head.T @ head


def test_behind_a_linear_head_weights_are_those_of_the_theory_and_before_it_their_roots():
    """Two linear layers under gradient descent on the expected loss, over features of these strengths.

    Figures of the theory: 1, .5, 1, .4 behind the head; 1, .7071, 1, .6325 before it.
    """
    alike, all_of = np.diag(PHI**2), np.diag(PHI**2 + SIGMA**2)
    random = np.random.default_rng(0)
    tower, head = random.normal(size=(6, 4)) * 0.05, random.normal(size=(6, 6)) * 0.05
    at_first = imbalance(tower, head)
    for _ in range(40_000):
        both = head @ tower
        gradient = 4 * both @ (all_of @ (both.T @ both) @ all_of - alike)
        tower, head = tower - 0.01 * head.T @ gradient, head - 0.01 * gradient @ tower.T
    theory = PHI / (PHI**2 + SIGMA**2)
    np.testing.assert_allclose(theory, [1.0, 0.5, 1.0, 0.4])
    behind, before = (np.linalg.norm(x, axis=0) for x in (head @ tower, tower))
    np.testing.assert_allclose(behind, theory, rtol=0.01)
    np.testing.assert_allclose(before, np.sqrt(theory), rtol=0, atol=0.01)
    assert np.abs(before**2 - behind).max() < 0.01
    # What one layer starts with more than the other stays: it is why the start has to be small.
    np.testing.assert_allclose(imbalance(tower, head), at_first, atol=0.01)
    assert np.abs(at_first).max() < 0.03


def test_the_gradient_of_the_linear_net_is_that_of_the_loss():
    """The expected loss with ``A = W^T W`` is ``-2 tr(A alike) + |all^.5 A all^.5|^2``; the sample form comes near."""
    random = np.random.default_rng(1)
    weights = random.normal(size=(3, 4)) * 0.3
    factors = random.normal(size=(200_000, 4))
    views = [torch.tensor((factors * PHI + random.normal(size=factors.shape) * SIGMA) @ weights.T) for _ in range(2)]
    quadratic = weights.T @ weights
    root = np.diag(np.sqrt(PHI**2 + SIGMA**2))
    expected = -2 * np.trace(quadratic @ np.diag(PHI**2)) + np.square(root @ quadratic @ root).sum()
    assert spectral(*views).mean().item() == pytest.approx(expected, abs=0.02)


def test_a_feature_as_strong_as_its_disturbance_weighs_most():
    strengths = np.linspace(0.1, 3, 291)
    weights = strengths / (strengths**2 + 0.7**2)
    assert strengths[weights.argmax()] == pytest.approx(0.7, abs=0.006)
