"""Soft contrast against loops over plain numbers, its limits, and what its gradient is."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from likewise.losses import info_nce, soft_contrast

QUERY = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]
KEY = [[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]]
LABELS = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
TARGETS = [
    [0.72656509, 0.23170637, 0.04172854],
    [0.16930472, 0.53089132, 0.29980395],
    [0.03540523, 0.34812925, 0.61646552],
]


def double(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def unit(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1).to(dtype)


def by_loop(query, key, labels, temperature, label_temperature) -> tuple[list[list[float]], list[float], list[float]]:
    """Targets, row losses and column losses, from the definition."""

    def dot(x, y):
        return math.fsum(a * b for a, b in zip(x, y, strict=True))

    def cosine(x, y):
        return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))

    size = range(len(query))
    weights = [[math.exp(cosine(a, b) / label_temperature) for b in labels] for a in labels]
    targets = [[w / math.fsum(row) for w in row] for row in weights]
    scores = [[dot(q, k) / temperature for k in key] for q in query]

    def losses(table):
        found = []
        for target, row in zip(targets, table, strict=True):
            highest = max(row)
            normaliser = highest + math.log(math.fsum(math.exp(s - highest) for s in row))
            found.append(math.fsum(-t * (s - normaliser) for t, s in zip(target, row, strict=True)))
        return found

    return targets, losses(scores), losses([[scores[i][j] for i in size] for j in size])


def test_three_rows_worked_out_by_hand():
    targets, rows, columns = by_loop(QUERY, KEY, LABELS, 0.5, 0.35)
    assert targets == [pytest.approx(row, abs=1e-8) for row in TARGETS]
    assert rows == pytest.approx([1.12508170, 1.18004853, 1.30134418], abs=1e-8)
    assert columns == pytest.approx([1.33078445, 1.40288802, 0.80968641], abs=1e-8)
    values = soft_contrast(double(QUERY), double(KEY), double(LABELS), temperature=0.5, label_temperature=0.35).values
    assert values.tolist() == pytest.approx([(x + y) / 2 for x, y in zip(rows, columns, strict=True)], rel=1e-12)
    assert values.mean().item() == pytest.approx(1.19163888, abs=1e-8)
    colder = soft_contrast(double(QUERY), double(KEY), double(LABELS), temperature=0.05, label_temperature=0.35)
    assert colder.mean().item() == pytest.approx(5.78410542, abs=1e-8)


@pytest.mark.parametrize(
    ("temperature", "label_temperature", "expected"),
    [(0.05, 0.35, 12.774679183959961), (0.5, 0.35, 2.718167781829834), (0.05, 0.1, 12.418123245239258)],
)
def test_it_is_the_official_loss(temperature, label_temperature, expected):
    """LabeledContrastiveLoss.py of idiap/dialog2flow, 5ce95a6a5027, in one process, targets left on the CPU."""
    generator = torch.Generator().manual_seed(2410)
    query, key, vectors = (torch.randn(shape, generator=generator) for shape in ((12, 6), (12, 6), (5, 4)))
    labels = torch.tensor([1, 3, 3, 2, 0, 2, 0, 0, 0, 2, 0, 4])
    query, key = (torch.nn.functional.normalize(x, dim=1) for x in (query, key))
    rows = soft_contrast(query, key, vectors[labels], temperature=temperature, label_temperature=label_temperature)
    assert rows.mean().item() == pytest.approx(expected, rel=1e-6)
    hard = {0.05: 12.363295555114746, 0.5: 2.6770291328430176}[temperature]
    found = info_nce(query, key, labels=labels, symmetric=True, temperature=temperature)
    assert found.mean().item() == pytest.approx(hard, rel=1e-6)


def test_targets_transposed_would_be_another_loss():
    targets = double(TARGETS)
    logits = double(QUERY) @ double(KEY).T / 0.5
    as_it_is, transposed = (-(t * logits.T.log_softmax(1)).sum(1).mean() for t in (targets, targets.T))
    assert abs(as_it_is - transposed) > 0.01


@given(st.integers(1, 9), st.integers(1, 4), st.floats(0.05, 2), st.floats(0.05, 3), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_rows_equal_a_plain_loop(size, dim, temperature, label_temperature, seed):
    query, key = unit(size, dim, seed=seed), unit(size, dim, seed=seed + 1)
    labels = unit(size, dim + 1, seed=seed + 2)[torch.arange(size) // 2] * 3  # pairs of equal labels, of any length
    _, rows, columns = by_loop(query.tolist(), key.tolist(), labels.tolist(), temperature, label_temperature)
    found = soft_contrast(query, key, labels, temperature=temperature, label_temperature=label_temperature)
    assert found.counted.all()
    assert found.values.tolist() == pytest.approx(
        [(x + y) / 2 for x, y in zip(rows, columns, strict=True)], rel=1e-9, abs=1e-12
    )


def gradients(tile=None, dtype=torch.float64):
    query, key, labels = (unit(13, 5, seed=seed, dtype=dtype).requires_grad_() for seed in (1, 2, 3))
    loss = soft_contrast(query, key, labels, temperature=0.2, label_temperature=0.35, tile=tile).mean()
    loss.backward()
    assert labels.grad is None
    return loss.detach(), query.grad, key.grad


@pytest.mark.parametrize("tile", [1, 4, (3, 20)])
def test_loss_and_gradient_do_not_depend_on_the_tile(tile):
    assert_close(gradients(tile), gradients(), rtol=1e-9, atol=1e-12)


def test_single_precision_is_near():
    for found, expected in zip(gradients(dtype=torch.float32), gradients(), strict=True):
        assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_score_is_softmax_minus_target_and_adds_up_to_nothing():
    scores = torch.randn(4, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64).requires_grad_()
    labels = unit(4, 3, seed=8)
    rows = soft_contrast(
        scores, torch.eye(4, dtype=torch.float64), labels, temperature=1.0, label_temperature=0.35
    )  # keys are the axes, so a query's entries are its scores
    rows.mean().backward()
    targets = (labels @ labels.T / 0.35).softmax(1)
    over_keys, over_queries = scores.detach().softmax(1), scores.detach().softmax(0)
    assert_close(scores.grad, (over_keys - targets + over_queries - targets.T) / 8, rtol=1e-9, atol=1e-12)
    assert_close((over_keys - targets).sum(1), torch.zeros(4).double(), rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    labels = unit(4, 3, seed=1)

    def loss(query, key):
        return soft_contrast(query, key, labels, temperature=0.4, label_temperature=0.35).mean()

    assert torch.autograd.gradcheck(loss, tuple(unit(4, 3, seed=seed).requires_grad_() for seed in (2, 3)))


def test_cold_labels_that_differ_leave_each_row_its_own_key():
    query, key, labels = unit(3, 4, seed=1), unit(3, 4, seed=2), torch.eye(3, dtype=torch.float64)
    targets, *_ = by_loop(query.tolist(), key.tolist(), labels.tolist(), 0.1, 0.05)
    assert targets[0][0] == pytest.approx(0.99999999588, abs=1e-11)
    cold = soft_contrast(query, key, labels, temperature=0.1, label_temperature=0.005)
    assert_close(cold.values, info_nce(query, key, temperature=0.1, symmetric=True).values, rtol=1e-9, atol=1e-12)
    warm, *_ = by_loop(query.tolist(), key.tolist(), labels.tolist(), 0.1, 0.35)
    assert warm[0][:2] == pytest.approx([0.89696940, 0.05151530], abs=1e-8)


def test_cold_labels_that_are_equal_share_alike():
    labels = torch.tensor([0, 0, 1])
    vectors = torch.eye(2, dtype=torch.float64)[labels]
    query, key = double(QUERY), double(KEY)
    hard = info_nce(query, key, labels=labels, symmetric=True, temperature=0.5)
    assert hard.mean().item() == pytest.approx(0.80186687, abs=1e-8)
    cold = soft_contrast(query, key, vectors, temperature=0.5, label_temperature=0.005)
    assert_close(cold.values, hard.values, rtol=1e-9, atol=1e-12)


def test_one_label_in_the_whole_batch_is_the_same_soft_and_hard():
    query, key, one = unit(5, 3, seed=1), unit(5, 3, seed=2), unit(1, 4, seed=3).expand(5, 4)
    hard = info_nce(query, key, labels=torch.zeros(5, dtype=torch.int64), symmetric=True, temperature=0.1)
    soft = soft_contrast(query, key, one, temperature=0.1, label_temperature=0.35)
    assert_close(soft.values, hard.values, rtol=1e-9, atol=1e-12)


def test_hot_labels_ask_for_equal_similarities():
    query, key = unit(6, 4, seed=1), unit(6, 4, seed=2)
    hot = soft_contrast(query, key, unit(6, 3, seed=3), temperature=0.5, label_temperature=1e9).mean()
    assert hot > math.log(6)
    same = unit(1, 4, seed=4).expand(6, 4)
    equal = soft_contrast(same, same, unit(6, 3, seed=3), temperature=0.5, label_temperature=1e9).mean()
    assert equal.item() == pytest.approx(math.log(6), rel=1e-7)


@given(st.integers(2, 8), st.floats(0.05, 2), st.floats(0.02, 3), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_loss_is_never_below_the_entropy_of_the_targets(size, temperature, label_temperature, seed):
    query, key, labels = (unit(size, 3, seed=seed + i) for i in range(3))
    targets = (labels @ labels.T / label_temperature).softmax(1)
    entropy = -(targets * targets.log()).sum(1)
    values = soft_contrast(query, key, labels, temperature=temperature, label_temperature=label_temperature).values
    assert (values >= entropy - 1e-9).all()


def test_it_is_the_entropy_where_similarities_are_those_of_labels():
    labels = torch.eye(5, dtype=torch.float64)  # equally far apart, so T is symmetric
    targets = (labels @ labels.T / 0.35).softmax(1)
    values = soft_contrast(labels, labels, labels, temperature=0.35, label_temperature=0.35).values
    assert_close(values, -(targets * targets.log()).sum(1), rtol=1e-9, atol=1e-12)


def test_very_cold_labels_stay_finite():
    values = soft_contrast(
        *(unit(6, 4, seed=s, dtype=torch.float32) for s in (1, 2, 3)), temperature=0.001, label_temperature=1e-4
    ).values
    assert values.isfinite().all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label_vectors": unit(3, 2, seed=1)}, r"label_vectors \[3, 2\]"),
        ({"key": unit(4, 3, seed=1)}, r"key \[4, 3\]"),
        ({"temperature": 0.0}, "temperature is 0.0; it is > 0"),
        ({"label_temperature": -1.0}, "label_temperature is -1.0; it is > 0"),
        ({"label_vectors": torch.zeros(4, 2)}, "a label vector is zero"),
    ],
)
def test_what_does_not_fit_is_refused(change, says):
    given_ = {"query": unit(4, 2, seed=1), "key": unit(4, 2, seed=2), "label_vectors": unit(4, 2, seed=3)}
    options = {"temperature": 0.1, "label_temperature": 0.35}
    with pytest.raises(ValueError, match=says):
        soft_contrast(**{**given_, **options, **change})
