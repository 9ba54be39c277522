"""The gap between two sides, against the paper's toy numbers and on spaces made with and without one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise import geometry

X = torch.tensor([[1, 0], [0, 1], [1 / math.sqrt(2), 1 / math.sqrt(2)]], dtype=torch.float64)
Y = torch.tensor([[0.6, 0.8], [-0.6, 0.8], [0, 1]], dtype=torch.float64)


def random_rows(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_numbers_of_the_paper():
    assert geometry.uniformity(X) == pytest.approx(-1.547913, abs=1e-6)
    assert geometry.uniformity(Y) == pytest.approx(-1.144873, abs=1e-6)
    assert geometry.cross_uniformity(X, Y) == pytest.approx(-0.890725, abs=1e-6)
    assert geometry.alignment(X, Y) == pytest.approx(0.595262, abs=1e-6)
    assert geometry.centroid_gap(X, Y) == pytest.approx(0.642173, abs=1e-6)


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(0, 999), st.sampled_from([0.5, 2.0, 5.0]))
def test_cross_uniformity_and_gap_equal_plain_loops(num_rows, dim, seed, t):
    x, y = random_rows(num_rows, dim, seed), random_rows(num_rows, dim, seed + 1)
    units = [[[v / math.hypot(*row) for v in row] for row in side.tolist()] for side in (x, y)]
    kernel = [math.exp(-t * math.dist(units[0][i], units[1][j]) ** 2)
              for i in range(num_rows) for j in range(num_rows) if i != j]  # fmt: skip
    assert geometry.cross_uniformity(x, y, t=t) == pytest.approx(math.log(sum(kernel) / len(kernel)), abs=1e-9)
    means = [[sum(column) / num_rows for column in zip(*side, strict=True)] for side in units]
    assert geometry.centroid_gap(x, y) == pytest.approx(math.dist(*means), abs=1e-9)


def test_equal_sides_have_no_gap_and_a_collapsed_space_has_nothing_else():
    x = random_rows(20, 4)
    assert geometry.centroid_gap(x, 2 * x) == pytest.approx(0, abs=1e-12)
    assert geometry.cross_uniformity(x, x) == pytest.approx(geometry.uniformity(x), rel=1e-9)
    ones = torch.ones(5, 3)
    assert geometry.cross_uniformity(ones, ones) == pytest.approx(0, abs=1e-6)


def test_one_rotation_of_both_sides_changes_nothing():
    x, y = random_rows(60, 5), random_rows(60, 5, 1) + 0.5
    rotation = torch.linalg.qr(random_rows(5, 5, 2)).Q
    for figure in (geometry.centroid_gap, geometry.cross_uniformity, geometry.separability):
        assert figure(x @ rotation, y @ rotation) == pytest.approx(figure(x, y), rel=1e-9)


def test_separability_is_chance_for_one_distribution_and_all_for_two():
    x, y = random_rows(3000, 16), random_rows(3000, 16, 1)
    assert geometry.separability(x, y) == pytest.approx(0.5, abs=0.05)
    shift = torch.zeros(16, dtype=torch.float64)
    shift[0] = 4
    assert geometry.separability(x + shift, y - shift) > 0.95


def test_separability_is_seeded_and_looks_at_no_more_rows_than_it_may():
    x, y = random_rows(300, 3), random_rows(300, 3, 1) + 0.7
    assert geometry.separability(x, y, seed=1) == geometry.separability(x, y, seed=1)
    assert geometry.separability(x, y, max_rows=50, seed=2) * 20 == pytest.approx(
        round(geometry.separability(x, y, max_rows=50, seed=2) * 20)
    )  # 10 of 50 pairs are held out, 20 rows


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: geometry.separability(torch.ones(9, 2), torch.ones(9, 2)), "9 rows given; at least 10"),
        (lambda: geometry.cross_uniformity(torch.ones(1, 2), torch.ones(1, 2)), "1 row given; at least 2"),
        (lambda: geometry.cross_uniformity(torch.ones(2, 2), torch.ones(2, 2), t=0), "t is 0"),
        (lambda: geometry.centroid_gap(torch.ones(2, 2), torch.ones(2, 3)), r"x is \[2, 2\] but y is \[2, 3\]"),
    ],
)
def test_what_cannot_be_measured_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
