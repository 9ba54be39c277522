"""Memory, loss and steps of several processes are those of one: values, gradients, clusters and prototypes."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from likewise import distributed
from likewise.memory import MomentumTower
from likewise.methods.vision.beclr import BECLR, Config
from likewise.views import Batch
from methods.table_tower import Reads, table

COUNTS = {1: [[6], [5], [6], [6]], 2: [[4, 2], [0, 5], [3, 3], [6, 0]], 3: [[1, 2, 3], [4, 1, 0], [2, 2, 2], [0, 0, 6]]}


def trained(course, positives, negatives):
    torch.set_num_threads(1)
    torch.manual_seed(3)
    config = Config(
        positives=positives, negatives=negatives, head_size=4, prototypes=3, memory_scale=5, memory_start=0.0,
        neighbours=2, momentum=0.8, momentum_epochs=9.0, cluster_every=2.0, mask_ratio=0.0, mask_spread=0.0,
    )  # fmt: skip
    method = BECLR(config, Reads(table(6)))
    method.head, method.predictor = nn.Identity(), nn.Linear(4, 4)
    method.teacher = MomentumTower(method._student(), 0.8, always_eval=False)
    method._table_rows = 8
    method.double()
    processes, seen = distributed.world_size(), []
    for step, counts in enumerate(course):
        rows = torch.randperm(6, generator=torch.Generator().manual_seed(step))
        first = sum(counts[: distributed.rank()])
        numbers = rows[first : first + counts[distributed.rank()]]
        method.zero_grad()
        loss = method(Batch({"first": numbers, "second": numbers + 100}, numbers)).loss
        loss.backward()
        weights = [method.encoder.table, method.predictor.weight, method.predictor.bias]
        gradients = [distributed.sum_over_processes(weight.grad) / processes for weight in weights]
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= 0.3 * gradient
        method.after_step()
        seen += [distributed.sum_over_processes(loss.detach()) / processes, *gradients]
    return seen, method.state_dict()


@pytest.mark.parametrize(
    ("num_processes", "positives", "negatives"),
    [(2, "anchored", "student"), (3, "anchored", "mixed"), (3, "code", "student")],
)
def test_processes_train_what_one_trains(processes, num_processes, positives, negatives):
    expected, final = trained(COUNTS[1], positives, negatives)
    assert final["memories.teacher.clusterings"] == 2  # when it was full, and after two epochs
    results = processes.run(trained, COUNTS[num_processes], positives, negatives, num_processes=num_processes)
    for seen, state in results:
        for ours, theirs in zip(seen, expected, strict=True):
            assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        for name, value in final.items():
            assert_close(state[name], value, rtol=1e-9, atol=1e-12)
        for name in (name for name in final if name.startswith("memories.")):
            assert torch.equal(state[name], results[0][1][name]), name  # to the bit, on all of them
