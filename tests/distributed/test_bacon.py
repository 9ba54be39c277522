"""The losses of BaCon in several processes are those of one that holds every row."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from likewise import distributed
from likewise.losses import prior_matching, soft_positives

COUNTS = {1: [7], 2: [5, 2], 3: [1, 0, 6]}


def of_parts():
    random = torch.Generator().manual_seed(3)
    views = F.normalize(torch.randn(2, 7, 3, dtype=torch.float64, generator=random), dim=-1)
    logits = torch.randn(7, 4, dtype=torch.float64, generator=random)
    counts = COUNTS[distributed.world_size()]
    own = slice(start := sum(counts[: distributed.rank()]), start + counts[distributed.rank()])
    part, mine = views[:, own].clone().requires_grad_(), logits[own].clone().requires_grad_()
    loss = soft_positives(*part, mine.detach().softmax(dim=1), temperature=0.3).mean()
    loss = loss + prior_matching(mine, torch.tensor([4.0, 1.0, 2.0, 3.0]), temperature=0.5, power=1.1)
    loss.backward()
    gradients = [x.grad / distributed.world_size() for x in (part, mine)]
    return float(loss.detach()), gradients[0].tolist(), gradients[1].tolist()


@pytest.mark.parametrize("num_processes", [2, 3])
def test_several_processes_are_as_one(processes, num_processes):
    value, views, logits = of_parts()
    parts = processes.run(of_parts, num_processes=num_processes)
    assert np.mean([one for one, _, _ in parts]) == pytest.approx(value, rel=1e-9)
    together = np.concatenate([np.array(part).reshape(2, -1, 3) for _, part, _ in parts], axis=1)
    np.testing.assert_allclose(together, views, rtol=1e-9, atol=1e-12)
    together = np.concatenate([np.array(part).reshape(-1, 4) for _, _, part in parts])
    np.testing.assert_allclose(together, logits, rtol=1e-9, atol=1e-12)
