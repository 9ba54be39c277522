"""The loss over a table in several processes is that of one: the table is the same everywhere, rows are spread."""

import pytest
import torch

from likewise import distributed
from likewise.losses import table_cross_entropy


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


COUNTS = {1: [5], 2: [3, 2], 3: [4, 0, 1]}


def mean_and_gradient(counts):
    torch.set_num_threads(1)
    query, table, target = drawn(5, 3), drawn(9, 3, seed=1), torch.tensor([8, 0, 3, 3, 1])
    first = sum(counts[: distributed.rank()])
    own = slice(first, first + counts[distributed.rank()])
    scale = torch.ones(1, dtype=torch.float64, requires_grad=True)  # stands for weights that all processes share
    loss = table_cross_entropy(scale * query[own], table, target[own]).mean()
    loss.backward()
    number = distributed.world_size()
    return tuple((distributed.sum_over_processes(one) / number).item() for one in (loss.detach(), scale.grad.squeeze()))


@pytest.mark.parametrize("num_processes", [2, 3])
def test_several_processes_have_the_mean_and_the_gradient_of_one(processes, num_processes):
    expected = mean_and_gradient(COUNTS[1])
    for found in processes.run(mean_and_gradient, COUNTS[num_processes], num_processes=num_processes):
        assert found == pytest.approx(expected, rel=1e-12)
