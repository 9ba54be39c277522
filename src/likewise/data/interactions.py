"""Who took what and when: an interaction log of which each user's last one is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from likewise.data.checking import BadRows
from likewise.data.columns import Column, Label, Number, Text
from likewise.data.opening import Rows, open_table
from likewise.data.table import Table
from likewise.errors import InputError

__all__ = ["INTERACTION_COLUMNS", "InteractionData", "open_interactions"]

INTERACTION_COLUMNS = (
    Column("user", Label, help="who"),
    Column("item", Label, help="what: a text that is encoded, or an id beside item_text"),
    Column("time", Number, required=False, all_or_none=True, help="when, as a number; else rows are in their order"),
    Column("item_text", Text, required=False, all_or_none=True, help="the item's text where item is an id"),
)
"""What a row of an interaction log must bring, and may bring."""


@dataclass(frozen=True)
class InteractionData:
    """A log in which each user's last interaction is to be found from the ones before it.

    Args:
        items: Text of each item by its id, in order of first appearance; all of them are candidates.
        histories: Items that each user took before the last, at least one, in order; by user.
        held_out: The last item of each user.
        users_left_out: Users with a single interaction, of whom nothing can be asked.
        name: What messages and results call it.
        fingerprint: Digest of users, items, times and texts.
    """

    items: Mapping[str, str]
    histories: Mapping[str, list[str]]
    held_out: Mapping[str, str]
    users_left_out: int
    name: str
    fingerprint: str


def open_interactions(
    data: Rows | Table, *, rename: Mapping[str, str] | None = None, bad_rows: BadRows = "error"
) -> InteractionData:
    """Open an interaction log.

    Args:
        data: Rows of ``INTERACTION_COLUMNS`` in anything that ``open_table`` reads. Interactions of a user are ordered
            by ``time``, those at one time (and all where there is no time) by row.
        rename: The source's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".

    Raises:
        InputError: A row is bad, an id has two texts, or no user has two interactions.

    Example:
        >>> log = [{"user": 1, "item": item} for item in ("a lamp", "a desk", "a chair")]
        >>> open_interactions(log).held_out
        {'1': 'a chair'}
    """
    table = open_table(data, columns=INTERACTION_COLUMNS, rename=rename, bad_rows=bad_rows)
    items: dict[str, str] = {}
    taken: dict[str, list[tuple[float, str]]] = {}
    for i, row in enumerate(table.stream()):
        text = row.get("item_text") or row["item"]
        if items.setdefault(row["item"], text) != text:
            raise InputError(
                f"{table.where(i)}: item '{row['item']}' has the text {text!r}, but {items[row['item']]!r} before; an "
                "item has one text. Mend the column 'item_text'."
            )
        taken.setdefault(row["user"], []).append((row.get("time") or 0.0, row["item"]))
    ordered = {user: [item for _, item in sorted(several, key=lambda one: one[0])] for user, several in taken.items()}
    asked = {user: several for user, several in ordered.items() if len(several) > 1}
    if not asked:
        raise InputError(
            f"{table.name}: none of the {len(taken)} users has more than one interaction, so there is nothing to find "
            "the last one from; at least one user with 2 is needed. Check the column 'user'."
        )
    return InteractionData(
        items,
        {user: several[:-1] for user, several in asked.items()},
        {user: several[-1] for user, several in asked.items()},
        len(taken) - len(asked),
        table.name,
        hashlib.sha256(f"interactions {table.fingerprint}".encode()).hexdigest(),
    )
