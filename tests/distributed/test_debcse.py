"""DebCSE over several processes is DebCSE over one, also where a process has no row or no negative."""

import pytest
import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.methods.text.debcse import Config, DebCSE
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

ROWS, WITH_NEGATIVE = 6, [0, 1, 4]
COUNTS = {1: [6], 2: [4, 2], 3: [2, 2, 2]}


def step(counts, weighting):
    """One step as data parallelism takes it: averaged loss and averaged gradient."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(3 * ROWS, 3, generator=generator, dtype=torch.float64)
    vectors = torch.nn.functional.normalize(torch.randn(3 * ROWS, 2, generator=generator), dim=1)
    weight = torch.linspace(0.5, 1.5, 2 * ROWS, dtype=torch.float64)
    settings = Config(head=False, temperature=0.3, weighting=weighting)
    method = DebCSE(settings, TableEncoder(table.tolist())).double()
    first = sum(counts[: distributed.rank()])
    mine = list(range(first, first + counts[distributed.rank()]))
    negatives = [row for row in mine if row in WITH_NEGATIVE]
    inputs = {
        "text": texts(*mine),
        "positive": texts(*(ROWS + row for row in mine)),
        "text_vector": vectors[mine],
        "positive_vector": vectors[[ROWS + row for row in mine]],
        "positive_weight": weight[mine],
        "positive_surface": torch.ones(len(mine)),
        "threshold": 0.6,
    }
    if negatives:
        inputs |= {
            "negative": texts(*(2 * ROWS + row for row in negatives)),
            "negative_vector": vectors[[2 * ROWS + row for row in negatives]],
            "negative_weight": weight[[ROWS + row for row in negatives]],
        }
    loss = method(Batch(inputs, torch.tensor(mine))).loss
    loss.backward()
    processes = distributed.world_size()
    gradient = distributed.sum_over_processes(method.encoder.table.grad) / processes
    return distributed.sum_over_processes(loss.detach()) / processes, gradient


@pytest.mark.parametrize("weighting", ["sampling", "loss"])
@pytest.mark.parametrize("num_processes", [2, 3])
def test_loss_and_gradient_are_those_of_one_process(processes, num_processes, weighting):
    loss, gradient = step(COUNTS[1], weighting)
    for other_loss, other_gradient in processes.run(
        step, COUNTS[num_processes], weighting, num_processes=num_processes
    ):
        assert_close(other_loss, loss, rtol=1e-9, atol=1e-12)
        assert_close(other_gradient, gradient, rtol=1e-9, atol=1e-12)
