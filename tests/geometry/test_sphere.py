"""Alignment, uniformity and mean cosine against hand numbers, plain loops and their invariances."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise import geometry


def random_rows(rows: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(v * v for v in vector))
    return [v / length for v in vector]


def squared_distance(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(unit(a), unit(b), strict=True))


shapes = st.tuples(st.integers(2, 9), st.integers(1, 6), st.integers(0, 10_000))


@given(shapes, st.sampled_from([0.5, 1.0, 2.0, 3.0]))
def test_alignment_equals_a_plain_loop(shape, alpha):
    rows, dim, seed = shape
    x, y = random_rows(rows, dim, seed), random_rows(rows, dim, seed + 1)
    expected = sum(squared_distance(a, b) ** (alpha / 2) for a, b in zip(x.tolist(), y.tolist(), strict=True)) / len(x)
    assert geometry.alignment(x, y, alpha=alpha) == pytest.approx(expected, rel=1e-9)


@given(shapes)
def test_alignment_at_two_is_two_minus_twice_the_positive_cosine(shape):
    rows, dim, seed = shape
    x, y = random_rows(rows, dim, seed), random_rows(rows, dim, seed + 1)
    assert geometry.alignment(x, y) == pytest.approx(2 - 2 * geometry.positive_cosine(x, y), abs=1e-12)


@given(shapes, st.sampled_from([0.5, 2.0, 5.0]))
def test_uniformity_equals_a_plain_loop(shape, t):
    rows, dim, seed = shape
    x = random_rows(rows, dim, seed).tolist()
    kernel = [math.exp(-t * squared_distance(x[i], x[j])) for i in range(rows) for j in range(rows) if i != j]
    expected = math.log(sum(kernel) / len(kernel))
    assert geometry.uniformity(torch.tensor(x, dtype=torch.float64), t=t) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


@given(shapes)
def test_mean_cosine_equals_a_plain_loop(shape):
    rows, dim, seed = shape
    x = [unit(row) for row in random_rows(rows, dim, seed).tolist()]
    cosines = [sum(a * b for a, b in zip(x[i], x[j], strict=True)) for i in range(rows) for j in range(rows) if i != j]
    mean = geometry.mean_cosine(torch.tensor(x, dtype=torch.float64))
    assert mean == pytest.approx(sum(cosines) / len(cosines), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("figure", [geometry.uniformity, geometry.mean_cosine])
def test_order_rotation_and_length_of_rows_do_not_matter(figure):
    x = random_rows(40, 5)
    rotation = torch.linalg.qr(random_rows(5, 5, 1)).Q
    lengths = torch.rand(40, 1, dtype=torch.float64) + 0.1
    changed = (x * lengths)[torch.randperm(40)] @ rotation
    assert figure(changed) == pytest.approx(figure(x), rel=1e-9)


def test_hand_numbers():
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    # squared distances: 2, 4, 2 (each pair twice)
    assert geometry.uniformity(x) == pytest.approx(math.log((2 * math.exp(-4) + math.exp(-8)) / 3), rel=1e-6)
    assert geometry.mean_cosine(x) == pytest.approx(-1 / 3, rel=1e-6)
    # distances: 0, sqrt(2), 2
    y = torch.tensor([[5.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert geometry.alignment(x, y, alpha=1) == pytest.approx((math.sqrt(2) + 2) / 3, rel=1e-6)


def test_a_collapsed_space_has_the_worst_uniformity_and_the_best_alignment():
    x = torch.ones(50, 8)
    assert geometry.uniformity(x) == pytest.approx(0.0, abs=1e-6)
    assert geometry.mean_cosine(x) == pytest.approx(1.0, abs=1e-6)
    assert geometry.alignment(x, x) == 0.0


@pytest.mark.parametrize("dim", [2, 3, 16, 384])
def test_even_uniformity_is_what_random_directions_have(dim):
    x = random_rows(2000, dim, dtype=torch.float32)
    assert geometry.uniformity(x) == pytest.approx(geometry.even_uniformity(dim), abs=0.01)


def test_even_uniformity_on_the_circle_and_on_the_sphere_in_three_dimensions():
    # On S^2 a coordinate is uniform on [-1, 1], so E exp(4 c) = sinh(4) / 4.
    assert geometry.even_uniformity(3) == pytest.approx(math.log(math.sinh(4) / 4) - 4, rel=1e-12)
    angles = torch.arange(100_000, dtype=torch.float64) * 2 * math.pi / 100_000
    circle = math.log(float(torch.exp(4 * angles.cos()).mean())) - 4
    assert geometry.even_uniformity(2) == pytest.approx(circle, rel=1e-9)


def test_a_sample_is_seeded_and_close_to_the_exact_value():
    x = random_rows(1500, 16, dtype=torch.float32)
    exact = geometry.uniformity(x)
    assert geometry.uniformity(x, max_rows=1500) == exact
    first = geometry.uniformity(x, max_rows=700, seed=3)
    assert first == geometry.uniformity(x, max_rows=700, seed=3)
    assert first != geometry.uniformity(x, max_rows=700, seed=4)
    assert first == pytest.approx(exact, abs=0.02)


def test_very_large_and_very_small_rows_are_only_directions():
    x = random_rows(10, 4, dtype=torch.float32)
    assert geometry.mean_cosine(x * 1e30) == pytest.approx(geometry.mean_cosine(x), rel=1e-4)
    assert geometry.mean_cosine(x * 1e-30) == pytest.approx(geometry.mean_cosine(x), rel=1e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: geometry.uniformity(torch.ones(1, 3)), "uniformity: 1 row given; at least 2 are needed"),
        (lambda: geometry.mean_cosine(torch.ones(3)), r"mean_cosine: .*shape \[3\]"),
        (lambda: geometry.uniformity(torch.tensor([[1.0], [torch.nan]])), "row 1 holds a value that is not finite"),
        (lambda: geometry.mean_cosine(torch.tensor([[0.0], [1.0]])), "row 0 is all zeros"),
        (lambda: geometry.alignment(torch.ones(2, 3), torch.ones(3, 3)), r"x is \[2, 3\] but y is \[3, 3\]"),
        (lambda: geometry.alignment(torch.ones(2, 3), torch.ones(2, 3), alpha=0), "alpha is 0"),
        (lambda: geometry.uniformity(torch.ones(2, 3), t=-1), "t is -1"),
        (lambda: geometry.uniformity(torch.ones(2, 3), max_rows=1), "max_rows is 1"),
    ],
)
def test_what_cannot_be_measured_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
