"""Numbers that belong to rows of a table and outlive a step: a running average, a temperature, a momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from likewise import distributed

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

__all__ = ["PerSampleState", "check_rows"]


class PerSampleState(nn.Module):
    """Named float32 numbers for each of the ``n`` rows of a table, and whether a row was ever written.

    A row is known by its number in the table, so its numbers are found again in every epoch, whatever the batch. Every
    process holds all rows: what is written is gathered first, so that the copies stay equal.

    Args:
        num_rows: Rows of the table, ``n`` >= 0.
        fields: The value that each field has in a row that was never written, by name.

    State: ``field_NAME [n]`` for each field, and ``seen [n]``.
    Cost: 4 bytes a row and field, on every process; a write exchanges the rows of a batch.

    Example:
        >>> state = PerSampleState(4, {"temperature": 0.1})
        >>> state.write(torch.tensor([2, 0]), temperature=torch.tensor([0.3, 0.2]))
        >>> state.field("temperature").tolist() == torch.tensor([0.2, 0.1, 0.3, 0.1]).tolist()
        True
        >>> state.seen.tolist()
        [True, False, True, False]
    """

    seen: Tensor

    def __init__(self, num_rows: int, fields: Mapping[str, float]) -> None:
        super().__init__()
        if num_rows < 0:
            raise ValueError(f"PerSampleState: num_rows is {num_rows}; it is the number of rows of a table, >= 0.")
        self.fields = tuple(fields)
        for name, value in fields.items():
            self.register_buffer(f"field_{name}", torch.full((num_rows,), value))
        self.register_buffer("seen", torch.zeros(num_rows, dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.seen)

    def field(self, name: str) -> Float[Tensor, "n"]:
        """Return a field of all rows; a view, not to be written to."""
        values: Tensor = getattr(self, f"field_{name}")
        return values

    def read(self, name: str, rows: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Return a copy of a field of some rows.

        Args:
            name: The field.
            rows: Numbers of the rows in the table.

        Raises:
            ValueError: A number lies outside [0, n).
        """
        check_rows("PerSampleState", rows, len(self))
        return self.field(name)[rows]

    def was_seen(self, rows: Int[Tensor, "B"]) -> Bool[Tensor, "B"]:
        """Return whether each of some rows was ever written."""
        check_rows("PerSampleState", rows, len(self))
        return self.seen[rows]

    @torch.no_grad()
    def write(self, rows: Int[Tensor, "B"], **values: Float[Tensor, "B"]) -> None:
        """Set the fields of the rows of all processes; other rows and fields are left as they are.

        Every process has to call this, with any number of rows, none too.

        Args:
            rows: Numbers of this process's rows in the table; no row twice, over all processes.
            **values: One value a row by name of the field; rounded to float32.

        Raises:
            ValueError: A number lies outside [0, n) or is there twice, a field is unknown, or there are not as many
                values as rows.
        """
        for name, value in values.items():
            if name not in self.fields:
                raise ValueError(f"PerSampleState: there is no field '{name}'; there are {sorted(self.fields)}.")
            if value.shape != rows.shape:
                raise ValueError(
                    f"PerSampleState: {name} is {list(value.shape)} for {list(rows.shape)} rows; it is one value a row."
                )
        counts = distributed.row_counts(len(rows))
        everywhere = distributed.gather_rows(rows, with_grad=False, counts=counts)
        check_rows("PerSampleState", everywhere, len(self), once=True)
        for name, value in values.items():
            into = self.field(name)
            into[everywhere] = distributed.gather_rows(value.detach().to(into.dtype), with_grad=False, counts=counts)
        self.seen[everywhere] = True

    def extra_repr(self) -> str:
        """Return the sizes, for printing."""
        return f"num_rows={len(self)}, fields={', '.join(self.fields)}"


def check_rows(name: str, rows: Tensor, num_rows: int, *, once: bool = False) -> None:
    """Refuse what are no numbers of rows in a table.

    Args:
        name: Who asks, for the message.
        rows: int64 ``[B]``.
        num_rows: Rows of the table.
        once: Whether a number may stand there once only.

    Raises:
        ValueError: They are not of this form, a number lies outside the table, or is there twice.
    """
    if rows.ndim != 1 or rows.dtype != torch.int64:
        raise ValueError(f"{name}: rows is {rows.dtype} {list(rows.shape)}; it is int64 [B], row numbers.")
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < num_rows:
        raise ValueError(
            f"{name}: rows go from {int(rows.min())} to {int(rows.max())}; the table has {num_rows}, from 0 on. Give "
            "numbers of rows in the table that the state was made for."
        )
    if once and len(rows.unique()) < len(rows):
        raise ValueError(
            f"{name}: {len(rows) - len(rows.unique())} rows are in the batch twice; each has one value. Draw batches "
            "in which a row stands once."
        )
