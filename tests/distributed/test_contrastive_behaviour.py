"""A bank of several processes is that of one: losses, gradients and vectors."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from likewise import distributed
from likewise.memory import FeatureBank
from likewise.methods.vision.contrastive_behaviour import Config, ContrastiveBehaviour
from likewise.views import Batch
from methods.table_tower import Reads, table

COUNTS = {1: [[6], [5], [6]], 2: [[4, 2], [0, 5], [3, 3]], 3: [[1, 2, 3], [4, 1, 0], [2, 2, 2]]}


def trained(course, loss):
    torch.set_num_threads(1)
    torch.manual_seed(3)
    config = Config(head_size=4, keep_top_k=4, positive="view", loss=loss)
    method = ContrastiveBehaviour(config, Reads(table(8)))
    method.bank = method._bank_of(8)
    method.head = nn.Identity()
    method.double()
    processes, seen = distributed.world_size(), []
    for step, counts in enumerate(course):
        rows = torch.randperm(8, generator=torch.Generator().manual_seed(step))
        first = sum(counts[: distributed.rank()])
        numbers = rows[first : first + counts[distributed.rank()]]
        method.zero_grad()
        loss = method(Batch({"first": numbers, "second": numbers + 100}, numbers)).loss
        loss.backward()
        gradient = distributed.sum_over_processes(method.encoder.table.grad) / processes
        with torch.no_grad():
            method.encoder.table -= 0.3 * gradient
        method.after_step()
        seen += [distributed.sum_over_processes(loss.detach()) / processes, gradient]
    return seen, method.state_dict()


@pytest.mark.parametrize(("num_processes", "loss"), [(2, "contrastive"), (3, "simple")])
def test_processes_train_what_one_trains(processes, num_processes, loss):
    expected, final = trained(COUNTS[1], loss)
    results = processes.run(trained, COUNTS[num_processes], loss, num_processes=num_processes)
    for seen, state in results:
        for ours, theirs in zip(seen, expected, strict=True):
            assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        for name, value in final.items():
            assert_close(state[name], value, rtol=1e-9, atol=1e-12)
        assert torch.equal(state["bank.vectors"], results[0][1]["bank.vectors"])  # to the bit, on all of them


def updated(parts, vectors):
    bank = FeatureBank(5, 4, seed=1)
    rows = torch.tensor(parts[distributed.rank()], dtype=torch.int64)
    bank.update(rows, vectors[distributed.rank()][: len(rows)])
    return bank.vectors


def test_a_row_that_several_processes_bring_is_moved_by_each_in_their_order(processes):
    vectors = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    parts = [[2, 0], [], [2]]
    expected = FeatureBank(5, 4, seed=1)
    for rows, new in zip(parts, vectors, strict=True):
        expected.update(torch.tensor(rows, dtype=torch.int64), new[: len(rows)])
    for found in processes.run(updated, parts, vectors, num_processes=3):
        assert torch.equal(found, expected.vectors)


def repeated():
    FeatureBank(5, 4).update(torch.tensor([1, 1] if distributed.rank() else [0, 2]), torch.ones(2, 4))


def test_a_row_that_one_process_brings_twice_is_refused_by_all(processes):
    with pytest.raises(AssertionError, match="1 rows are in the batch twice"):
        processes.run(repeated, num_processes=2)
