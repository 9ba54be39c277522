"""Attraction and repulsion over several processes are those over one: losses, gradients, queue."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from likewise import distributed
from likewise.memory import MomentumTower
from likewise.methods.vision.cacr import CACR, Config
from likewise.views import Batch
from methods.table_tower import Reads

COUNTS = {1: [[6], [5]], 2: [[4, 2], [0, 5]], 3: [[1, 2, 3], [4, 1, 0]]}
FORMS = [
    {},
    {"cost": "rbf"},
    {"form": "queue", "queue_size": 9, "momentum": 0.8},
    {"form": "predictor", "momentum": 0.8},
    {"form": "predictor", "cost": "euclidean", "momentum": 0.8},
]


def trained(course):
    torch.set_num_threads(1)
    seen, states = [], []
    for settings in FORMS:
        torch.manual_seed(3)
        values = torch.randn(206, 4, dtype=torch.float64)
        config = Config(**{"positives": 2, "head_size": 4, **settings})
        method = CACR(config, Reads(values))
        method.head = nn.Identity()
        if method.predictor is not None:
            method.predictor = nn.Identity()
        if method.momentum_tower is not None:
            method.momentum_tower = MomentumTower(method._online(), 0.8, average_buffers=True)
        method.double()
        processes = distributed.world_size()
        for counts in course:
            first = sum(counts[: distributed.rank()])
            numbers = torch.arange(first, first + counts[distributed.rank()])
            inputs = {name: numbers + 100 * place for place, name in enumerate(method.names)}
            method.zero_grad()
            loss = method(Batch(inputs, numbers)).loss
            loss.backward()
            gradient = distributed.sum_over_processes(method.encoder.table.grad) / processes
            with torch.no_grad():
                method.encoder.table -= 0.3 * gradient
            method.after_step()
            seen += [distributed.sum_over_processes(loss.detach()) / processes, gradient]
        states.append(method.state_dict())
    return seen, states


@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_train_what_one_trains(processes, num_processes):
    expected, final = trained(COUNTS[1])
    results = processes.run(trained, COUNTS[num_processes], num_processes=num_processes)
    for seen, states in results:
        for ours, theirs in zip(seen, expected, strict=True):
            assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        for state, whole in zip(states, final, strict=True):
            for name, value in whole.items():
                assert_close(state[name], value, rtol=1e-9, atol=1e-12)
        assert torch.equal(states[2]["queue.stored"], results[0][1][2]["queue.stored"])
