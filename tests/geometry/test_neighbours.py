"""Hubs and copies, against loops and on spaces made to have them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from likewise import geometry


def random_rows(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None)
@given(st.integers(3, 12), st.integers(2, 4), st.integers(1, 5), st.integers(0, 999))
def test_hubness_equals_a_plain_loop(num_rows, dim, k, seed):
    k = min(k, num_rows - 1)
    x = random_rows(num_rows, dim, seed)
    unit = torch.nn.functional.normalize(x, dim=1)
    cosines = (unit @ unit.T).tolist()
    occurs = np.zeros(num_rows)
    for i in range(num_rows):
        for j in sorted((j for j in range(num_rows) if j != i), key=lambda j: -cosines[i][j])[:k]:
            occurs[j] += 1
    found = geometry.hubness(x, k=k)
    assert found.skewness == pytest.approx(0.0 if np.ptp(occurs) == 0 else float(stats.skew(occurs)), abs=1e-9)
    assert found.anti_hubs == pytest.approx(np.mean(occurs == 0))
    assert found.largest == pytest.approx(occurs.max() / (num_rows - 1))


def test_a_point_in_the_middle_of_a_cone_is_a_hub():
    x = random_rows(500, 50)
    x[:, 0] += 5
    even = geometry.hubness(x)
    x[7] = x.mean(dim=0)
    hub = geometry.hubness(x)
    assert hub.largest > 0.7 > 0.3 > even.largest
    assert hub.skewness > 2 * even.skewness


def test_hubs_and_copies_do_not_depend_on_order_length_or_rotation():
    x = random_rows(80, 6)
    x[3] = 2 * x[9]
    rotation = torch.linalg.qr(random_rows(6, 6, 1)).Q
    changed = (3 * x)[torch.randperm(80)] @ rotation
    assert geometry.hubness(changed, k=5) == pytest.approx(geometry.hubness(x, k=5), rel=1e-9)
    assert geometry.duplicates(changed) == geometry.duplicates(x) == pytest.approx(2 / 80)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_copies_are_counted_with_their_rounding_and_near_rows_are_not(dtype):
    x = random_rows(60, 384).to(dtype)
    assert geometry.duplicates(x) == 0
    x[40:50] = x[:10].bfloat16().to(dtype)  # as an encoder in bfloat16 would repeat them
    x[50] = x[11] + 0.05 * x[12]
    assert geometry.duplicates(x) == pytest.approx(20 / 60)
    assert geometry.duplicates(torch.ones(5, 3, dtype=dtype)) == 1.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: geometry.hubness(torch.eye(4), k=4), "k is 4 for 4 rows"),
        (lambda: geometry.hubness(torch.eye(4), k=0), "k is 0 for 4 rows"),
        (lambda: geometry.duplicates(torch.ones(1, 3)), "1 row given; at least 2"),
    ],
)
def test_what_cannot_be_measured_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
