"""The spectral loss of several processes is that of one that holds every row."""

import numpy as np
import pytest
import torch

from likewise import distributed
from likewise.losses import spectral

COUNTS = {1: [7], 2: [5, 2], 3: [1, 0, 6]}


def of_parts():
    both = torch.randn(2, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    counts = COUNTS[distributed.world_size()]
    start = sum(counts[: distributed.rank()])
    own = both[:, start : start + counts[distributed.rank()]].clone().requires_grad_()
    value = spectral(*own).mean()
    value.backward()
    return float(value.detach()), (own.grad / distributed.world_size()).tolist()


@pytest.mark.parametrize("num_processes", [2, 3])
def test_several_processes_are_as_one(processes, num_processes):
    value, gradient = of_parts()
    parts = processes.run(of_parts, num_processes=num_processes)
    assert np.mean([one for one, _ in parts]) == pytest.approx(value, rel=1e-9)
    together = np.concatenate([np.array(part).reshape(2, -1, 4) for _, part in parts], axis=1)
    np.testing.assert_allclose(together, gradient, rtol=1e-9, atol=1e-12)
