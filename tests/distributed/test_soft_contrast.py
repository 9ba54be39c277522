"""Soft contrast over several processes is that over one: losses and gradients."""

import pytest
import torch

from likewise import distributed
from likewise.losses import soft_contrast

COUNTS = {1: [9], 2: [6, 3], 3: [4, 0, 5]}
DIM = 5


def _unit(*shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


def _step(counts: list[int]) -> dict[str, torch.Tensor]:
    """One step of a shared encoder, as data parallelism does it: averaged loss, averaged gradient."""
    first = sum(counts[: distributed.rank()])
    own = slice(first, first + counts[distributed.rank()])
    weight = _unit(DIM, DIM, seed=0).requires_grad_()
    query = torch.nn.functional.normalize(_unit(9, DIM, seed=1)[own] @ weight, dim=-1)
    key = torch.nn.functional.normalize(_unit(9, DIM, seed=2)[own] @ weight.T, dim=-1)
    labels = _unit(4, 3, seed=3)[torch.tensor([0, 1, 0, 2, 1, 0, 3, 2, 3])][own]
    rows = soft_contrast(query, key, labels, temperature=0.2, label_temperature=0.35)
    total = rows.mean()
    total.backward()
    size = distributed.world_size()
    return {
        "loss": distributed.sum_over_processes(total.detach()) / size,
        "values": distributed.gather_rows(rows.values, with_grad=False),
        "weight": distributed.sum_over_processes(weight.grad) / size,
    }


@pytest.mark.parametrize("num_processes", [2, 3])
def test_loss_and_gradient_do_not_depend_on_the_number_of_processes(processes, num_processes):
    expected = _step(COUNTS[1])
    for found in processes.run(_step, COUNTS[num_processes], num_processes=num_processes):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12)
