"""Banks and batch norms of several processes are those of one."""

import pytest
import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.methods.text.ccp import CCP, Config
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

ROWS = 6


def trained(counts):
    """Three steps as data parallelism takes them: losses, averaged gradients, and the state at the end."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = torch.randn(2 * ROWS, 4, dtype=torch.float64).tolist()
    method = CCP(Config(bank_size=10, temperature=0.3), TableEncoder(table)).double()
    first = sum(counts[: distributed.rank()])
    mine = list(range(first, first + counts[distributed.rank()]))
    inputs = {"centre": texts(*mine), "context": texts(*(ROWS + row for row in mine)),
              "centre_id": torch.tensor(mine), "context_id": ROWS + torch.tensor(mine) % 4}  # fmt: skip
    seen = []
    for group in ("de", "de", "en"):
        method.zero_grad()
        loss = method(Batch(inputs, torch.tensor(mine), group)).loss
        loss.backward()
        seen.append(distributed.sum_over_processes(loss.detach()) / distributed.world_size())
        with torch.no_grad():
            for parameter in method.parameters():
                seen.append(distributed.sum_over_processes(parameter.grad) / distributed.world_size())
                parameter -= 0.1 * seen[-1]
        method.after_step()
    return seen, method.state_dict()


@pytest.mark.parametrize("counts", [[3, 3], [1, 3, 2]])
def test_processes_train_what_one_trains(processes, counts):
    expected, final = trained([ROWS])
    for seen, state in processes.run(trained, counts, num_processes=len(counts)):
        assert_close(seen, expected, rtol=1e-9, atol=1e-12)
        assert state.keys() == final.keys()
        for name, value in final.items():
            assert_close(state[name], value, rtol=1e-9, atol=1e-12)
