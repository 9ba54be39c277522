"""A vector for each row of a table, which follows what a tower makes of the row from visit to visit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise import distributed
from likewise.errors import InputError
from likewise.memory.per_sample import check_rows

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["FeatureBank"]

_NOTHING = 1e-6
"""Length below which what is left of two opposite vectors has no direction."""


class FeatureBank(nn.Module):
    """A unit vector for each of the ``n`` rows of a table; a moving average of the row's embeddings on the sphere.

    ``v_i <- unit(momentum v_i + (1 - momentum) z_i)`` each time row ``i`` is visited; where the two cancel out, the new
    vector takes the place. A row is known by its number in the table. Every process holds all rows, and what is written
    is gathered first, so that the copies stay equal.

    All rows are there from the start, as vectors drawn evenly from the sphere.

    Args:
        num_rows: Rows of the table, ``n`` >= 0.
        dim: Length of a vector, ``D``.
        momentum: Weight of the old vector, in [0, 1) (Wu et al. 2018: 0.5).
        seed: Seed of the first vectors; the same on every process.

    Raises:
        InputError: ``momentum`` is out of its range.

    State: ``vectors [n, D]``.
    Cost: 4 D bytes a row, on every process; an update exchanges the rows of a batch.
    Source: Wu et al. 2018, arXiv 1805.01978, section 3.2; Wang, Liu 2021, arXiv 2012.09740.

    Example:
        >>> bank = FeatureBank(3, 2, momentum=0.5)
        >>> bank.update(torch.tensor([1]), torch.tensor([[1.0, 0.0]]))
        >>> bank.update(torch.tensor([1]), torch.tensor([[0.0, 1.0]]))
        >>> bank.read(torch.tensor([1])).norm().item()
        1.0
    """

    vectors: Tensor

    def __init__(self, num_rows: int, dim: int, momentum: float = 0.5, *, seed: int = 0) -> None:
        super().__init__()
        if num_rows < 0:
            raise ValueError(f"FeatureBank: num_rows is {num_rows}; it is the number of rows of a table, >= 0.")
        if not 0 <= momentum < 1:
            raise InputError(f"momentum of the bank is {momentum}; it is the weight of the old vector, in [0, 1).")
        self.momentum = momentum
        drawn = torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("vectors", F.normalize(drawn, dim=1))

    def __len__(self) -> int:
        return len(self.vectors)

    def read(self, rows: Int[Tensor, "B"]) -> Float[Tensor, "B D"]:
        """Return a copy of the vectors of some rows.

        Raises:
            ValueError: A number lies outside [0, n).
        """
        check_rows("FeatureBank", rows, len(self))
        return self.vectors[rows]

    @torch.no_grad()
    def update(self, rows: Int[Tensor, "B"], vectors: Float[Tensor, "B D"]) -> None:
        """Let the rows of all processes follow; a row that several processes bring is moved by each, in their order.

        Every process has to call this, with any number of rows, none too.

        Args:
            rows: Numbers of this process's rows in the table; no row twice.
            vectors: What the tower made of them; of any length but 0.

        Raises:
            ValueError: A number lies outside [0, n) or is there twice, or there are not as many vectors as rows.
        """
        if vectors.shape != (len(rows), self.vectors.shape[1]):
            raise ValueError(
                f"FeatureBank: vectors is {list(vectors.shape)} for {len(rows)} rows; it is [{len(rows)}, "
                f"{self.vectors.shape[1]}], a vector a row."
            )
        counts = distributed.row_counts(len(rows))
        everywhere = distributed.gather_rows(rows, with_grad=False, counts=counts)
        arrived = distributed.gather_rows(
            F.normalize(vectors.detach().to(self.vectors.dtype), dim=1), with_grad=False, counts=counts
        )
        parts = list(zip(everywhere.split(counts), arrived.split(counts), strict=True))
        for numbers, _ in parts:
            check_rows("FeatureBank", numbers, len(self), once=True)
        for numbers, new in parts:
            mixed = self.momentum * self.vectors[numbers] + (1 - self.momentum) * new
            length = mixed.norm(dim=1, keepdim=True)
            self.vectors[numbers] = torch.where(length > _NOTHING, mixed / length.clamp_min(_NOTHING), new)

    def extra_repr(self) -> str:
        """Return the sizes, for printing."""
        return f"num_rows={len(self)}, dim={self.vectors.shape[1]}, momentum={self.momentum}"
