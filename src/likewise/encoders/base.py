"""What every tower shares: the pass over a batch, whole or in chunks whose activations are computed again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["Encoder"]


class Encoder(nn.Module, ABC):
    """A tower: model inputs of ``B`` rows to ``features [B, D]``.

    A subclass says how rows are encoded (:meth:`encode_rows`), how a part of them is taken (:meth:`select`) and in
    which order chunks are cut (:meth:`order`). The pass in chunks is here, once for all towers: with ``micro_batch``
    set, at most that many rows are encoded at a time under activation checkpointing, so the loss still sees the whole
    batch while the memory for activations is that of one chunk. This is what is known as cached gradients.

    Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
    arXiv 2101.06983. There the embeddings' gradients are stored and the chunks encoded a second time by hand;
    checkpointing does the same inside autograd, so that any method, loss and number of towers works unchanged.
    """

    micro_batch: int | None = None
    """Rows encoded at a time, >= 1; None: the whole batch at once."""

    @abstractmethod
    def encode_rows(self, inputs: Any) -> Tensor:
        """Encode all rows of ``inputs`` in one pass; returns ``features [B, D]``."""

    @abstractmethod
    def select(self, inputs: Any, index: Tensor) -> Any:
        """Return the rows ``index`` (int64 ``[b]``) of ``inputs``, in that order."""

    def order(self, inputs: Any) -> Tensor:
        """Return the order in which chunks are cut, int64 ``[B]``; rows alike in cost should be neighbours."""
        return torch.arange(len(inputs))

    def forward(self, inputs: Any) -> Tensor:
        """Encode ``B`` rows in their order; see the class for ``micro_batch``.

        Returns:
            ``features [B, D]``, not normalised.
        """
        size = self.micro_batch
        if size is None or len(inputs) <= size:
            features = self.encode_rows(inputs)
        else:
            order = self.order(inputs)
            chunks = [
                checkpoint(self.encode_rows, self.select(inputs, index), use_reentrant=False)
                if torch.is_grad_enabled()
                else self.encode_rows(self.select(inputs, index))
                for index in order.split(size)
            ]
            features = torch.cat(chunks)[torch.argsort(order).to(chunks[0].device)]
        return features
