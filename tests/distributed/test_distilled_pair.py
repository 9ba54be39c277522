"""The losses of pairs over several processes are those of one, where labels are spread unevenly or missing too."""

import pytest
import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.losses import DistilledPairLoss, PairTask

COUNTS = {1: [6], 2: [4, 2], 3: [1, 0, 5]}


def step(counts, labelled):
    torch.set_num_threads(1)
    first = sum(counts[: distributed.rank()])
    own = slice(first, first + counts[distributed.rank()])
    drawn = torch.Generator().manual_seed(0)
    features = torch.randn(6, 4, generator=drawn, dtype=torch.float64)
    teacher = torch.randn(6, 3, generator=drawn, dtype=torch.float64)
    head = torch.randn(4, 3, generator=drawn, dtype=torch.float64).requires_grad_()
    has_label = torch.arange(6) < labelled
    terms = DistilledPairLoss(PairTask.of("classes", ("a", "b", "c")), 0.3)(
        features[own] @ head, (torch.arange(6) % 3)[own], has_label=has_label[own], teacher_scores=teacher[own]
    )
    loss = sum(rows.mean_or_zero() for rows in terms.values())
    loss.backward()
    processes = distributed.world_size()  # as data parallelism averages
    return (distributed.sum_over_processes(part) / processes for part in (loss.detach(), head.grad))


def listed(counts, labelled):
    return list(step(counts, labelled))


@pytest.mark.parametrize("num_processes", [1, 2, 3])
@pytest.mark.parametrize("labelled", [0, 1, 6])
def test_processes_give_what_one_gives(processes, num_processes, labelled):
    expected = listed([6], labelled)
    for got in processes.run(listed, COUNTS[num_processes], labelled, num_processes=num_processes):
        for ours, theirs in zip(got, expected, strict=True):
            assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
