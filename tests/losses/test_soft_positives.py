"""Targets of low rank against a plain loop, and the two limits: certain classes, and none."""

import math

import pytest
import torch
from torch.nn import functional as F

from likewise.losses import info_nce, soft_positives


def drawn(rows=5, dim=3, classes=4):
    random = torch.Generator().manual_seed(0)
    first, second = F.normalize(torch.randn(2, rows, dim, dtype=torch.float64, generator=random), dim=-1)
    return first, second, torch.randn(rows, classes, dtype=torch.float64, generator=random).softmax(dim=1)


def by_loop(first, second, shares, temperature):
    views, rows = [*first.tolist(), *second.tolist()], len(first)
    values = []
    for a in range(2 * rows):
        logits = {
            b: sum(x * y for x, y in zip(views[a], views[b], strict=True)) / temperature
            for b in range(2 * rows) if b != a
        }  # fmt: skip
        weights = {b: 1.0 if b % rows == a % rows else float(shares[a % rows] @ shares[b % rows]) for b in logits}
        target = sum(weights[b] * logits[b] for b in logits) / sum(weights.values())
        values.append(math.log(sum(math.exp(one) for one in logits.values())) - target)
    return values


def test_it_equals_a_plain_loop():
    case = drawn()
    values = soft_positives(*case, temperature=0.3).values
    torch.testing.assert_close(values, torch.tensor(by_loop(*case, 0.3), dtype=torch.float64), rtol=1e-9, atol=1e-12)


def test_certain_classes_are_supcon_and_no_weight_beside_the_other_view_is_simclr():
    first, second, _ = drawn()
    labels = torch.tensor([0, 1, 0, 3, 1])
    certain = soft_positives(first, second, F.one_hot(labels, 4), temperature=0.3).mean()
    views = torch.cat([first, second])
    assert certain.item() == pytest.approx(
        info_nce(views, None, labels=labels.repeat(2), temperature=0.3).mean().item()
    )
    alone = soft_positives(first, second, torch.eye(5), temperature=0.3).mean()
    pairs = info_nce(views, None, labels=torch.arange(5).repeat(2), temperature=0.3).mean()
    assert alone.item() == pytest.approx(pairs.item(), rel=1e-9)


def test_debiased_shares_give_the_weights_of_the_specification():
    logits = torch.tensor([[0.3, 0.1, -0.2], [0.2, 0.1, 0.0], [-0.1, 0.2, 0.1], [0.25, 0.0, -0.1]], dtype=torch.float64)
    counts = torch.tensor([60.0, 30.0, 10.0], dtype=torch.float64)
    shares = (logits / 0.1 - 0.5 * (counts / counts.sum()).log()).softmax(dim=1)
    torch.testing.assert_close(shares[0], torch.tensor([0.827885, 0.158451, 0.013664]).double(), rtol=0, atol=1e-6)
    weights = shares @ shares.T
    assert [weights[0, 3].item(), weights[0, 2].item(), weights[2, 2].item()] == pytest.approx(
        [0.711976, 0.117379, 0.503146], abs=1e-6
    )


def test_the_gradient_is_that_of_finite_differences_and_shares_get_none():
    first, second, shares = drawn(4)
    first, second, shares = (x.clone().requires_grad_() for x in (first, second, shares))
    assert torch.autograd.gradcheck(lambda a, b: soft_positives(a, b, shares, temperature=0.3).mean(), (first, second))
    soft_positives(first, second, shares, temperature=0.3).mean().backward()
    assert shares.grad is None


def test_what_it_cannot_take_is_said():
    with pytest.raises(ValueError, match=r"\[2, 2\] and \[3, 2\]"):
        soft_positives(torch.ones(2, 2), torch.ones(3, 2), torch.ones(2, 2), temperature=1.0)
    with pytest.raises(ValueError, match="above 0"):
        soft_positives(torch.ones(2, 2), torch.ones(2, 2), torch.ones(2, 2), temperature=0.0)
