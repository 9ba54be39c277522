"""MoCHi of several processes is that of one: losses, gradients, the queue and what is mixed of it."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from likewise import distributed
from likewise.memory import MomentumTower
from likewise.methods.vision import mochi
from likewise.views import Batch
from methods.table_tower import Reads, table

COUNTS = {1: [[6], [5], [6]], 2: [[4, 2], [0, 5], [3, 3]]}


def trained(course):
    torch.set_num_threads(1)
    torch.manual_seed(3)
    config = mochi.Config(queue_size=9, head_size=4, hardest=5, pairs=3, with_query=2, plain_epochs=0.0, momentum=0.8)
    method = mochi.MoCHi(config, Reads(table(6))).double()
    method.head = nn.Identity()
    method.momentum_tower = MomentumTower(method._online(), 0.8, average_buffers=True)
    processes, seen = distributed.world_size(), []
    for counts in course:
        first = sum(counts[: distributed.rank()])
        numbers = torch.arange(first, first + counts[distributed.rank()])
        method.zero_grad()
        loss = method(Batch({"query": numbers, "key": numbers + 100}, numbers)).loss
        loss.backward()
        gradient = distributed.sum_over_processes(method.encoder.table.grad) / processes
        with torch.no_grad():
            method.encoder.table -= 0.3 * gradient
        method.after_step()
        seen += [distributed.sum_over_processes(loss.detach()) / processes, gradient]
    return seen, method.state_dict()


@pytest.mark.parametrize("num_processes", [1, 2])
def test_processes_train_what_one_trains(processes, num_processes):
    expected, final = trained(COUNTS[1])
    results = processes.run(trained, COUNTS[num_processes], num_processes=num_processes)
    for seen, state in results:
        for ours, theirs in zip(seen, expected, strict=True):
            assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        for name, value in final.items():
            assert_close(state[name], value, rtol=1e-9, atol=1e-12)
        assert torch.equal(state["queue.stored"], results[0][1]["queue.stored"])  # to the bit, on all of them
