"""Zero-shot classification: how well the names of the classes alone tell a text's label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import normalize

from likewise import pairwise
from likewise.data import Column, Label, Table, Text, open_table
from likewise.data.checking import BadRows
from likewise.errors import InputError, nearest
from likewise.evaluation.classification import CLASSIFICATION_METRICS, classification_figures
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.evaluation.vectors import class_numbers, unit_vectors

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "ZeroShotData", "ZeroShotOpening", "ZeroShotSettings", "open_zero_shot", "zero_shot"]

TOP = 5
"""Where there are more classes than this, it is also measured how often the right one is among so many."""

TEXT_COLUMNS = (Column("text", Text, help="what is encoded"), Column("label", Label, help="the name of its class"))
"""What a row must bring; names of classes say nothing to a model that reads pictures alone."""
CLASS_COLUMNS = (Column("text", Label, help="name of a class"),)


@dataclass(frozen=True)
class ZeroShotOpening:
    """What the classes are called."""

    classes: str | Any = None
    """File with the name of a class a line (txt), or in a column `text`; the distinct labels where not given."""


@dataclass(frozen=True)
class ZeroShotSettings:
    """How a class is put into words."""

    templates: tuple[str, ...] = ("a text about {}.",)
    """Sentence in which {} stands for the name of a class; the vectors of several are averaged."""

    def __post_init__(self) -> None:
        if not self.templates:
            raise InputError("no template was given; give at least one, for example 'a text about {}.'.")
        for template in self.templates:
            if "{}" not in template:
                what = f"'{template}' has no {{}}" if template.strip() else "a template is empty"
                raise InputError(
                    f"{what}; {{}} stands for the name of a class. Write for example 'a text about {{}}.'."
                )


@dataclass(frozen=True)
class ZeroShotData:
    """Texts with labels, and the classes they may have; made by :func:`open_zero_shot`."""

    table: Table
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the table is called."""
        return self.table.name

    @property
    def fingerprint(self) -> str:
        """Digest of texts, labels and classes."""
        return hashlib.sha256(repr((self.table.fingerprint, self.classes)).encode()).hexdigest()


def open_zero_shot(
    data: Any, *, classes: Any = None, rename: Mapping[str, str] | None = None, bad_rows: BadRows = "error"
) -> ZeroShotData:
    """Open texts with labels, and the names of the classes.

    Args:
        data: Rows of ``text`` and ``label`` in anything that ``open_table`` reads.
        classes: Names of the classes, or a file of them; the distinct labels where not given.
        rename: The file's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".

    Raises:
        InputError: A row is bad, there is one class only, a class is named twice, or a label is no class.
    """
    table = open_table(data, columns=TEXT_COLUMNS, rename=rename, bad_rows=bad_rows)
    labels = table.column("label").to_pylist()
    if classes is None:
        names, whose = sorted(set(labels)), f"{table.name}, column 'label'"
    elif isinstance(classes, str | Path):
        listed = open_table(classes, columns=CLASS_COLUMNS)
        names, whose = listed.column("text").to_pylist(), listed.name
    else:
        names, whose = [str(one).strip() for one in classes], "classes"
    repeated = next((one for i, one in enumerate(names) if one in names[:i]), None)
    if repeated is not None:
        raise InputError(f"{whose}: the class '{repeated}' stands twice; name each class once.")
    if len(names) < 2:
        raise InputError(
            f"{whose}: there is one class only ('{''.join(names)}'); at least 2 are needed to choose from."
        )
    known = set(names)
    for i, label in enumerate(labels):
        if label not in known:
            guess = nearest(label, names)
            hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(names[:10])}."
            raise InputError(f"{table.where(i)}: the label '{label}' is none of the classes of {whose}; {hint}")
    return ZeroShotData(table, tuple(names))


def zero_shot(
    embedder: Embedder,
    data: ZeroShotData,
    *,
    templates: Sequence[str] = ZeroShotSettings.templates,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Give each text the class whose description lies nearest; no labelled text is used.

    ``vector[c] = normalise(mean over templates of normalise(encode(template with c)))``; a text has the class with the
    highest cosine, of equal ones the first.

    Args:
        embedder: The model; texts and descriptions are encoded with no role.
        data: Texts, labels and classes (:func:`open_zero_shot`).
        templates: Sentences in which ``{}`` stands for the name of a class.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals over texts; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``accuracy`` (the one to quote), ``macro_f1``, and ``top5`` where there are more than 5 classes; in [0, 1].

    Raises:
        InputError: A template is empty or has no ``{}``, or a vector is zero or not finite.

    Source: Radford et al. 2021, CLIP, arXiv 2103.00020, section 3.1.4 (templates are averaged in the space of vectors).
    """
    templates = ZeroShotSettings(tuple(templates)).templates
    texts, labels = (data.table.column(name).to_pylist() for name in ("text", "label"))
    described = [template.replace("{}", name) for name in data.classes for template in templates]
    vectors = unit_vectors(
        embedder, [*described, *texts], name=data.name, batch_size=batch_size, precision=precision, progress=progress
    )
    means = vectors[: len(described)].view(len(data.classes), len(templates), -1).mean(dim=1)
    if bool((means.norm(dim=1) < 1e-9).any()):
        name = data.classes[int((means.norm(dim=1) < 1e-9).nonzero()[0])]
        raise InputError(
            f"{data.name}: the vectors of the templates for class '{name}' cancel out, so it has no direction; use "
            "other templates."
        )
    top = min(TOP, len(data.classes))
    ranked = pairwise.topk(vectors[len(described) :], normalize(means, dim=1), top)[1]
    truth = np.array(class_numbers(labels, data.classes))
    among = (ranked == torch.from_numpy(truth)[:, None]).any(dim=1).double().numpy()
    return Result.of(
        "zero_shot",
        embedder,
        data,
        settings={"classes": len(data.classes), "templates": tuple(templates)},
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        **classification_figures(
            truth,
            ranked[:, 0].numpy(),
            bootstrap=bootstrap,
            seed=seed,
            hits={"top5": among} if len(data.classes) > TOP else None,
        ),
    )


DEFINITION = Definition(
    columns=TEXT_COLUMNS,
    metrics=CLASSIFICATION_METRICS,
    open=open_zero_shot,
    measure=zero_shot,
    opening=ZeroShotOpening,
    settings=ZeroShotSettings,
)
