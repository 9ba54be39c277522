"""Batch norm for the two sides of a pair, so that what a batch has in common gives no answer away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise import distributed
from likewise.errors import unknown

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["PairBatchNorm", "PairNorm", "PairProjector"]

PairNorm = Literal["asymmetric", "symmetric", "none"]
"""How the two sides of a pair are normalised over the batch."""


class PairBatchNorm(nn.Module):
    """Batch norm of the two sides of pairs: one by the batch, the other by running statistics, in turns.

    ``y = weight * (x - mean) / sqrt(var + eps) + bias``, feature by feature. In training one side takes mean and
    (biased) variance of its batch, over all processes, and moves the running ones towards them; the other side takes
    the running ones as they stood before the step. :meth:`turn` exchanges the sides, after a step. Where both sides are
    normalised by their batches, a row can be recognised by what its batch has in common. In evaluation both sides take
    the running statistics.

    Args:
        features: Length of a vector.
        asymmetric: As described; else each side is normalised by its own batch, which leaks.
        momentum: Weight of the new value in the running statistics, in (0, 1]; of the n-th batch it is 1 / n as long as
            that is more. So the first batches count alike, and what the statistics start from does not count: vectors
            of small variance would be told apart by them only after a hundred steps.
        eps: Added to the variance.

    State: ``running_mean``, ``running_var`` (with the unbiased variance, as in torch), ``num_batches`` (that moved
        them), ``second_by_batch`` (whose turn it is), and the weights.
    Source: CCP, arXiv 2206.03281, section 3; for the side that takes running statistics the gradient flows through its
        input all the same.

    Example:
        >>> norm = PairBatchNorm(1, eps=1e-12)
        >>> first, second = norm(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [3.0]]))
        >>> first.detach().flatten(), second.detach().flatten(), norm.running_mean
        (tensor([-1.,  1.]), tensor([1., 3.]), tensor([2.]))
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches: Tensor
    second_by_batch: Tensor

    def __init__(self, features: int, *, asymmetric: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.asymmetric = asymmetric
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("second_by_batch", torch.zeros((), dtype=torch.bool))

    def forward(self, first: Float[Tensor, "B D"], second: Float[Tensor, "B D"]) -> tuple[Tensor, Tensor]:
        """Normalise both sides.

        Raises:
            ValueError: In training, fewer than two rows over all processes.
        """
        if not self.training:
            return self._by_running(first), self._by_running(second)
        if not self.asymmetric:
            return self._by_batch(first), self._by_batch(second)
        if self.second_by_batch:
            return self._by_running(first), self._by_batch(second)
        # The running side goes first: it is to know nothing of this batch.
        by_running = self._by_running(second)
        return self._by_batch(first), by_running

    def turn(self) -> None:
        """Let the other side take the statistics of the batch from now on."""
        self.second_by_batch.logical_not_()

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"{len(self.weight)}, asymmetric={self.asymmetric}, momentum={self.momentum}, eps={self.eps}"

    def _by_running(self, x: Tensor) -> Tensor:
        # Copies: autograd keeps what it is given, and the statistics are about to move.
        mean, var = self.running_mean.clone(), self.running_var.clone()
        return F.batch_norm(x, mean, var, self.weight, self.bias, training=False, eps=self.eps)

    def _by_batch(self, x: Tensor) -> Tensor:
        counts = distributed.row_counts(len(x))
        if sum(counts) < 2:
            raise ValueError(
                f"batch norm: the batch has {sum(counts)} row, and a variance takes 2 or more; use larger batches."
            )
        rows = distributed.gather_rows(x, counts=counts)
        self.num_batches += 1
        momentum = max(self.momentum, 1 / int(self.num_batches))
        mean, var = self.running_mean, self.running_var
        y = F.batch_norm(rows, mean, var, self.weight, self.bias, training=True, momentum=momentum, eps=self.eps)
        first = sum(counts[: distributed.rank()])
        return y[first : first + len(x)]


class PairProjector(nn.Module):
    """Linear, batch norm, ReLU, linear: the head of both sides of a pair.

    Args:
        in_features: Length of a vector of features, also of the hidden one.
        out_features: Length of an embedding.
        norm: "asymmetric" or "symmetric", as :class:`PairBatchNorm` says, or "none".

    Raises:
        InputError: ``norm`` is none of these.

    State: the weights, and the state of the norm.
    """

    def __init__(self, in_features: int, out_features: int, norm: PairNorm = "asymmetric") -> None:
        super().__init__()
        if norm not in get_args(PairNorm):
            raise unknown("batch norm", norm, get_args(PairNorm))
        self.first = nn.Linear(in_features, in_features)
        self.norm = None if norm == "none" else PairBatchNorm(in_features, asymmetric=norm == "asymmetric")
        self.second = nn.Linear(in_features, out_features)

    def forward(self, first: Float[Tensor, "B D"], second: Float[Tensor, "B D"]) -> tuple[Tensor, Tensor]:
        """Return the embeddings of both sides, not normalised to unit length."""
        hidden = self.first(first), self.first(second)
        if self.norm is not None:
            hidden = self.norm(*hidden)
        one, other = (self.second(F.relu(x)) for x in hidden)
        return one, other
