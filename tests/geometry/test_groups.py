"""Isotropy and tolerance: the closed forms against loops over pairs."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise import geometry


def random_rows(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


@st.composite
def grouped_rows(draw):
    sizes = draw(st.lists(st.integers(2, 5), min_size=1, max_size=4))
    rows = random_rows(sum(sizes), draw(st.integers(1, 5)), draw(st.integers(0, 10_000)))
    labels = [name for name, size in zip("abcd", sizes, strict=False) for _ in range(size)]
    return rows, draw(st.permutations(labels))


@given(grouped_rows())
def test_isotropy_and_tolerance_equal_loops_over_pairs(case):
    x, labels = case
    rows, count = x.tolist(), len(labels)
    within = [cosine(rows[i], rows[j]) for i in range(count) for j in range(count)
              if i != j and labels[i] == labels[j]]  # fmt: skip
    mean = sum(within) / len(within)
    assert geometry.isotropy(x, labels) == pytest.approx(1 - mean, rel=1e-9, abs=1e-9)
    assert geometry.tolerance(x, labels) == pytest.approx(mean, rel=1e-9, abs=1e-9)
    literal = sum(within) / (count * (count - 1))
    assert geometry.tolerance(x, labels, conditional=False) == pytest.approx(literal, rel=1e-9, abs=1e-9)


def test_the_numbers_of_the_papers():
    # Contrastive search: h = (1, 0), (0.8, 0.6), (0, 1)
    x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], dtype=torch.float64)
    assert geometry.isotropy(x) == pytest.approx(0.533333, abs=1e-6)
    # Behaviour of the contrastive loss: points at 0, 60, 180 and 240 degrees
    angles = torch.deg2rad(torch.tensor([0.0, 60.0, 180.0, 240.0], dtype=torch.float64))
    points, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1, 1])
    assert geometry.uniformity(points) == pytest.approx(-3.078031, abs=1e-6)
    assert geometry.tolerance(points, labels) == pytest.approx(0.5, rel=1e-9)
    assert geometry.tolerance(points, labels, conditional=False) == pytest.approx(0.166667, abs=1e-6)


def test_limits():
    assert geometry.isotropy(torch.ones(6, 3)) == pytest.approx(0.0, abs=1e-6)
    assert geometry.isotropy(torch.eye(5)) == pytest.approx(1.0, abs=1e-6)
    assert geometry.tolerance(torch.ones(6, 3), [0, 0, 1, 1, 1, 0]) == pytest.approx(1.0, abs=1e-6)


def test_a_group_of_one_has_no_pair_and_a_longer_text_counts_more():
    x = random_rows(9, 4)
    groups = [0] * 5 + [1] * 3 + [2]
    first, second = (1 - geometry.isotropy(part) for part in (x[:5], x[5:8]))
    assert geometry.isotropy(x, groups) == pytest.approx(1 - (20 * first + 6 * second) / 26, rel=1e-9)


def test_more_rows_than_a_chunk_and_names_of_any_kind():
    x = random_rows(9000, 3)
    labels = [f"class {number % 7}" for number in range(9000)]
    expected = geometry.tolerance(x, torch.arange(9000) % 7)
    assert geometry.tolerance(x, labels) == pytest.approx(expected, rel=1e-12)
    assert geometry.isotropy(x, labels) == pytest.approx(1 - expected, rel=1e-12)
    order = torch.randperm(9000, generator=torch.Generator().manual_seed(1))
    assert geometry.tolerance(x[order], [labels[i] for i in order]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: geometry.tolerance(torch.ones(3, 2), ["a", "b", "a"]), "class 'b' has one row .1 of 2 classes do."),
        (lambda: geometry.tolerance(torch.ones(3, 2), [1, 2, 1], conditional=False), "class 2 has one row"),
        (lambda: geometry.tolerance(torch.ones(3, 2), [1, 1]), "tolerance: 2 labels for 3 rows"),
        (lambda: geometry.isotropy(torch.ones(3, 2), [0, 1, 2]), "each of the 3 groups has one row"),
        (lambda: geometry.isotropy(torch.ones(1, 2)), "1 row given; at least 2"),
    ],
)
def test_what_cannot_be_measured_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
