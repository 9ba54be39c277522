"""From losses of rows to one number: the one place where a mean over rows is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import distributed

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

__all__ = ["RowLosses"]


@dataclass(frozen=True)
class RowLosses:
    """The loss of each of this process's rows, and which of them count.

    A row is counted out where its loss is not defined (it has no positive, or nothing to be told from); its value is 0
    and carries no gradient, and it is missing from the mean's divisor too.

    Args:
        values: Loss of each row in nats ``[B]``.
        counted: Whether a row counts, bool ``[B]``.

    Example:
        >>> rows = RowLosses(torch.tensor([1.0, 3.0, 7.0]), torch.tensor([True, True, False]))
        >>> rows.mean()
        tensor(2.)
    """

    values: Float[Tensor, "B"]
    counted: Bool[Tensor, "B"]

    @classmethod
    def of(cls, values: Float[Tensor, "B"]) -> RowLosses:
        """Return the losses of rows that all count."""
        return cls(values, torch.ones_like(values, dtype=torch.bool))

    def mean(self) -> Float[Tensor, ""]:
        """Average the counted rows of all processes.

        Each of the ``W`` processes returns ``W * sum(its counted rows) / (counted rows overall)``. The mean of that
        over processes is the mean over rows, and averaged gradients (DDP, FSDP) are those of one process that holds
        every row, for uneven parts too.

        Returns:
            A scalar; it carries a gradient also on a process without a counted row.

        Raises:
            ValueError: No row of any process counts.
        """
        num_processes = distributed.world_size()
        if num_processes == 1 and len(self.values) and bool(self.counted.all()):
            return self.values.mean()
        total = torch.where(self.counted, self.values, 0.0).sum()
        num_counted = distributed.sum_over_processes(self.counted.sum())
        if not num_counted:
            raise ValueError(
                f"mean: none of the {len(self.values)} rows counts; at least one needs a positive and something to be "
                "told from. Use larger batches, or check the labels and masks."
            )
        return total * num_processes / num_counted

    def mean_or_zero(self) -> Float[Tensor, ""]:
        """Average the counted rows of all processes; where none counts at all, 0 with a gradient of 0.

        For a term that a batch may have nothing for: no row of it has a label, no token was hidden.
        """
        if not distributed.any_process(bool(self.counted.any())):
            return torch.where(self.counted, self.values, 0.0).sum()
        return self.mean()
