"""The classes that the labels of a table name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from likewise.errors import InputError

if TYPE_CHECKING:
    from likewise.data.table import StreamedTable, Table

__all__ = ["class_names", "in_class_order"]


def class_names(table: Table | StreamedTable, column: str, *, least: int = 2) -> tuple[str, ...]:
    """Return the different labels of a column in a fixed order: numbers by their size, then texts.

    Args:
        table: The rows.
        column: A column of labels; rows without one are passed over.
        least: Fewest classes that are accepted.

    Raises:
        InputError: There are fewer, or the rows are streamed, which says too late which there are.

    Example:
        >>> from likewise.data import Column, Label, open_table
        >>> rows = [{"label": one} for one in ("b", 10, 9, "b")]
        >>> class_names(open_table(rows, columns=[Column("label", Label)]), "label")
        ('9', '10', 'b')
    """
    from likewise.data.table import StreamedTable

    if isinstance(table, StreamedTable):
        raise InputError(
            "streamed data do not say beforehand which classes there are; name them with --classes, or leave "
            "--streaming out."
        )
    found = [name for name in pc.unique(table.column(column)).to_pylist() if name is not None]
    if len(found) < least:
        said = f"all rows have the label '{found[0]}'" if found else "no row has a label"
        raise InputError(f"{table.name}: {said}; at least {least} classes are needed. Check the column '{column}'.")
    return tuple(in_class_order(found))


def in_class_order(names: Iterable[str]) -> list[str]:
    """Return labels in the order of classes: numbers by their size, then texts.

    Example:
        >>> in_class_order(["b", "10", "9"])
        ['9', '10', 'b']
    """
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
