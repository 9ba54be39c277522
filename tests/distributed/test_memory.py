"""Queue and momentum tower of several processes are those of one: every push, every key, every gradient."""

import pytest
import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.memory import KeyQueue
from likewise.methods.text.esimcse import Config, ESimCSE
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

COUNTS = {1: [[6], [5], [7], [6]], 2: [[4, 2], [0, 5], [4, 3], [3, 3]], 3: [[2, 0, 4], [1, 2, 2], [7, 0, 0], [2, 2, 2]]}
ROWS, DIM, CAPACITY = 7, 3, 16


def own_rows(counts):
    first = sum(counts[: distributed.rank()])
    return range(first, first + counts[distributed.rank()])


def pushed(course):
    torch.set_num_threads(1)
    queue, number = KeyQueue(CAPACITY, 2, {"label": torch.int64}), 0
    for counts in course:
        mine = torch.tensor([number + row for row in own_rows(counts)], dtype=torch.int64)
        queue.push(mine[:, None] + torch.tensor([0.5, 0.25]), label=mine)
        number += sum(counts)
    return queue.state_dict()


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_every_process_holds_the_queue_of_one(processes, num_processes):
    expected = pushed(COUNTS[1])
    for state in processes.run(pushed, COUNTS[num_processes], num_processes=num_processes):
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], value) for name, value in expected.items())


def trained(course):
    """Steps of a method as data parallelism takes them: losses, averaged gradients, and the state at the end."""
    torch.set_num_threads(1)
    table = torch.randn(2 * ROWS, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settings = Config(head=False, repetition_rate=0.0, queue_size=CAPACITY, momentum=0.8, temperature=0.3)
    method = ESimCSE(settings, TableEncoder(table.tolist())).double()
    processes, seen = distributed.world_size(), []
    for counts in course:
        mine = own_rows(counts)
        batch = Batch({"text": texts(*mine), "repeated": texts(*(ROWS + row for row in mine))}, torch.tensor(mine))
        method.zero_grad()
        loss = method(batch).loss
        loss.backward()
        gradient = distributed.sum_over_processes(method.encoder.table.grad) / processes
        with torch.no_grad():
            method.encoder.table -= 0.3 * gradient
        method.after_step()
        seen += [distributed.sum_over_processes(loss.detach()) / processes, gradient]
    return seen, method.state_dict()


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_processes_train_what_one_trains(processes, num_processes):
    expected, final = trained(COUNTS[1])
    assert int(final["queue.filled"]) == CAPACITY
    results = processes.run(trained, COUNTS[num_processes], num_processes=num_processes)
    for seen, state in results:
        for ours, theirs in zip(seen, expected, strict=True):
            assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        for name, value in final.items():
            assert_close(state[name], value, rtol=1e-9, atol=1e-12)
        assert torch.equal(state["queue.stored"], results[0][1]["queue.stored"])  # to the bit, on all of them
