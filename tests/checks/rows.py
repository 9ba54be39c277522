"""Rows as a user of each method would bring them."""

from typing import Any

from likewise.data import Column, Label, Number, Text, Vector
from likewise.methods import get_method

THINGS = ["dog", "cat", "house", "river", "train", "bread", "phone", "garden", "window", "tower", "boat", "lamp"]

SMALL_SETTINGS: dict[str, dict[str, Any]] = {"2dmse": {"encoder_layers": 2}}
"""What a method needs otherwise than the smallest setting of these checks."""

OPTIONAL_SETTINGS: dict[str, dict[str, Any]] = {"simcse": {"supervised": True}, "dialog2flow": {"mode": "joint"}}
"""Settings under which a method reads the columns that it may have."""

LOWERED_SETTINGS: dict[str, dict[str, Any]] = {"dialog2flow": {"label_temperature": 0.02}}
"""Settings under which training can take most of a loss away: soft targets have an entropy that is always left."""


def rows(name: str, count: int = 12, optional: bool = False) -> list[dict[str, Any]]:
    """Rows with the columns that a method needs, and perhaps those that it may have."""
    columns = [column for column in get_method(name).columns if column.required or optional]
    return [{column.name: _value(column, i) for column in columns} for i in range(count)]


def _value(column: Column, i: int) -> Any:
    if column.kind is Text:
        return f"{column.name} about a {THINGS[i % 12]} {'that is long ' * (i % 3)}{i}"
    if column.kind is Label:
        return f"{column.name} {THINGS[i % 3]}"
    if column.kind is Number:
        return float(i % 2)
    assert column.kind is Vector
    return [float(i % 2), 0.5]
