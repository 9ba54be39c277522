"""Exchanges between processes, with one process, and with several that hold different numbers of rows."""

import pytest
import torch

from likewise import distributed
from likewise.errors import InputError, RunError

COUNTS = {1: [3], 2: [2, 5], 3: [3, 0, 1], 4: [1, 4, 2, 2]}


def _rows(counts: list[int], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """The same rows on every process, cut by rank where they are used."""
    values = torch.randn(sum(counts), 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return values.mul(9).to(dtype) if dtype != torch.bool else values > 0


def _own(counts: list[int]) -> slice:
    first = sum(counts[: distributed.rank()])
    return slice(first, first + counts[distributed.rank()])


def _gather(counts: list[int]) -> None:
    own = _own(counts)
    num_rows = own.stop - own.start
    assert distributed.row_counts(num_rows) == counts
    assert distributed.row_offset(num_rows) == own.start
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool):
        rows = _rows(counts, dtype)
        assert torch.equal(distributed.gather_rows(rows[own]), rows)
        assert torch.equal(distributed.gather_rows(rows[own], counts=counts), rows)
        transposed = rows.transpose(1, 2)
        assert torch.equal(distributed.gather_rows(transposed[own]), transposed)
    local = _rows(counts)[own].requires_grad_()
    assert not distributed.gather_rows(local, with_grad=False).requires_grad


def _gather_gradient(counts: list[int]) -> None:
    """Process r's loss gives row i the gradient (r + 1) * weight_i; each process gets the sum for its rows."""
    own = _own(counts)
    weight = _rows(counts).sin()
    local = _rows(counts)[own].requires_grad_()
    ((distributed.rank() + 1) * weight * distributed.gather_rows(local)).sum().backward()
    torch.testing.assert_close(local.grad, sum(range(1, len(counts) + 1)) * weight[own], rtol=1e-12, atol=0)


def _sums(counts: list[int]) -> None:
    rank, size = distributed.rank(), distributed.world_size()
    assert distributed.sum_over_processes(torch.tensor([rank, 1])).tolist() == [size * (size - 1) // 2, size]
    x = torch.tensor([1.0 + rank, 2.0], dtype=torch.float64, requires_grad=True)
    assert not distributed.sum_over_processes(x).requires_grad
    total = distributed.sum_over_processes(x, with_grad=True)
    assert total[0] == sum(range(1, size + 1))
    assert x.tolist() == [1.0 + rank, 2.0]  # summed in a tensor of its own
    (total * torch.tensor([10.0**rank, 1.0])).sum().backward()
    assert x.grad.tolist() == [sum(10.0**other for other in range(size)), size]


def _logsumexps(counts: list[int]) -> None:
    rank, size = distributed.rank(), distributed.world_size()
    every = torch.randn(size, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 500
    every[0, 1] = every[:, 2] = -torch.inf
    every.requires_grad_()
    expected = torch.logsumexp(every[:, [0, 1, 3]], 0) if size > 1 else every[0, [0, 1, 3]]
    x = every.detach()[rank].clone().requires_grad_()
    total = distributed.logsumexp_over_processes(x)
    assert total[2] == -torch.inf
    torch.testing.assert_close(total[[0, 1, 3]], expected, rtol=1e-12, atol=0)
    if size == 1:
        return
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    (expected * weight).sum().backward()
    (total[[0, 1, 3]] * weight).sum().div(size).backward()
    torch.testing.assert_close(x.grad, every.grad[rank], rtol=1e-12, atol=1e-15)


def _small_things(counts: list[int]) -> None:
    rank, size = distributed.rank(), distributed.world_size()
    assert distributed.gather_objects({"rank": rank}) == [{"rank": other} for other in range(size)]
    assert distributed.any_process(rank == size - 1)
    assert not distributed.any_process(False)
    distributed.barrier()


@pytest.mark.parametrize("promise", [_gather, _gather_gradient, _sums, _logsumexps, _small_things])
@pytest.mark.parametrize("num_processes", COUNTS)
def test_exchanges_between_processes(processes, promise, num_processes):
    processes.run(promise, COUNTS[num_processes], num_processes=num_processes)


@pytest.mark.parametrize("promise", [_gather, _gather_gradient, _sums, _logsumexps, _small_things])
def test_without_a_process_group_everything_is_the_identity(promise):
    promise([3])


class TwoPartsError(Exception):
    """One that is not made of a message alone."""

    def __init__(self, one, other):
        super().__init__(f"{one} {other}")


def _fails(kind: str) -> str:
    errors = {"input": InputError("no row"), "run": RunError("disk full"), "other": TwoPartsError(1, 2)}
    try:
        with distributed.others_wait():
            if distributed.rank() == 0 and kind in errors:
                raise errors[kind]
    except Exception as raised:
        return f"{type(raised).__name__}: {raised}"
    return "went on"


@pytest.mark.parametrize(
    ("kind", "main", "others"),
    [
        ("none", "went on", "went on"),
        ("input", "InputError: no row", "InputError: no row"),
        ("run", "RunError: disk full", "RunError: disk full"),
        ("other", "TwoPartsError: 1 2", "RuntimeError: 1 2"),
    ],
)
def test_an_error_of_what_the_others_wait_for_ends_them_too(processes, kind, main, others):
    assert processes.run(_fails, kind, num_processes=3) == [main, others, others]
