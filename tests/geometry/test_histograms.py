"""Histograms of cosines against numpy over all pairs."""

import json

import numpy as np
import pytest
import torch

from likewise import geometry


def random_rows(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("bins", [1, 7, 40])
def test_every_cosine_is_counted_where_numpy_counts_it(bins):
    x, y = random_rows(70, 5), random_rows(70, 5, 1)
    cosines = (torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(y, dim=1).T).numpy()
    others = ~np.eye(70, dtype=bool)
    found = geometry.similarity_histograms(x, y, bins=bins)
    edges = np.linspace(-1, 1, bins + 1)
    expected = {
        "positives": np.diag(cosines),
        "negatives": cosines[others],
        "hardest_negatives": np.where(others, cosines, -2).max(axis=1),
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].counts == np.histogram(values, edges)[0].tolist()
        assert found[name].edges == pytest.approx(edges.tolist())
    json.dumps({name: histogram.as_dict() for name, histogram in found.items()})


def test_without_positives_all_other_rows_are_negatives():
    x = random_rows(30, 4)
    found = geometry.similarity_histograms(x)
    assert list(found) == ["negatives", "hardest_negatives"]
    assert sum(found["negatives"].counts) == 30 * 29
    assert sum(found["hardest_negatives"].counts) == 30


def test_a_cosine_of_one_is_in_the_last_bin_whatever_its_rounding():
    x = torch.randn(50, 384, generator=torch.Generator().manual_seed(0))
    found = geometry.similarity_histograms(torch.cat([x, -x]), torch.cat([3 * x, -x]))
    assert found["positives"].counts[-1] == 100
    assert sum(found["negatives"].counts) == 100 * 99
    assert found["negatives"].counts[0] == 100  # the opposites


def test_bad_input():
    with pytest.raises(ValueError, match="bins is 0"):
        geometry.similarity_histograms(torch.eye(3), bins=0)
    with pytest.raises(ValueError, match=r"x is \[3, 3\] but y is \[2, 3\]"):
        geometry.similarity_histograms(torch.eye(3), torch.eye(3)[:2])
