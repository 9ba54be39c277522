"""Talking between processes: the only module that calls ``torch.distributed``.

Rows of a batch are spread over ``W`` processes; process ``r`` holds ``B_r`` of the ``N`` rows, in rank order, and the
``B_r`` may differ. A loss that every process returns as ``W * (sum over its rows) / (rows overall)`` has, after the
averaging of gradients that data parallelism does, exactly the gradient of one process that holds all rows; the
backward passes below are made for that. Without an initialised process group every function is the identity.

Every process has to call the same functions in the same order, in the forward and in the backward pass.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float, Shaped

__all__ = [
    "any_process",
    "barrier",
    "gather_objects",
    "gather_rows",
    "logsumexp_over_processes",
    "lost_a_process",
    "others_wait",
    "rank",
    "row_counts",
    "row_offset",
    "sum_over_processes",
    "world_size",
]


def _active() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world_size() -> int:
    """Return the number of processes ``W``; 1 without a process group."""
    return dist.get_world_size() if _active() else 1


def rank() -> int:
    """Return the number of this process, in ``[0, W)``; 0 without a process group."""
    return dist.get_rank() if _active() else 0


def barrier() -> None:
    """Wait until every process has come here."""
    if _active():
        dist.barrier()


@contextmanager
def others_wait() -> Iterator[None]:
    """Make a block in which the main process does what the others wait for at its end; an error of it is theirs too.

    Raises:
        Exception: In the main process what the block raised; in the others, of that kind where it is made of a message
            alone, else ``RuntimeError``.

    Example:
        >>> with others_wait():
        ...     if rank() == 0:
        ...         pass  # write a file that all are to read
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    told = gather_objects(None if error is None else (type(error), str(error)))[0] if _active() else None
    if error is not None:
        raise error
    if told is not None:
        kind, message = told
        raise kind(message) if issubclass(kind, ValueError | RuntimeError) else RuntimeError(message)


def _device() -> torch.device:
    """Return the device on which the process group exchanges small numbers."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def row_counts(num_rows: int) -> list[int]:
    """Return how many rows each process holds, in rank order.

    Args:
        num_rows: Rows of this process, >= 0.
    """
    if not _active():
        return [num_rows]
    number = torch.tensor([num_rows], dtype=torch.int64, device=_device())
    counts = [torch.empty_like(number) for _ in range(world_size())]
    dist.all_gather(counts, number)
    return [int(count) for count in counts]


def row_offset(num_rows: int) -> int:
    """Return the index, among the rows of all processes, of this process's first row.

    Args:
        num_rows: Rows of this process, >= 0.
    """
    return sum(row_counts(num_rows)[: rank()])


def gather_objects(item: Any) -> list[Any]:
    """Return one small picklable object a process, in rank order, on every process."""
    if not _active():
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def any_process(flag: bool) -> bool:
    """Return on every process whether ``flag`` is true on at least one."""
    if not _active():
        return bool(flag)
    total = torch.tensor([int(flag)], dtype=torch.int64, device=_device())
    dist.all_reduce(total, op=dist.ReduceOp.MAX)
    return bool(total.item())


def lost_a_process(error: BaseException) -> bool:
    """Tell whether an error is that of an exchange in which another process did not take part, because it has ended."""
    return _active() and (isinstance(error, dist.DistError) or "gloo" in str(error).lower())


def _all_reduce(x: Tensor, op: Any = None) -> Tensor:
    """Return the sum (or another reduction) over all processes in a new tensor."""
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, op=dist.ReduceOp.SUM if op is None else op)
    return total


def _all_gather(x: Tensor, counts: Sequence[int]) -> Tensor:
    """Return the rows of all processes; shorter ones are padded on the way and cut again."""
    longest = max(counts)
    padded = x.detach().contiguous()
    if len(x) < longest:
        padded = torch.cat([padded, padded.new_zeros((longest - len(x), *x.shape[1:]))])
    whole = padded.new_empty((len(counts), longest, *x.shape[1:]))
    dist.all_gather(list(whole.unbind()), padded)
    if min(counts) == longest:
        return whole.flatten(0, 1)
    return torch.cat([part[:count] for part, count in zip(whole, counts, strict=True)])


class _GatherRows(torch.autograd.Function):
    """Gather whose backward sums the gradients of all processes and gives back the local rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: Sequence[int]) -> Tensor:
        first = sum(counts[: rank()])
        ctx.local = slice(first, first + len(x))
        return _all_gather(x, counts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _all_reduce(grads[0])[ctx.local], None


class _SumOverProcesses(torch.autograd.Function):
    """Sum whose backward is the sum too: each process's loss has seen each process's part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduce(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _all_reduce(grads[0])


def gather_rows(
    x: Shaped[Tensor, "B *axes"], with_grad: bool = True, *, counts: Sequence[int] | None = None
) -> Shaped[Tensor, "N *axes"]:
    """Put the rows of all processes together, in rank order, on every process.

    With a gradient, the backward pass adds up what the losses of all processes say about every row and each process
    receives its own rows' share.

    Args:
        x: Rows of this process ``[B, ...]``; ``B`` may differ between processes and may be 0, the other axes may not.
        with_grad: Whether the gradient flows back; without it the result is a constant.
        counts: ``row_counts(B)`` where it is known already, which saves one exchange.

    Returns:
        ``[N, ...]`` with ``N`` the sum of all ``B``.

    Cost: memory of ``W`` times the longest part; the backward pass exchanges ``N`` rows.
    """
    if not _active():
        return x if with_grad else x.detach()
    counts = row_counts(len(x)) if counts is None else counts
    if with_grad and torch.is_grad_enabled() and x.requires_grad:
        gathered: Tensor = _GatherRows.apply(x, counts)
        return gathered
    return _all_gather(x, counts)


def sum_over_processes(x: Tensor, *, with_grad: bool = False) -> Tensor:
    """Add up a tensor of equal shape over all processes, on every process.

    Args:
        x: Part of this process, any shape.
        with_grad: Whether the gradient flows back to every process's part; the default is a constant.
    """
    if not _active():
        return x if with_grad else x.detach()
    if with_grad and torch.is_grad_enabled() and x.requires_grad:
        total: Tensor = _SumOverProcesses.apply(x)
        return total
    return _all_reduce(x)


def logsumexp_over_processes(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """Combine the log-sum-exps that each process has of its own share of the terms, elementwise and differentiably.

    ``log(sum over processes of exp(x))``. A process without a share holds ``-inf``; where all do, so does the result,
    with a zero gradient.

    Args:
        x: Log-sum-exp over the terms of this process, any shape, equal on all processes.
    """
    if not _active():
        return x
    highest = _all_reduce(x, dist.ReduceOp.MAX)
    highest = highest.masked_fill(highest == -torch.inf, 0.0)
    total = sum_over_processes((x - highest).exp(), with_grad=True)
    empty = total == 0
    return (total.masked_fill(empty, 1.0).log() + highest).masked_fill(empty, -torch.inf)
