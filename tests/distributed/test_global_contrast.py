"""Global negatives of several processes are those of one: loss, gradient, and what every process remembers."""

import pytest
import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.losses import global_contrast, paired_global_contrast
from likewise.memory import GlobalContrastState, RobustTemperature

COUNTS = {1: [5], 2: [2, 3], 3: [3, 0, 2]}
STEPS = 3


def course(counts, paired):
    """Losses, gradients of all rows and the state after some steps."""
    torch.set_num_threads(1)
    number, mine = (
        distributed.world_size(),
        slice(first := sum(counts[: distributed.rank()]), first + counts[distributed.rank()]),
    )
    robust = RobustTemperature(rho=0.3, rate=0.1, lowest=0.01)
    states = [GlobalContrastState(9, temperature=0.2, robust=robust) for _ in range(2 if paired else 1)]
    losses, gradients = [], []
    for step in range(STEPS):
        random = torch.Generator().manual_seed(step)
        sides = torch.randn(2, 5, 3, generator=random, dtype=torch.float64)
        one, other = torch.nn.functional.normalize(sides, dim=-1)
        one, other = one[mine].clone().requires_grad_(), other[mine].clone().requires_grad_()
        rows = torch.randperm(9, generator=random)[:5][mine]
        read = [state.read(rows) for state in states]
        if paired:
            temperature, log_average = zip(*read, strict=True)
            found = paired_global_contrast(
                one, other, rows, temperature=temperature, log_average=log_average, gamma=0.8
            )
        else:
            found = (global_contrast(one, other, rows, temperature=read[0][0], log_average=read[0][1], gamma=0.8),)
        loss = sum(terms.rows.mean() for terms in found)
        loss.backward()
        for state, terms in zip(states, found, strict=True):
            state.update(rows, terms.log_average, terms.divergence)
        losses.append(distributed.sum_over_processes(loss.detach()) / number)
        gradients.append(distributed.gather_rows(torch.cat([one.grad, other.grad], dim=1) / number))
    return losses, gradients, [state.state_dict() for state in states]


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("num_processes", [2, 3])
def test_several_processes_lose_learn_and_remember_what_one_does(processes, num_processes, paired):
    losses, gradients, states = course(COUNTS[1], paired)
    everywhere = processes.run(course, COUNTS[num_processes], paired, num_processes=num_processes)
    for found_losses, found_gradients, found_states in everywhere:
        assert_close(found_losses, losses, rtol=1e-9, atol=1e-12)
        assert_close(found_gradients, gradients, rtol=1e-9, atol=1e-12)
        for found, one, expected in zip(found_states, everywhere[0][2], states, strict=True):
            assert all(torch.equal(found[name], one[name]) for name in expected)
            assert_close(found, expected, rtol=1e-6, atol=1e-7)  # stored in float32
