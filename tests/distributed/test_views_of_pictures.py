"""SimCLR and SupCon of several processes are those of one: the loss and its gradient."""

import pytest
import torch

from likewise import distributed
from likewise.methods.vision import simclr, supcon
from methods.table_tower import batch_of, table, without_head

SIZES = [3, 2]


def shared(labels):
    first = sum(SIZES[: distributed.rank()])
    size = SIZES[distributed.rank()]
    method = without_head(simclr if labels is None else supcon, table(5))
    loss = method(batch_of(size, None if labels is None else labels[first : first + size], first)).loss
    loss.backward()
    number = distributed.world_size()
    gradient = distributed.sum_over_processes(method.encoder.table.grad) / number
    return distributed.sum_over_processes(loss.detach()) / number, gradient


@pytest.mark.parametrize("labels", [None, [0, 1, 0, 1, 2]])
def test_two_processes_find_the_loss_and_the_gradient_of_one(processes, labels):
    method = without_head(simclr if labels is None else supcon, table(5))
    loss = method(batch_of(5, labels)).loss
    loss.backward()
    for found, gradient in processes.run(shared, labels, num_processes=2):
        torch.testing.assert_close(found, loss.detach(), rtol=1e-9, atol=0)
        torch.testing.assert_close(gradient, method.encoder.table.grad, rtol=1e-9, atol=1e-12)
