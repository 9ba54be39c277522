"""Whitening over several processes: the rows, the draws and every gradient are those of one."""

import pytest
import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.heads import ShuffledGroupWhitening
from likewise.methods.text.whitenedcse import Config, WhitenedCSE
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

COUNTS = {1: [9], 2: [6, 3], 3: [4, 0, 5]}
ROWS, DIM = 9, 6


def table():
    return torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def own_rows(counts):
    first = sum(counts[: distributed.rank()])
    return range(first, first + counts[distributed.rank()])


def trained(counts, detach, engine):
    """Two steps as data parallelism takes them: losses, averaged gradients, and the state at the end."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    settings = Config(groups=3, detach_whitening=detach, whitening=engine, head=False, temperature=0.3)
    method, mine = WhitenedCSE(settings, TableEncoder(table().tolist())).double(), own_rows(counts)
    batch, processes, seen = Batch({"text": texts(*mine)}, torch.tensor(mine)), distributed.world_size(), []
    for _ in range(2):
        method.zero_grad()
        loss = method(batch).loss
        loss.backward()
        gradient = distributed.sum_over_processes(method.encoder.table.grad) / processes
        with torch.no_grad():
            method.encoder.table -= 0.3 * gradient
        seen += [distributed.sum_over_processes(loss.detach()) / processes, gradient]
    return seen, method.state_dict()


@pytest.mark.parametrize("num_processes", [1, 2, 3])
@pytest.mark.parametrize(("detach", "engine"), [(True, "zca"), (False, "zca"), (False, "cholesky")])
def test_processes_train_what_one_trains(processes, num_processes, detach, engine):
    expected, final = trained(COUNTS[1], detach, engine)
    for seen, state in processes.run(trained, COUNTS[num_processes], detach, engine, num_processes=num_processes):
        for ours, theirs in zip(seen, expected, strict=True):
            assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        for name, value in final.items():
            assert_close(state[name], value, rtol=1e-9, atol=1e-12)


def whitened(counts, statistics):
    torch.set_num_threads(1)
    found = ShuffledGroupWhitening(DIM, 3, statistics=statistics, eps=0.01, seed=5)
    return found(table()[torch.tensor(own_rows(counts), dtype=torch.int64)])


@pytest.mark.parametrize("num_processes", [2, 3])
def test_a_process_may_whiten_by_itself_under_the_permutation_of_all(processes, num_processes):
    counts = COUNTS[num_processes]
    together = torch.cat(processes.run(whitened, counts, "all", num_processes=num_processes))
    apart = processes.run(whitened, counts, "process", num_processes=num_processes)
    found = ShuffledGroupWhitening(DIM, 3, eps=0.01, seed=5)
    place = found.draw()
    assert_close(together, found.whiten(table(), place), rtol=1e-9, atol=1e-12)
    for rows, white in zip(table().split(counts), apart, strict=True):
        assert_close(white, found.whiten(rows, place) if len(rows) else rows, rtol=1e-9, atol=1e-12)
    assert (together - torch.cat(apart)).abs().max() > 0.1
