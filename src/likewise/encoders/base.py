"""What every tower shares: the pass over a batch, whole or in chunks whose activations are computed again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["Encoder"]


class Encoder(nn.Module, ABC):
    """A tower: model inputs of ``B`` rows to ``features [B, D]``.

    A subclass says how rows are encoded (:meth:`encode_rows`), how a part of them is taken (:meth:`select`), and in
    which order and by which cost chunks are cut (:meth:`order`, :meth:`cost`). The pass in chunks is here, once for all
    towers: with ``micro_batch`` set, that many rows, in the mean, are encoded at a time under activation checkpointing,
    so the loss still sees the whole batch while the memory for activations is that of one chunk. This is what is known
    as cached gradients.

    Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
    arXiv 2101.06983. There the embeddings' gradients are stored and the chunks encoded a second time by hand;
    checkpointing does the same inside autograd, so that any method, loss and number of towers works unchanged.
    """

    micro_batch: int | None = None
    """Rows encoded at a time, >= 1, in the mean over chunks of like cost; None: the whole batch at once."""
    encoded: int = 0
    """Rows that have gone through since the tower was made: what training costs, whatever the machine. A second pass
    over activations (``micro_batch``) is not counted, nor is :meth:`Embedder.encode`."""

    @abstractmethod
    def encode_rows(self, inputs: Any) -> Tensor:
        """Encode all rows of ``inputs`` in one pass; returns ``features [B, D]``.

        A tower may offer more of a pass by further keywords; what it returns then, it says there.
        """

    @abstractmethod
    def select(self, inputs: Any, index: Tensor) -> Any:
        """Return the rows ``index`` (int64 ``[b]``) of ``inputs``, in that order."""

    def order(self, inputs: Any) -> Tensor:
        """Return the order in which chunks are cut, int64 ``[B]``; rows alike in cost should be neighbours."""
        return torch.arange(len(inputs))

    def cost(self, inputs: Any) -> Tensor:
        """Return what each row costs in memory, > 0 ``[B]``, in any unit; chunks are cut so that they cost alike."""
        return torch.ones(len(inputs))

    def forward(self, inputs: Any, **how: Any) -> Tensor:
        """Encode ``B`` rows in their order; see the class for ``micro_batch``.

        Args:
            inputs: The rows.
            **how: What :meth:`encode_rows` of this tower takes beside them.

        Returns:
            ``features [B, D]``, not normalised.
        """
        self.encoded += len(inputs)
        if self._one_pass(inputs):
            return self.encode_rows(inputs, **how)
        order = self.order(inputs)
        features = self.in_chunks(partial(self.encode_rows, **how), inputs, order)
        return features[torch.argsort(order).to(features.device)]

    def together(self, *inputs: Any, **how: Any) -> tuple[Tensor, ...]:
        """Encode several sets of rows; a tower that can do so makes one pass over them.

        Returns:
            The features of each set, as ``forward`` returns them.
        """
        return tuple(self(part, **how) for part in inputs)

    def in_chunks(self, encode: Callable[[Any], Tensor], inputs: Any, order: Tensor) -> Tensor:
        """Encode the rows ``order`` of ``inputs`` in chunks, ``micro_batch`` at a time, and lay the results end to end.

        Args:
            encode: Encodes all rows of what it is given in one pass; what it returns need not be one vector a row.
            inputs: The rows.
            order: Which of them, int64; rows of a chunk are neighbours here.
        """
        if self._one_pass(inputs):
            return encode(self.select(inputs, order))
        encoded: list[Tensor] = [
            checkpoint(encode, self.select(inputs, index), use_reentrant=False)
            if torch.is_grad_enabled()
            else encode(self.select(inputs, index))
            for index in self.chunks(inputs, order)
        ]
        return torch.cat(encoded)

    def chunks(self, inputs: Any, order: Tensor) -> list[Tensor]:
        """Return rows cut into as many chunks as ``micro_batch`` asks for, none of them empty, of nearly equal cost."""
        number = -(-len(order) // (self.micro_batch or len(order)))
        cost = self.cost(inputs)[order]
        total = cost.cumsum(0, dtype=torch.float64)
        middle = (total - 0.5 * cost) / total[-1]  # where a row stands in the whole, in (0, 1)
        chunk = (middle * number).long().clamp(max=number - 1)
        return [order[chunk == place] for place in chunk.unique()]

    def _one_pass(self, inputs: Any) -> bool:
        return self.micro_batch is None or len(inputs) <= self.micro_batch
