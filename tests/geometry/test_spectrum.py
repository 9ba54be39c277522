"""The effective rank against numpy's singular values and its own limits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise import geometry


def random_rows(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10_000), st.booleans())
def test_singular_values_are_those_of_numpy(rows, dim, seed, center):
    x = random_rows(rows, dim, seed)
    matrix = x.numpy() - (x.numpy().mean(axis=0) if center else 0.0)
    expected = np.linalg.svd(matrix, compute_uv=False)
    got = geometry.singular_values(x, center=center).numpy()
    assert got.shape == (min(rows, dim),)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=2e-7 * max(1.0, float(np.abs(x.numpy()).max()) * rows))


@given(st.integers(2, 30), st.integers(2, 8), st.integers(0, 10_000))
def test_effective_rank_is_the_exponential_of_the_entropy(rows, dim, seed):
    x = random_rows(rows, dim, seed)
    values = np.linalg.svd(x.numpy(), compute_uv=False).tolist()
    shares = [value / sum(values) for value in values]
    expected = math.exp(-sum(p * math.log(p) for p in shares if p > 0))
    assert geometry.effective_rank(x) == pytest.approx(expected, rel=1e-6)


def test_hand_numbers():
    # singular values 3 and 1: shares 3/4 and 1/4
    expected = math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert geometry.effective_rank(torch.tensor([[3.0, 0.0], [0.0, 1.0]])) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("rank", [1, 2, 7])
def test_equal_orthogonal_directions_count_as_many_as_they_are(rank):
    x = torch.eye(16)[:rank].repeat(5, 1)
    assert geometry.effective_rank(x) == pytest.approx(rank, rel=1e-6)


def test_dead_dimensions_and_constant_rows_show():
    x = random_rows(400, 32)
    healthy = geometry.effective_rank(x)
    assert healthy > 31
    broken = x.clone()
    broken[:, 8:] = 0
    assert 7.5 < geometry.effective_rank(broken) <= 8
    assert geometry.effective_rank(torch.ones(400, 32)) == pytest.approx(1.0, abs=1e-5)


def test_a_common_direction_counts_only_without_centring():
    x = random_rows(500, 16) + 100
    assert geometry.effective_rank(x) < 3
    assert geometry.effective_rank(x, center=True) > 15


def test_scale_order_and_rotation_do_not_matter():
    x = random_rows(60, 6)
    rotation = torch.linalg.qr(random_rows(6, 6, 1)).Q
    expected = geometry.effective_rank(x)
    assert geometry.effective_rank((x * 1e-20)[torch.randperm(60)] @ rotation) == pytest.approx(expected, rel=1e-9)
    assert geometry.effective_rank((x * 1e30).float()) == pytest.approx(expected, rel=1e-5)


def test_more_rows_than_a_chunk_give_the_same():
    x = random_rows(9000, 4)
    expected = np.linalg.svd(x.numpy(), compute_uv=False)
    np.testing.assert_allclose(geometry.singular_values(x).numpy(), expected, rtol=1e-9)


def test_no_variation_is_said():
    with pytest.raises(ValueError, match="all 3 vectors are zero"):
        geometry.effective_rank(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"all 5 vectors are equal.*same for every input"):
        geometry.effective_rank(torch.full((5, 4), 0.1), center=True)
    with pytest.raises(ValueError, match="effective_rank: row 1 holds"):
        geometry.effective_rank(torch.tensor([[1.0], [torch.inf]]))


@given(st.integers(2, 12), st.integers(1, 8), st.integers(0, 10_000))
def test_the_spectrum_is_that_of_the_principal_components(rows, dim, seed):
    x = random_rows(rows, dim, seed)
    variances = np.linalg.svd(x.numpy() - x.numpy().mean(axis=0), compute_uv=False) ** 2
    found = geometry.spectrum(x)
    np.testing.assert_allclose(found.values, np.sqrt(variances / variances[0]), rtol=1e-6, atol=2e-7)
    np.testing.assert_allclose(found.explained, np.cumsum(variances) / variances.sum(), rtol=1e-6, atol=1e-6)
    assert found.effective_rank == pytest.approx(geometry.effective_rank(x, center=True), rel=1e-9)
    assert found.dimensions_for(1.0) <= min(rows - 1, dim)


def test_dimensions_for_a_share_of_the_variance():
    x = torch.cat([torch.diag(torch.tensor([3.0, 2.0, 1.0])), -torch.diag(torch.tensor([3.0, 2.0, 1.0]))])
    found = geometry.spectrum(x)  # variances 9 : 4 : 1
    assert found.values == pytest.approx([1, 2 / 3, 1 / 3], rel=1e-6)
    assert found.explained == pytest.approx([9 / 14, 13 / 14, 1], rel=1e-6)
    assert [found.dimensions_for(share) for share in (0.5, 9 / 14, 0.65, 0.93, 1.0)] == [1, 1, 2, 3, 3]


def test_dead_directions_are_counted_whatever_the_axes_and_the_precision():
    x = random_rows(600, 32)
    assert geometry.spectrum(x).dead_dimensions == 0
    x[:, 20:] = 3.0  # twelve coordinates that never change
    rotation = torch.linalg.qr(random_rows(32, 32, 1)).Q
    for changed in (x, x @ rotation, (x @ rotation).bfloat16().float()):
        assert geometry.spectrum(changed).dead_dimensions == 12
    assert geometry.spectrum(x[:9]).dead_dimensions == 0  # nine rows have no more than eight directions
    assert geometry.spectrum(torch.ones(9, 4)).dead_dimensions == 4


def test_no_variation_is_a_spectrum_of_nothing():
    found = geometry.spectrum(torch.full((7, 3), 0.1))
    assert (found.values, found.explained, found.effective_rank) == ([0.0] * 3, [0.0] * 3, 0.0)
    assert found.dimensions_for(0.9) == 0
    with pytest.raises(ValueError, match="spectrum: 1 row given; at least 2"):
        geometry.spectrum(torch.ones(1, 3))


@given(st.integers(2, 40), st.integers(2, 8), st.integers(0, 10_000))
def test_channel_correlation_is_that_of_numpy(rows, dim, seed):
    x = random_rows(rows, dim, seed)
    rho = np.abs(np.corrcoef(x.numpy().T))
    expected = (rho.sum() - np.trace(rho)) / (dim * (dim - 1))
    assert geometry.channel_correlation(x) == pytest.approx(expected, rel=1e-7)


def test_channels_that_do_not_vary_have_no_correlation():
    x = random_rows(50, 3)
    with_constant = torch.cat([x, torch.full((50, 1), 0.3, dtype=torch.float64)], dim=1)
    assert geometry.channel_correlation(with_constant) == pytest.approx(geometry.channel_correlation(x), rel=1e-9)
    with pytest.raises(ValueError, match="1 of the 2 channels vary; two make a pair"):
        geometry.channel_correlation(with_constant[:, 2:])
