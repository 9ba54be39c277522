"""Cutting a test off a labelled table and making the rest harder: a long tail, few labels, unknown classes.

Rows are drawn by their numbers: each is placed by a digest of the seed and its number. So the same seed makes the same
split of the same file on every machine, and of a file whose rows stand in another order another one. Draws are nested:
the rows of a longer tail are among those of a shorter one, and 4 labels a class among 8.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.data.checking import BadRows
from likewise.data.classes import in_class_order
from likewise.data.columns import Column, Image, Label
from likewise.data.opening import Rows, open_table
from likewise.data.readers import rows_at_once
from likewise.data.table import Table
from likewise.errors import InputError, RunError, unknown
from likewise.versions import installed_versions

__all__ = [
    "LabelledSplit",
    "SplitPlan",
    "drawn_order",
    "few_labels",
    "hold_out",
    "long_tailed",
    "open_world",
    "split",
]

T = TypeVar("T")

Decline = Literal["exponential", "linear"]

COLUMNS = (Column("label", Label), Column("image", Image, required=False))
TRUE_LABEL = "true_label"
"""Column of a written split: the label that the source has, where ``label`` may be hidden."""
SOURCE_ROW = "source_row"
"""Column of a written split: number of the row in the source's table, from 0."""
WRITTEN_ROWS = 4096


def drawn_order(things: Sequence[T], seed: str) -> list[T]:
    """Return things in an order drawn from a seed, the same on every machine for ever.

    Each thing is placed by the digest of the seed and its text, so one more or less moves no other.

    Example:
        >>> drawn_order(range(5), "a"), drawn_order([4, 3, 1], "a")
        ([1, 3, 4, 2, 0], [1, 3, 4])
    """
    return sorted(things, key=lambda one: hashlib.sha256(f"{seed} {one}".encode()).digest())


def hold_out(labels: Sequence[str], share: float, *, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold a share of each class out.

    Args:
        labels: Class of each row.
        share: Share of each class, in [0, 1): rounded, at least one row and not all of them; a class of one row stays.
            0 holds nothing out.
        seed: Seed of the draw.

    Returns:
        Numbers of the rows that stay, and of those that are held out, both ascending.

    Raises:
        InputError: The share is outside its range.

    Example:
        >>> train, test = hold_out(["a"] * 5 + ["b"] * 2, 0.2)
        >>> len(train), len(test)
        (5, 2)
    """
    if not 0 <= share < 1:
        raise InputError(f"test_share is {share}; a share from 0 (no test) to below 1 is accepted, as 0.2.")
    held: set[int] = set()
    for rows in _by_class(labels, seed, "test").values():
        held.update(rows[: min(max(round(share * len(rows)), 1), len(rows) - 1)] if share else ())
    return _ascending(set(range(len(labels))) - held), _ascending(held)


def long_tailed(
    labels: Sequence[str],
    imbalance: float,
    *,
    seed: int = 0,
    min_rows: int = 1,
    head_rows: int | None = None,
    order: str | Sequence[str] = "sorted",
    decline: Decline = "exponential",
) -> NDArray[np.int64]:
    """Choose rows so that the sizes of the classes fall off, from a large head to a small tail.

    The class in place c of C (from 0) keeps ``head_rows * f`` rows, rounded down, and at least ``min_rows``; a class
    that has fewer keeps all it has. With ``x = c / (C - 1)``, f is ``imbalance^-x`` (exponential) or
    ``1 - x (1 - 1 / imbalance)`` (linear).

    Args:
        labels: Class of each row.
        imbalance: How many times as large the first class is as the last, >= 1 (usual: 10, 50, 100).
        seed: Seed of the draw of rows, and of the order where it is drawn.
        min_rows: Fewest rows of a class, >= 1.
        head_rows: Rows of the first class; default those of the largest class.
        order: Which classes are first: "sorted" by their names (numbers by size), "drawn", or all of them listed.
        decline: How sizes fall off.

    Returns:
        Numbers of the rows that are kept, ascending.

    Raises:
        InputError: A setting is outside its range, there are fewer than two classes, or ``order`` does not list them.

    Source: Cui, Jia, Lin, Song and Belongie 2019, "Class-Balanced Loss", arXiv 1901.05555 (long-tailed CIFAR); Zheng et
        al. 2023 (CACR), arXiv 2105.03746 (linear).

    Example:
        >>> labels = [str(i % 3) for i in range(300)]
        >>> sorted(Counter(labels[i] for i in long_tailed(labels, 100)).items())
        [('0', 100), ('1', 10), ('2', 1)]
    """
    if not imbalance >= 1 or math.isinf(imbalance):
        raise InputError(f"imbalance is {imbalance}; a number from 1 on is accepted (usual: 10, 50, 100).")
    if decline not in get_args(Decline):
        raise unknown("decline", decline, get_args(Decline))
    _at_least_one(min_rows=min_rows, head_rows=head_rows)
    of_class = _by_class(labels, seed, "tail")
    classes = _ordered(list(of_class), order, seed)
    if len(classes) < 2:
        raise InputError(f"all rows have the label '{labels[0]}'; a long tail needs at least 2 classes.")
    most = head_rows or max(map(len, of_class.values()))
    kept: set[int] = set()
    for place, name in enumerate(classes):
        x = place / (len(classes) - 1)
        share = imbalance**-x if decline == "exponential" else 1 - x * (1 - 1 / imbalance)
        size = math.floor(most * share + 1e-9)  # 99.99... is 100
        kept.update(of_class[name][: max(size, min_rows)])
    return _ascending(kept)


def few_labels(
    labels: Sequence[str], *, share: float | None = None, per_class: int | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Choose the rows that keep their labels.

    Args:
        labels: Class of each row.
        share: Share of each class, in (0, 1]: rounded, at least one row; or
        per_class: number of rows of each class, >= 1; a class that has fewer keeps all.
        seed: Seed of the draw.

    Returns:
        Their numbers, ascending. With neither, all rows.

    Raises:
        InputError: Both are given, or one is outside its range.

    Example:
        >>> labels = ["a"] * 10 + ["b"] * 20
        >>> len(few_labels(labels, share=0.1)), len(few_labels(labels, per_class=4))
        (3, 8)
    """
    if share is not None and per_class is not None:
        raise InputError(f"labelled_share {share} and per_class {per_class} both say how many labels stay; give one.")
    if share is not None and not 0 < share <= 1:
        raise InputError(f"labelled_share is {share}; a share above 0 and up to 1 is accepted, as 0.1.")
    _at_least_one(per_class=per_class)
    chosen: set[int] = set()
    for rows in _by_class(labels, seed, "labels").values():
        chosen.update(rows[: per_class or (len(rows) if share is None else max(round(share * len(rows)), 1))])
    return _ascending(chosen)


def open_world(
    labels: Sequence[str],
    known: int | Sequence[str],
    *,
    labelled_share: float | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Choose the rows that keep their labels where only some classes are known.

    All other rows, of known and unknown classes, are the unlabelled mixture.

    Args:
        labels: Class of each row.
        known: The known classes, or how many are, the first by their names (numbers by size).
        labelled_share: As ``share`` of :func:`few_labels`, of the known classes; default all their rows.
        per_class: As there.
        seed: Seed of the draw.

    Returns:
        Their numbers, ascending.

    Raises:
        InputError: There is no such class, fewer classes than ``known``, or a setting is outside its range.

    Example:
        >>> labels = ["cat", "dog", "emu", "dog"]
        >>> open_world(labels, 2).tolist(), open_world(labels, ["emu"]).tolist()
        ([0, 1, 3], [2])
    """
    names = set(_known(labels, known))
    chosen = few_labels(labels, share=labelled_share, per_class=per_class, seed=seed)
    return chosen[[labels[i] in names for i in chosen.tolist()]] if len(chosen) else chosen


@dataclass(frozen=True)
class SplitPlan:
    """What :func:`split` does, in this order: a test, a long tail of the rest, labels that are hidden."""

    test_share: float = 0.2
    """Share of each class that is held out for the test, in [0, 1); 0: no test."""
    imbalance: float = 1.0
    """How many times as large the first class of the training rows is as the last, >= 1; 1: as they are."""
    head_rows: int | None = None
    """Rows of the first class of a long tail; default those of the largest class."""
    min_rows: int = 1
    """Fewest rows of a class of a long tail, >= 1."""
    order: str | Sequence[str] = "sorted"
    """Which classes of a long tail are large: "sorted" by name, "drawn", or all of them, the largest first."""
    decline: Decline = "exponential"
    """How the sizes of a long tail fall off: exponential or linear."""
    known: int | Sequence[str] | None = None
    """The classes that are known, or how many (the first by name): rows of others have no label. Default: all."""
    labelled_share: float | None = None
    """Share of the training rows of each known class that keep their label, in (0, 1]; default all."""
    per_class: int | None = None
    """Number of training rows of each known class that keep their label, >= 1, instead of a share."""
    seed: int = 0
    """Seed of every draw, >= 0."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; a number from 0 on is accepted.")
        if self.imbalance == 1 and self.tail.keys() & self.given.keys():
            raise InputError(
                "head_rows, min_rows, order and decline say how a long tail falls off, and there is none; give "
                "imbalance too (usual: 10, 50, 100), or leave them out."
            )

    @property
    def tail(self) -> dict[str, Any]:
        """How the long tail falls off, as :func:`long_tailed` takes it."""
        return {name: getattr(self, name) for name in ("head_rows", "min_rows", "order", "decline")}

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not the defaults, by name."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


@dataclass(frozen=True)
class LabelledSplit:
    """Rows to train on and rows to test on; made by :func:`split`.

    Args:
        table: The source's rows.
        train: Numbers of the rows to train on, ascending, int64.
        test: Numbers of the rows to test on, ascending, int64.
        has_label: Of each row of ``train``, whether its label is shown; bool.
        how: What was done: settings, seed, rows of each class before and after, fingerprint, versions.
    """

    table: Table
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    has_label: NDArray[np.bool_]
    how: Mapping[str, Any]

    @property
    def labels(self) -> list[str | None]:
        """The labels of ``train``, None where hidden."""
        known = self.table.column("label").take(self.train).to_pylist()
        return [name if shown else None for name, shown in zip(known, self.has_label, strict=True)]

    def write(self, out: str | Path) -> None:
        """Write ``train.parquet``, ``test.parquet`` (where there is a test) and ``split.json`` into a new folder.

        Each file has the source's columns, ``label`` (missing where it is hidden), ``true_label`` and ``source_row``.
        Pictures that the source names stay where they are; the files name them too.

        Raises:
            InputError: The folder exists and is not empty.
            RunError: It cannot be written.
        """
        folder = Path(out)
        check_new_folder(folder)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:
                made = Path(unfinished) / "split"
                made.mkdir()
                self._write_part(made / "train.parquet", self.train, self.has_label)
                if len(self.test):
                    self._write_part(made / "test.parquet", self.test, np.ones(len(self.test), dtype=bool))
                text = json.dumps(self.how, ensure_ascii=False, indent=1)
                (made / "split.json").write_text(text + "\n", encoding="utf-8")
                made.rename(folder)
        except OSError as error:
            raise RunError(
                f"{folder} cannot be written ({error.strerror or error}); make room, or give another folder."
            ) from error

    def _write_part(self, path: Path, rows: NDArray[np.int64], shown: NDArray[np.bool_]) -> None:
        from pyarrow import parquet

        at_once = rows_at_once(self.table.num_bytes, len(self.table), WRITTEN_ROWS)
        writer: Any = None
        try:
            for start in range(0, len(rows), at_once):
                chosen, visible = rows[start : start + at_once], shown[start : start + at_once]
                part = self.table.arrow(chosen.tolist())
                columns = {name: part.column(name) for name in part.column_names}
                true = columns["label"]
                columns |= {
                    "label": pa.array(true.to_pylist(), type=pa.string(), mask=~visible),
                    TRUE_LABEL: true,
                    SOURCE_ROW: pa.array(chosen),
                }
                block = pa.table(columns)
                writer = writer or parquet.ParquetWriter(path, block.schema)
                writer.write_table(block)
        finally:
            if writer is not None:
                writer.close()


def split(
    data: Rows | Table,
    *,
    out: str | Path | None = None,
    plan: SplitPlan | None = None,
    rename: Mapping[str, str] | None = None,
    bad_rows: BadRows = "error",
    **settings: Any,
) -> LabelledSplit:
    """Split a labelled table: a test, and training rows with a long tail, few labels or unknown classes.

    Args:
        data: What ``open_table`` opens, with a column ``label``. A column ``image`` holds pictures.
        out: New folder for ``train.parquet``, ``test.parquet`` and ``split.json``; nothing is written without.
        plan: What is done; or
        **settings: the fields of :class:`SplitPlan`: ``test_share=0.2``, ``imbalance=100``, ``per_class=4`` ...
        rename: The source's name of a column by ours, where they differ: ``{"label": "species"}``.
        bad_rows: "error" or "skip".

    Raises:
        InputError: A row is bad, a setting is outside its range, or ``out`` is there already.
        RunError: ``out`` cannot be written.

    Example:
        >>> rows = [{"text": str(i), "label": i % 2} for i in range(100)]
        >>> made = split(rows, imbalance=10, labelled_share=0.5)
        >>> len(made.test), len(made.train), int(made.has_label.sum())
        (20, 44, 22)
        >>> made.how["classes"]["1"]
        {'before': 50, 'train': 4, 'labelled': 2, 'test': 10}
    """
    if plan is not None and settings:
        raise TypeError("split takes a plan or its fields, not both")
    plan = plan or SplitPlan(**settings)
    if out is not None:
        check_new_folder(Path(out))
    table = open_table(data, columns=COLUMNS, rename=rename, bad_rows=bad_rows)
    labels: list[str] = table.column("label").to_pylist()
    train, test = hold_out(labels, plan.test_share, seed=plan.seed)
    if plan.imbalance != 1:
        own = [labels[i] for i in train.tolist()]
        train = train[long_tailed(own, plan.imbalance, seed=plan.seed, **plan.tail)]
    own = [labels[i] for i in train.tolist()]
    shares: dict[str, Any] = {"per_class": plan.per_class, "seed": plan.seed}
    if plan.known is None:
        shown = few_labels(own, share=plan.labelled_share, **shares)
    else:
        shown = open_world(own, plan.known, labelled_share=plan.labelled_share, **shares)
    has_label = np.zeros(len(own), dtype=bool)
    has_label[shown] = True
    counts = [Counter(labels), Counter(own), Counter(own[i] for i in shown), Counter(labels[i] for i in test)]
    names = ("before", "train", "labelled", "test")
    how: dict[str, Any] = {
        "command": _command(data, out, plan, rename, bad_rows),
        "settings": plan.given,
        "seed": plan.seed,
        "source": table.name,
        "fingerprint": table.fingerprint,
        "rejected": table.rejected,
        "rows": {name: count.total() for name, count in zip(names, counts, strict=True)},
        "classes": {
            one: {name: count[one] for name, count in zip(names, counts, strict=True)}
            for one in in_class_order(counts[0])
        },
        "versions": installed_versions("pyarrow"),
    }
    if plan.known is not None:
        how["known"] = _known(own, plan.known)
    made = LabelledSplit(table, train, test, has_label, how)
    if out is not None:
        made.write(out)
    return made


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        InputError: As said.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists; give another folder, or remove it first.")


def _command(
    data: Rows | Table, out: str | Path | None, plan: SplitPlan, rename: Mapping[str, str] | None, bad_rows: str
) -> str | None:
    """Write the command that does the same; None where the rows come from Python."""
    if not isinstance(data, str | Path):
        return None
    words = ["likewise", "split", str(data), "--out", str(out or "FOLDER")]
    for name, value in plan.given.items():
        listed = ",".join(value) + ("," if len(value) == 1 else "") if isinstance(value, list) else str(value)
        words += [f"--{name.replace('_', '-')}", listed]
    if rename:
        words += ["--columns", *(f"{ours}={theirs}" for ours, theirs in rename.items())]
    if bad_rows != "error":
        words += ["--bad-rows", bad_rows]
    return shlex.join(words)


def _by_class(labels: Sequence[str], seed: int, purpose: str) -> dict[str, list[int]]:
    """Return the rows of each class, each in a drawn order."""
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(labels):
        rows.setdefault(name, []).append(i)
    return {name: drawn_order(own, f"likewise split {purpose} {seed}") for name, own in rows.items()}


def _ordered(classes: Sequence[str], order: str | Sequence[str], seed: int) -> list[str]:
    if order == "sorted":
        return in_class_order(classes)
    if order == "drawn":
        return drawn_order(in_class_order(classes), f"likewise split order {seed}")
    if isinstance(order, str):
        raise InputError(f"order is '{order}'; 'sorted', 'drawn' or a list of all classes is accepted.")
    for name in order:
        if name not in classes:
            raise unknown("class in order", name, classes)
    absent = [name for name in in_class_order(classes) if name not in order]
    if absent or len(set(order)) < len(order):
        wrong = f"lacks '{absent[0]}'" if absent else "names a class twice"
        raise InputError(f"order {wrong}; each of the {len(classes)} classes is needed once.")
    return list(order)


def _known(labels: Sequence[str], known: int | Sequence[str]) -> list[str]:
    classes = in_class_order(set(labels))
    if isinstance(known, int):
        if not 1 <= known <= len(classes):
            raise InputError(f"known is {known}; a number from 1 to {len(classes)} (all classes) is accepted.")
        return classes[:known]
    for name in known:
        if name not in classes:
            raise unknown("class in known", name, classes)
    if not known:
        raise InputError("known is empty; at least one class is needed.")
    return in_class_order(set(known))


def _at_least_one(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise InputError(f"{name} is {number}; a number from 1 on is accepted.")


def _ascending(rows: set[int] | Iterator[int]) -> NDArray[np.int64]:
    return np.array(sorted(rows), dtype=np.int64)
