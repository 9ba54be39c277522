"""The binary cross-entropy of a softmax over several processes is that over one: loss and gradient."""

import pytest
import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.losses import SimilarityMask, bce_softmax


def unit(*shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


COUNTS = {1: [7], 2: [4, 3], 3: [3, 0, 4]}


def _step(counts: list[int]) -> dict[str, torch.Tensor]:
    """One step of a shared map, as data parallelism does it."""
    own = slice(sum(counts[: distributed.rank()]), sum(counts[: distributed.rank() + 1]))
    weight = unit(4, 4, seed=0).requires_grad_()
    query, key, negatives = (torch.nn.functional.normalize(unit(7, 4, seed=s)[own] @ weight, dim=-1) for s in (1, 2, 3))
    judge = unit(21, 3, seed=4)
    columns = torch.cat([distributed.gather_rows(judge[part][own]) for part in (slice(7, 14), slice(14, 21))])
    rows = bce_softmax(
        query, key, negatives=negatives, temperature=0.2,
        mask_mod=SimilarityMask(0.6), rows=(judge[:7][own],), columns=(columns,),
    )  # fmt: skip
    rows.mean().backward()
    size = distributed.world_size()
    return {
        "loss": distributed.sum_over_processes(rows.mean().detach()) / size,
        "values": distributed.gather_rows(rows.values, with_grad=False),
        "weight": distributed.sum_over_processes(weight.grad) / size,
    }


@pytest.mark.parametrize("num_processes", [2, 3])
def test_loss_and_gradient_do_not_depend_on_the_number_of_processes(processes, num_processes):
    expected = _step(COUNTS[1])
    for found in processes.run(_step, COUNTS[num_processes], num_processes=num_processes):
        for name, value in expected.items():
            assert_close(found[name], value, rtol=1e-12, atol=1e-15)
