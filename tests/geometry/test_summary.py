"""The summary is made of the single figures, and its line can be read."""

import json
import subprocess
import sys

import pytest
import torch

from likewise import geometry


def rows(count: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_summary_holds_the_single_figures():
    x, y = torch.nn.functional.normalize(rows(50, 8), dim=1), rows(50, 8, 1)
    figures = geometry.summary(x * 3, y)
    assert figures["rows"] == 50
    assert figures["dim"] == 8
    assert figures["uniformity_rows"] == 50
    for name, value in {
        "effective_rank": geometry.effective_rank(x),
        "mean_cosine": geometry.mean_cosine(x),
        "uniformity": geometry.uniformity(x),
        "even_uniformity": geometry.even_uniformity(8),
        "alignment": geometry.alignment(x, y),
        "positive_cosine": geometry.positive_cosine(x, y),
    }.items():
        assert figures[name] == pytest.approx(value, rel=1e-5), name
    json.dumps(figures)


def test_without_positives_there_is_no_alignment():
    assert {"alignment", "positive_cosine"}.isdisjoint(geometry.summary(rows(5, 3)))


def test_uniformity_is_sampled_above_the_limit_and_says_so():
    figures = geometry.summary(rows(300, 4), max_rows=100)
    assert figures["uniformity_rows"] == 100
    assert figures["uniformity"] == pytest.approx(geometry.uniformity(rows(300, 4), max_rows=100), rel=1e-6)


def test_one_line_is_one_line_with_every_figure():
    line = geometry.one_line(geometry.summary(rows(2000, 16), rows(2000, 16)))
    assert "\n" not in line
    assert line.startswith("2,000 vectors in 16 dimensions: effective rank 16.0 (at most 16), mean cosine 0.00 ")
    assert "1.00 within pairs" in line
    assert "alignment 0.00" in line


MEMORY = """
import resource, sys, torch
from likewise import geometry
geometry.summary(torch.randn(100, 64))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
geometry.summary(torch.randn(20_000, 64), max_rows=None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the peak of a process this way")
def test_all_pairs_of_many_rows_do_not_need_memory_for_the_pairs():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 20_000 * 20_000 * 4 / 8  # an eighth of the matrix of pairs in float32
