"""MultiCSR over several processes is MultiCSR over one: loss, gradient and the share of masked pairs."""

import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.methods.text.multicsr import FROZEN, Config, MultiCSR
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

SIZE = 7


def unit(*shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


def _batch(rows: list[int]) -> Batch:
    inputs = {name: texts(*(k * SIZE + i for i in rows)) for k, name in enumerate(("text", "positive", "negative"))}
    frozen = {name: unit(SIZE, 3, seed=k + 1).float()[rows] for k, name in enumerate(FROZEN)}
    return Batch({**inputs, **frozen}, torch.tensor(rows))


def _step(counts: list[int]) -> dict[str, torch.Tensor]:
    first = sum(counts[: distributed.rank()])
    own = slice(first, first + counts[distributed.rank()])
    found = {}
    for objective in ("masked", "official"):
        config = Config(head=False, phi=0.2, objective=objective)
        method = MultiCSR(config, TableEncoder(unit(3 * SIZE, 4, seed=0).tolist())).double()
        output = method(_batch(list(range(SIZE))[own]))
        output.loss.backward()
        size = distributed.world_size()
        found |= {
            f"{objective} loss": distributed.sum_over_processes(output.loss.detach()) / size,
            f"{objective} grad": distributed.sum_over_processes(method.encoder.table.grad) / size,
            f"{objective} share": output.metrics["masked"],
        }
    return found


def test_loss_gradient_and_share_do_not_depend_on_the_number_of_processes(processes):
    expected = _step([SIZE])
    for found in processes.run(_step, [4, 3], num_processes=2):
        for name, value in expected.items():
            assert_close(found[name], value, rtol=1e-9, atol=1e-12)
