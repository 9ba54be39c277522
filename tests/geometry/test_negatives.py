"""What negatives do: entropy of the penalty, effective and false negatives, against the papers' numbers and loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise import geometry


def random_rows(rows: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def with_cosines(*cosines: float) -> torch.Tensor:
    """Keys on the circle whose cosines with (1, 0) are these."""
    return torch.tensor([[c, math.sqrt(1 - c * c)] for c in cosines], dtype=torch.float64)


@pytest.mark.parametrize(("temperature", "entropy"), [(0.1, 0.611179), (0.5, 1.207777)])
def test_the_entropy_of_the_paper(temperature, entropy):
    """One row, its positive at 0.8, negatives at 0.6, 0.5, 0.1 and -0.3."""
    query, key = torch.tensor([[2.0, 0.0]], dtype=torch.float64), with_cosines(0.8, 0.6, 0.5, 0.1, -0.3)
    (found,) = geometry.penalty_entropy(query, key, temperature=temperature).tolist()
    assert found == pytest.approx(entropy, abs=1e-6)
    assert geometry.effective_negatives(query, key, temperature=temperature) == pytest.approx(math.exp(found))
    shares = torch.softmax(torch.tensor([0.6, 0.5, 0.1, -0.3], dtype=torch.float64) / temperature, 0)
    if temperature == 0.1:
        assert shares.tolist() == pytest.approx([0.72741, 0.267599, 0.004901, 0.00009], abs=1e-5)
    assert found == pytest.approx(float(-(shares * shares.log()).sum()), rel=1e-9)


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(0, 4), st.integers(1, 4), st.sampled_from([0.02, 0.1, 1.0]), st.integers(0, 999))
def test_the_entropy_is_that_of_the_relative_penalty(num_rows, further, dim, temperature, seed):
    """The penalty is taken from autograd: |dL/ds_ij| as a share of their sum, which is |dL/ds_ii|."""
    query, key = random_rows(num_rows, dim, seed), random_rows(max(2, num_rows + further), dim, seed + 1)
    unit = [torch.nn.functional.normalize(x, dim=1) for x in (query, key)]
    scores = (unit[0] @ unit[1].T).requires_grad_()
    loss = (scores / temperature).logsumexp(1) - scores.diagonal() / temperature
    (grads,) = torch.autograd.grad(loss.sum(), scores)
    for i, entropy in enumerate(geometry.penalty_entropy(query, key, temperature=temperature).tolist()):
        pushed = [float(grads[i, j]) for j in range(len(key)) if j != i]
        assert sum(pushed) == pytest.approx(-float(grads[i, i]), rel=1e-9, abs=1e-9)
        penalty = [push / sum(pushed) for push in pushed]
        expected = -sum(p * math.log(p) for p in penalty if p > 0)
        assert entropy == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_effective_negatives_go_from_one_to_all_with_the_temperature():
    x = random_rows(60, 8, dtype=torch.float32)
    found = [geometry.effective_negatives(x, temperature=t) for t in (0.001, 0.05, 0.2, 1.0, 100.0)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(1.0, abs=0.1)
    assert found[-1] == pytest.approx(59, rel=1e-4)
    assert geometry.effective_negatives(torch.ones(20, 3), temperature=0.05) == pytest.approx(19, rel=1e-4)


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(1, 4), st.sampled_from([0.5, 0.95, 1.0, 1.2]), st.integers(0, 999))
def test_false_negatives_equal_a_plain_loop(num_rows, dim, share, seed):
    query, key = random_rows(num_rows, dim, seed), random_rows(num_rows, dim, seed + 1)
    unit = [torch.nn.functional.normalize(x, dim=1) for x in (query, key)]
    scores = (unit[0] @ unit[1].T).tolist()
    suspect = [[j for j in range(num_rows) if j != i and scores[i][j] >= share * scores[i][i] - 1e-6]
               for i in range(num_rows)]  # fmt: skip
    labels = [i % 2 for i in range(num_rows)]
    found = geometry.false_negatives(query, key, share_of_positive=share, labels=labels)
    assert found.rows == pytest.approx(sum(map(bool, suspect)) / num_rows)
    pairs = num_rows * (num_rows - 1)
    assert found.pairs == pytest.approx(sum(map(len, suspect)) / pairs)
    same = sum(labels[i] == labels[j] for i in range(num_rows) for j in range(num_rows) if i != j)
    assert found.labels == pytest.approx(same / pairs)


def test_perfect_pairs_have_none_and_chance_gives_half():
    x = random_rows(400, 16, dtype=torch.float32)
    assert geometry.false_negatives(x, x) == (0.0, 0.0, None)
    shuffled = geometry.false_negatives(x, x[torch.randperm(400)], share_of_positive=1.0)
    assert shuffled.pairs == pytest.approx(0.5, abs=0.05)


def test_a_copy_of_the_positive_is_a_false_negative_even_at_its_full_share():
    x = random_rows(30, 100, dtype=torch.float32)
    key = x + 0.1 * random_rows(30, 100, 1, dtype=torch.float32)
    key[1] = key[0]
    x[1] = x[0]
    assert geometry.false_negatives(x, key, share_of_positive=1.0).rows == pytest.approx(2 / 30)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: geometry.penalty_entropy(torch.ones(3, 2), temperature=0), "temperature is 0"),
        (lambda: geometry.penalty_entropy(torch.ones(1, 2), temperature=1), "1 keys for 1 rows"),
        (lambda: geometry.effective_negatives(torch.ones(3, 2), torch.ones(2, 2), temperature=1), "2 keys for 3 rows"),
        (lambda: geometry.false_negatives(torch.ones(3, 2), torch.ones(2, 2)), r"x is \[3, 2\] but y is \[2, 2\]"),
        (lambda: geometry.false_negatives(torch.ones(3, 2), torch.ones(3, 2), share_of_positive=0), "is 0"),
        (lambda: geometry.false_negatives(torch.ones(3, 2), torch.ones(3, 2), labels=[1]), "1 labels for 3 rows"),
        (lambda: geometry.false_negatives(torch.ones(1, 2), torch.ones(1, 2)), "1 row given; at least 2"),
    ],
)
def test_what_cannot_be_measured_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
