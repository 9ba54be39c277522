"""Batch norm of several processes is that of one: outputs, gradients and running statistics."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from likewise import distributed
from likewise.encoders import BatchNorm

SIZES = {"vectors": (7, 3), "pictures": (7, 3, 4, 5)}
COUNTS = [4, 1, 2]


def layer(momentum) -> BatchNorm:
    torch.manual_seed(0)
    made = BatchNorm(3, momentum=momentum).double()
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


def rows(size) -> torch.Tensor:
    return 2 + 3 * torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def passed(size, momentum, mine=slice(None)) -> list[torch.Tensor]:
    """Output, gradients and statistics of a loss in which all values weigh differently."""
    made, whole = layer(momentum), rows(size)
    weigh = torch.linspace(-1, 2, whole.numel(), dtype=torch.float64).view_as(whole)
    x = whole[mine].clone().requires_grad_()
    y = made(x)
    loss = (y * weigh[mine]).square().sum() * distributed.world_size()
    loss.backward()
    return [y.detach(), x.grad, made.weight.grad, made.bias.grad, made.running_mean, made.running_var]


def shared(size, momentum):
    first = sum(COUNTS[: distributed.rank()])
    found = passed(size, momentum, slice(first, first + COUNTS[distributed.rank()]))
    number = distributed.world_size()  # gradients are averaged, as data parallelism does
    return [found[0], found[1] / number, *(distributed.sum_over_processes(g) / number for g in found[2:4]), *found[4:]]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_three_uneven_processes_normalise_and_learn_as_one(processes, size, momentum):
    expected = passed(size, momentum)
    parts = processes.run(shared, size, momentum, num_processes=3)
    for place in (0, 1):
        assert_close(torch.cat([part[place] for part in parts]), expected[place], rtol=1e-9, atol=1e-12)
    for part in parts:
        for found, one in zip(part[2:], expected[2:], strict=True):
            assert_close(found, one, rtol=1e-9, atol=1e-12)
