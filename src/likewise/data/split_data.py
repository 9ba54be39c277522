"""Rows to fit on and rows to test on: two files, or one that is split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.data.checking import BadRows
from likewise.data.columns import Column, Image, Label, Number, Text
from likewise.data.images import StoredImage
from likewise.data.opening import Rows, open_table
from likewise.data.table import Table
from likewise.errors import InputError

__all__ = [
    "INPUT_COLUMNS",
    "LABELLED_COLUMNS",
    "VALUED_COLUMNS",
    "Part",
    "SplitData",
    "SplitSettings",
    "held_out_rows",
    "input_column",
    "input_keys",
    "input_noun",
    "inputs_of",
    "open_split",
]

INPUT_COLUMNS = (
    Column("text", Text, help="what is encoded"),
    Column("image", Image, help="a picture to encode, instead of a text", instead_of="text"),
)
"""What is encoded: a text or a picture."""

LABELLED_COLUMNS = (
    *INPUT_COLUMNS,
    Column("label", Label, help="its class: a text or a number"),
)
"""What a row must bring where texts or pictures belong to classes."""

VALUED_COLUMNS = (
    *INPUT_COLUMNS,
    Column("value", Number, help="the number that belongs to it"),
)
"""What a row must bring where a number belongs to each text or picture."""


@dataclass(frozen=True)
class SplitSettings:
    """Where the rows to fit on come from."""

    train: str | Any = None
    """Rows to fit on, in the form of --data, which is then the test; without it a part of --data is held out."""
    test_share: float = 0.2
    """Share of the texts of each class that is held out for the test where there is no --train, in (0, 1)."""
    split_seed: int = 0
    """Seed of what is held out, for the test and for choosing a setting, >= 0."""

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1:
            raise InputError(f"test_share is {self.test_share}; a share between 0 and 1 is accepted, as 0.2.")
        if self.split_seed < 0:
            raise InputError(f"split_seed is {self.split_seed}; a number from 0 on is accepted.")


@dataclass(frozen=True)
class Part:
    """Some rows of a table.

    Args:
        table: The table.
        rows: Their numbers in the table, in its order.
        inputs: What is encoded: texts or pictures.
        targets: The label (a text) or the value (a number) of each.
    """

    table: Table
    rows: NDArray[np.int64]
    inputs: list[Any]
    targets: list[Any]

    def where(self, i: int) -> str:
        """Tell where the i-th of the rows comes from: "faq.jsonl, row 12"."""
        return self.table.where(int(self.rows[i]))


@dataclass(frozen=True)
class SplitData:
    """Rows to fit on and rows to test on; made by :func:`open_split`.

    Args:
        train: Rows to fit on.
        test: Rows to test on.
        name: What messages and results call it.
        fingerprint: Digest of both parts and of how they were made.
        how: What was done, for the settings of a result.
        seed: Seed of what is held out of ``train`` to choose a setting.
    """

    train: Part
    test: Part
    name: str
    fingerprint: str
    how: Mapping[str, Any]
    seed: int


def open_split(
    data: Rows | Table,
    *,
    columns: Sequence[Column],
    train: Rows | Table | None = None,
    test_share: float = 0.2,
    split_seed: int = 0,
    rename: Mapping[str, str] | None = None,
    bad_rows: BadRows = "error",
) -> SplitData:
    """Open what a model on frozen vectors is fitted to and tested on.

    Args:
        data: What ``open_table`` opens: the test, or everything where there is no ``train``.
        columns: ``LABELLED_COLUMNS`` or ``VALUED_COLUMNS``.
        train: Rows to fit on. Without them a part of ``data`` is held out: drawn from the distinct texts, class by
            class for labels, so that no text is on both sides and every class is on both.
        test_share: Share that is held out, in (0, 1).
        split_seed: Seed of what is held out.
        rename: The source's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".

    Raises:
        InputError: A row is bad, there is one class only, a label of the test is never in train, a class has too few
            different texts to be split, or all values to fit on are equal.

    Example:
        >>> rows = [{"text": f"text {i}", "label": i % 2} for i in range(10)]
        >>> split = open_split(rows, columns=LABELLED_COLUMNS)
        >>> len(split.train.inputs), len(split.test.inputs)
        (8, 2)
    """
    target = columns[-1]
    table = open_table(data, columns=columns, rename=rename, bad_rows=bad_rows)
    whole = _part(table, target.name, np.arange(len(table)))
    if train is None:
        classes = whole.targets if target.kind is Label else [""] * len(whole.targets)
        if target.kind is Label:
            _two_classes(whole, table.name)
        held = held_out_rows(whole.inputs, classes, test_share, split_seed, name=table.name)
        fit, test = (_part(table, target.name, np.flatnonzero(chosen)) for chosen in (~held, held))
        name, digest = table.name, f"{table.fingerprint} {test_share} {split_seed}"
        how = {"split": "held out", "test_share": test_share, "split_seed": split_seed}
    else:
        other = open_table(train, columns=columns, rename=rename, bad_rows=bad_rows)
        fit, test = _part(other, target.name, np.arange(len(other))), whole
        name, digest = table.name, f"{other.fingerprint} {table.fingerprint}"
        how = {"split": "given", "train": other.name, "split_seed": split_seed}
    if target.kind is Label:
        _two_classes(fit, fit.table.name)
        _known_labels(fit, test)
    elif len(set(fit.targets)) < 2:
        raise InputError(
            f"{fit.table.name}: all {len(fit.targets)} values to fit on are equal ({fit.targets[0]:g}); values that "
            f"differ are needed. Check the column '{target.name}'."
        )
    both = len(set(input_keys(fit.inputs)).intersection(input_keys(test.inputs)))
    how |= {"train_rows": len(fit.inputs), "test_rows": len(test.inputs), "texts_in_both": both}
    fingerprint = hashlib.sha256(f"{how['split']} {digest}".encode()).hexdigest()
    return SplitData(fit, test, name, fingerprint, how, split_seed)


def input_column(table: Table) -> str:
    """Return the column of a table that is encoded: ``image`` where rows bring one, else ``text``."""
    return "image" if "image" in table.column_names else "text"


def input_noun(table: Table) -> str:
    """Return what messages and results call the inputs of a table."""
    return "pictures" if input_column(table) == "image" else "texts"


def inputs_of(table: Table, rows: Sequence[int] | NDArray[np.int64] | None = None) -> list[Any]:
    """Return what is encoded of a table opened with :data:`INPUT_COLUMNS`: texts, or pictures.

    Args:
        table: The table.
        rows: Numbers of rows; None: all.
    """
    return table.values(input_column(table), rows)


def input_keys(inputs: Sequence[Any]) -> list[str]:
    """Return what tells inputs apart and puts them in an order: a text itself, the digest of a picture's file."""
    return [one.digest() if isinstance(one, StoredImage) else one for one in inputs]


def held_out_rows(
    inputs: Sequence[Any],
    classes: Sequence[str],
    share: float,
    *seed: int,
    name: str = "data",
    every_class: bool = True,
) -> NDArray[np.bool_]:
    """Choose rows to hold out, class by class, so that rows of one text stay together.

    Args:
        inputs: Text or picture of each row.
        classes: Class of each row; that of a text which occurs several times is the one of its first row.
        share: Share of the distinct texts of each class, in (0, 1); rounded, at least one and not all of them.
        seed: Seed of the draw.
        name: What a message calls the data.
        every_class: Whether a class of one text is an error; else it is not held out.

    Returns:
        bool ``[rows]``, True where held out.

    Raises:
        InputError: A class has a single text (with ``every_class``), or there is nothing that can be held out.
    """
    texts = input_keys(inputs)
    by_class: dict[str, list[str]] = {}
    seen: set[str] = set()
    for text, one in zip(texts, classes, strict=True):
        if text not in seen:
            seen.add(text)
            by_class.setdefault(one, []).append(text)
    random = np.random.default_rng(seed)
    held: set[str] = set()
    for one in sorted(by_class):  # whatever the order of the rows, the classes draw in the same order
        members = sorted(by_class[one])
        if len(members) < 2:
            if every_class:
                whose = f"class '{one}' has a single text" if one else "there is a single text"
                raise InputError(
                    f"{name}: {whose}, so it cannot be both fitted on and tested; at least 2 different texts are "
                    "accepted. Add some, or leave it out."
                )
            continue
        number = min(max(round(share * len(members)), 1), len(members) - 1)
        held.update(members[i] for i in random.permutation(len(members))[:number])
    if not held:
        raise InputError(
            f"{name}: every class has a single text, so none can be held out; at least one class with 2 different "
            "texts is needed. Add rows."
        )
    return np.array([text in held for text in texts])


def _part(table: Table, target: str, rows: NDArray[np.int64]) -> Part:
    return Part(table, rows, inputs_of(table, rows), table.values(target, rows))


def _two_classes(part: Part, name: str) -> None:
    if len(set(part.targets)) < 2:
        raise InputError(
            f"{name}: all {len(part.targets)} rows have the label '{part.targets[0]}'; at least 2 classes are needed. "
            "Check the column 'label'."
        )


def _known_labels(train: Part, test: Part) -> None:
    known = set(train.targets)
    for i, label in enumerate(test.targets):
        if label not in known:
            raise InputError(
                f"{test.where(i)}: the label '{label}' is in no row to fit on, so it can never be found; every label "
                f"of the test is needed in {train.table.name}. Add rows with it there, or leave it out."
            )
