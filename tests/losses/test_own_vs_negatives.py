"""Gated cosines against vectors made for each pair, and the loss against a loop over positives."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from likewise.losses import info_nce, own_vs_negatives

QUERY = torch.tensor([[1.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float64)
KEY = torch.tensor([[1.0, 0, 0.5], [0, 1, 0.5], [1, 0.5, 0], [1, 0, 0.2]], dtype=torch.float64)
GATE = torch.tensor([[1.0, 0.5, 0], [0.5, 1, 0.5], [1, 1, 1], [0.2, 0.4, 0.8]], dtype=torch.float64)
LABELS, PARTNERS = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 0, 2, 0])


def by_loops(query, key, gate, labels, partners, temperature, norm="cosine"):
    total, pairs = 0.0, 0
    for i in range(len(query)):
        logits = []
        for j in range(len(key)):
            q, k = np.array(query[i]), np.array(key[j])
            if norm == "none":
                logits.append(float(q / np.linalg.norm(q) * gate[i] ** 2 @ (k / np.linalg.norm(k))) / temperature)
                continue
            q, k = q * gate[i], k * gate[i]
            size = np.linalg.norm(q) * np.linalg.norm(k)
            logits.append(float(q @ k) / size / temperature if size else 0.0)
        against = [
            math.exp(one) for one, label in zip(logits, labels, strict=True) if label not in (labels[i], partners[i])
        ]
        for one, label in zip(logits, labels, strict=True):
            if label == partners[i]:
                total += math.log(math.exp(one) + sum(against)) - one
                pairs += 1
    return total / pairs


def case(size=6, dim=4, seed=0):
    random = np.random.default_rng(seed)
    values = random.normal(size=(2, size, dim))
    return values[0], values[1], random.random((size, dim)), random.integers(0, 3, size), random.integers(0, 3, size)


def loss(query, key, gate, labels, partners, temperature=0.3, **options):
    tensors = [torch.as_tensor(one) for one in (query, key, gate, labels, partners)]
    return own_vs_negatives(*tensors, temperature=temperature, **options)


def test_a_case_by_hand():
    found = loss(QUERY, KEY, GATE, LABELS, PARTNERS, temperature=0.1).mean()
    assert found.item() == pytest.approx(3.784023, abs=1e-6)
    by_hand = by_loops(*(x.numpy() for x in (QUERY, KEY, GATE, LABELS, PARTNERS)), 0.1)
    assert found.item() == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize("norm", ["cosine", "none"])
def test_it_equals_vectors_made_for_each_pair(norm):
    for seed in range(5):
        made = case(seed=seed)
        found = loss(*made, gate_norm=norm).mean().item()
        assert found == pytest.approx(by_loops(*made, 0.3, norm), rel=1e-9)


@pytest.mark.parametrize("norm", ["cosine", "none"])
def test_the_gradient_is_that_of_finite_differences(norm):
    query, key, gate, labels, partners = case(5)
    operands = [torch.tensor(one, requires_grad=True) for one in (query, key, gate)]
    assert torch.autograd.gradcheck(lambda *x: loss(*x, labels, partners, gate_norm=norm).mean(), operands)


def test_it_is_what_the_official_code_computes():
    # erow/vitookit at f6a80579, evaluation/simlap.py: multipos_ce_loss over its own masks, of apply_gate and contrast
    # ("cosine"), and disparate_loss as it stands ("none"), at temperature 0.3.
    query, key = (np.random.default_rng(seed).normal(size=(6, 4)) for seed in (0, 1))
    gate = np.random.default_rng(2).random((6, 4))
    labels, partners = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 0, 2, 2, 1, 0])
    operands = [torch.tensor(one, requires_grad=True) for one in (query, key, gate)]
    found = loss(*operands, labels, partners).mean()
    assert found.item() == pytest.approx(3.7304959154, abs=2e-9)
    found.backward()
    for operand, row, official in (
        (0, 5, [0.07798848, -0.0890245383, -0.1037915462, 0.178178164]),
        (1, 3, [0.0174300177, -0.6237575079, 0.2052137329, 0.016961965]),
        (2, 0, [-0.2611153745, -0.0775959614, 0.1201740764, -0.069369562]),
    ):
        assert operands[operand].grad[row].tolist() == pytest.approx(official, abs=2e-9)
    none = loss(query, key, gate, labels, partners, gate_norm="none").mean()
    assert none.item() == pytest.approx(1.9366557937, abs=2e-9)


def test_an_open_gate_on_classes_of_their_own_is_info_nce():
    query, key, _, _, _ = case()
    own = torch.arange(6)
    found = loss(query, key, np.ones((6, 4)), own, own).mean()
    unit = [torch.nn.functional.normalize(torch.tensor(one), dim=1) for one in (query, key)]
    assert found.item() == pytest.approx(info_nce(*unit, temperature=0.3).mean().item(), rel=1e-12)


def test_the_size_of_gates_and_keys_does_not_matter_even_where_squares_underflow():
    query, key, gate, labels, partners = case()
    whole = loss(query, key, gate, labels, partners).values
    assert_close(loss(query, key * 1e-200, gate * 1e-200, labels, partners).values, whole, rtol=1e-9, atol=0)
    assert_close(loss(query, key * 7, gate * 3, labels, partners).values, whole, rtol=1e-9, atol=0)


def test_a_key_of_the_own_class_gets_no_gradient_and_a_row_without_positive_says_nothing():
    query, key, gate = (torch.tensor(one, requires_grad=True) for one in case(4)[:3])
    rows = loss(query, key, gate, torch.tensor([0, 1, 2, 1]), torch.tensor([1, 9, 9, 9]))
    assert rows.counted.tolist() == [True, False, False, False]
    rows.mean().backward()
    assert not key.grad[0].any()
    assert key.grad[1:].any(dim=1).all()
    assert not query.grad[1:].any()
    nobody = loss(query, key, gate, torch.tensor([0, 1, 2, 1]), torch.tensor([9, 9, 9, 9]))
    assert not nobody.counted.any()
    assert nobody.mean_or_zero().item() == 0.0


def test_a_closed_gate_has_logits_of_zero_and_a_finite_gradient():
    query, key, _, labels, _ = case()
    gate = torch.zeros(6, 4, dtype=torch.float64, requires_grad=True)
    rows = loss(query, key, gate, labels, labels)
    rows.mean().backward()
    assert torch.isfinite(gate.grad).all()
    assert rows.mean().item() == pytest.approx(by_loops(query, key, np.zeros((6, 4)), labels, labels, 0.3), rel=1e-9)


def test_extreme_temperatures_and_rows_without_negatives_stay_finite():
    query, key, gate, labels, partners = case()
    assert torch.isfinite(loss(query, key, gate, labels, partners, temperature=1e-3).mean())
    two = loss(query, key, gate, np.array([0, 0, 0, 1, 1, 1]), np.array([1, 1, 1, 0, 0, 0]))
    assert two.mean().item() == 0.0


def test_what_it_cannot_take_is_said():
    query, key, gate, labels, partners = case()
    with pytest.raises(ValueError, match="none of the 6 rows counts"):
        loss(query, key, gate, np.zeros(6, int), np.zeros(6, int)).mean()
    with pytest.raises(ValueError, match="width of the projector"):
        loss(query, key, gate[:, :3], labels, partners)
    with pytest.raises(ValueError, match=r"labels is \[6\] of torch.float64"):
        loss(query, key, gate, labels.astype(float), partners)
    with pytest.raises(ValueError, match="temperature is 0"):
        loss(query, key, gate, labels, partners, temperature=0.0)
