"""Kernel objectives of several processes are those of one that holds every row."""

import numpy as np
import pytest
import torch

from likewise import distributed
from likewise.losses import attribute_alignment, gaussian_alignment, gaussian_uniformity, joint_entropy

COUNTS = {1: [7], 2: [5, 2], 3: [1, 0, 6]}
COUNTED = torch.tensor([True, True, False, True, False, True, True])


def of_parts():
    random = torch.Generator().manual_seed(3)
    codes = torch.randn(2, 7, 3, dtype=torch.float64, generator=random)
    values = torch.randn(7, 3, dtype=torch.float64, generator=random)
    counts = COUNTS[distributed.world_size()]
    own = slice(start := sum(counts[: distributed.rank()]), start + counts[distributed.rank()])
    part = codes[:, own].clone().requires_grad_()
    counted = COUNTED[own]
    loss = gaussian_uniformity(part[0], temperature=0.5) + joint_entropy(*part, temperature=0.5).mean()
    loss = loss + gaussian_alignment(*part, temperature=0.5, counted=counted).mean()
    loss = loss + attribute_alignment(part[1], values[own], width=0.4, counted=counted).mean()
    loss.backward()
    return float(loss.detach()), (part.grad / distributed.world_size()).tolist()


@pytest.mark.parametrize("num_processes", [2, 3])
def test_several_processes_are_as_one(processes, num_processes):
    value, gradient = of_parts()
    parts = processes.run(of_parts, num_processes=num_processes)
    assert np.mean([one for one, _ in parts]) == pytest.approx(value, rel=1e-9)
    together = np.concatenate([np.array(part).reshape(2, -1, 3) for _, part in parts], axis=1)
    np.testing.assert_allclose(together, gradient, rtol=1e-9, atol=1e-12)
