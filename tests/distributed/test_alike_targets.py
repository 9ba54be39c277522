"""The paired softmax of several processes is that of one that holds every row."""

import numpy as np
import pytest
import torch

from likewise import distributed
from likewise.losses import alike_targets


def paired_loss_of_parts(official):
    torch.manual_seed(3)
    first, second = torch.randn(7, 4, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)
    parts = [slice(0, 7)] if distributed.world_size() == 1 else [slice(0, 5), slice(5, 7)]
    part = parts[distributed.rank()]
    a = first[part].clone().requires_grad_()
    b = second[part].clone().requires_grad_()
    value = alike_targets(a, b, temperature=0.7, official_targets=official).mean()
    value.backward()
    share = distributed.world_size()  # averaged over processes
    return float(value.detach()), (torch.cat([a.grad, b.grad], dim=1) / share).tolist()


@pytest.mark.parametrize("official", [False, True])
def test_several_processes_are_as_one(processes, official):
    value, gradient = paired_loss_of_parts(official)
    parts = processes.run(paired_loss_of_parts, official, num_processes=2)
    assert np.mean([one for one, _ in parts]) == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(np.concatenate([g for _, g in parts]), gradient, rtol=1e-9, atol=1e-12)
