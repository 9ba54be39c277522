"""InfoNCE over several processes is InfoNCE over one: loss, counted rows, and every gradient."""

from typing import Any

import pytest
import torch
from torch import Tensor

from likewise import distributed
from likewise.losses import InfoNCE, info_nce

COUNTS = {1: [9], 2: [6, 3], 3: [4, 0, 5], 4: [1, 3, 2, 3]}
DIM, NUM_QUEUED = 5, 6

CASES = [
    "plain", "symmetric", "temperatures", "negatives", "queue", "everything", "labels", "labels symmetric",
    "labels one set", "labels queue", "labels score_mod", "positives", "positives symmetric", "weights symmetric",
    "weights score_mod", "mask", "score_mod", "bf16",
]  # fmt: skip


def _unit(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1).to(dtype)


def _extra_weight(score, row, column):
    return score + row[0] * column[0] + 0.5 * (row.index + 9 == column.index)


def _other_kind(row, column):
    return (row.index == column.index) | ((row.index + column.index) % 3 != 0)


def _options(case: str, own: slice, num_rows: int, weight: Tensor, per_row: Tensor) -> dict[str, Any]:
    """Build what a case gives to the loss; what belongs to rows is cut to this process's."""
    dtype = weight.dtype
    negatives = _unit(num_rows, 4, seed=3, dtype=dtype)[own] @ weight[:4]
    queue = _unit(NUM_QUEUED, DIM, seed=4, dtype=dtype)
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3, 2, 4])
    generator = torch.Generator().manual_seed(5)
    weights = torch.rand(num_rows, num_rows, generator=generator, dtype=torch.float64).sub(0.6).clamp(min=0).to(dtype)
    weights[4] = 0  # a row without a positive
    options: dict[str, Any] = {}
    if "negatives" in case or case == "everything":
        options["negatives"] = negatives
    if "queue" in case or case == "everything":
        options["queue"] = queue
    if "labels" in case:
        options["labels"] = labels[own]
        if "queue" in case:
            options["queue_labels"] = torch.tensor([3, 3, 0, 9, 9, 1])
    if "positives" in case:
        options["positives"] = (weights > 0)[own]
    if "weights" in case:
        options["weights"] = weights[own]
    if "mask" in case or case == "everything":
        options["mask_mod"] = _other_kind
    if "score_mod" in case or case == "everything":
        num_columns = num_rows + (num_rows + NUM_QUEUED if case == "everything" else 0)
        options["score_mod"] = _extra_weight
        options["rows"] = (per_row[own],)
        options["columns"] = (_unit(num_columns, seed=6, dtype=dtype),)
    if case == "bf16":
        options["precision"] = "bf16"
    return options


def _step(case: str, dtype: torch.dtype, counts: list[int]) -> dict[str, Tensor]:
    """One step of a shared encoder, as data parallelism does it: averaged loss, averaged gradients."""
    num_rows = sum(counts)
    first = sum(counts[: distributed.rank()])
    own = slice(first, first + counts[distributed.rank()])
    weight = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    per_row = torch.linspace(-0.5, 0.5, num_rows, dtype=torch.float64).to(dtype)
    weight.requires_grad_()
    per_row.requires_grad_()
    symmetric = "symmetric" in case or case == "everything"
    loss = InfoNCE(0.2, learnable=True, symmetric=symmetric).to(dtype)
    query = torch.nn.functional.normalize(_unit(num_rows, DIM, seed=1, dtype=dtype)[own] @ weight, dim=-1)
    key = torch.nn.functional.normalize(_unit(num_rows, DIM, seed=2, dtype=dtype)[own] @ weight.T, dim=-1)
    options = _options(case, own, num_rows, weight, per_row)
    if case == "temperatures":
        rows = info_nce(query, key, temperature=(per_row[own] * 0.3 + 0.4), **options)
    else:
        rows = loss(query, None if "one set" in case else key, **options)
    total = rows.mean()
    total.backward()
    size = distributed.world_size()
    found = {"loss": distributed.sum_over_processes(total.detach()) / size}
    found["values"] = distributed.gather_rows(rows.values, with_grad=False)
    found["counted"] = distributed.gather_rows(rows.counted, with_grad=False)
    for name, x in (("weight", weight), ("per_row", per_row), ("log_scale", loss.log_scale)):
        grad = torch.zeros_like(x) if x.grad is None else x.grad
        found[name] = distributed.sum_over_processes(grad.double()) / size
    return found


def _steps(counts: list[int]) -> dict[tuple[str, torch.dtype], dict[str, Tensor]]:
    return {(case, dtype): _step(case, dtype, counts) for case in CASES for dtype in _dtypes(case)}


def _dtypes(case: str) -> list[torch.dtype]:
    return [torch.float32] if case == "bf16" else [torch.float64, torch.float32]


@pytest.fixture(scope="module")
def steps_of_one() -> dict[tuple[str, torch.dtype], dict[str, Tensor]]:
    return _steps(COUNTS[1])


@pytest.mark.parametrize("num_processes", [1, 2, 3, 4])
def test_loss_and_gradients_do_not_depend_on_the_number_of_processes(processes, steps_of_one, num_processes):
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-6}
    for found in processes.run(_steps, COUNTS[num_processes], num_processes=num_processes):
        for (case, dtype), expected in steps_of_one.items():
            allowed = 1e-2 if case == "bf16" else tolerance[dtype]  # bf16 rounds sums of tiles, which are others here
            assert torch.equal(found[case, dtype]["counted"], expected["counted"]), case
            for name in ("loss", "values", "weight", "per_row", "log_scale"):
                x, y = found[case, dtype][name], expected[name]
                assert (x - y).abs().max() <= allowed * y.abs().max(), (case, dtype, name)


def test_every_case_is_a_case(steps_of_one):
    """Rows are counted out where they should be, and every gradient is there."""
    for (case, _), found in steps_of_one.items():
        out = {"positives": 1, "weights score_mod": 1, "labels one set": 2}.get(case, 0)
        assert int((~found["counted"]).sum()) == out, case
        assert found["weight"].abs().max() > 0
        assert (found["per_row"].abs().max() > 0) == ("score_mod" in case or case in ("everything", "temperatures"))
        assert (found["log_scale"].abs() > 0) == (case != "temperatures")
