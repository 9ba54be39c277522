"""Pair classification: how well a threshold on the cosine tells pairs that belong together from pairs that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from likewise.data import Column, Label, Table, Text, open_table
from likewise.data.checking import BadRows
from likewise.errors import InputError
from likewise.evaluation.bootstrap import LEVEL, Floats, mean_result, measured
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.evaluation.vectors import unit_vectors

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "PAIR_COLUMNS", "PAIR_METRICS", "best_f1", "open_pairs", "pair_classification"]

PAIR_COLUMNS = (
    Column("sentence1", Text, help="one side"),
    Column("sentence2", Text, help="the other side"),
    Column("label", Label, help="1 where the two belong together, 0 where they do not"),
    Column("domain", Label, required=False, all_or_none=True, help="domain that both are encoded for, of a model with "
                                                                   "domains"),
)  # fmt: skip
"""What a row must bring, and may bring."""

PAIR_METRICS = ("f1", "precision", "recall", "threshold", "average_precision", "positive_cosine", "negative_cosine")
"""What is measured, the one to quote first."""


def open_pairs(data: Any, *, rename: Mapping[str, str] | None = None, bad_rows: BadRows = "error") -> Table:
    """Open pairs that do or do not belong together.

    Args:
        data: Rows of ``sentence1``, ``sentence2`` and ``label`` in anything that ``open_table`` reads.
        rename: The file's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".

    Raises:
        InputError: A label is neither 0 nor 1, or all labels are equal: then any model is perfect.
    """
    table = open_table(data, columns=PAIR_COLUMNS, rename=rename, bad_rows=bad_rows)
    labels = table.column("label").to_pylist()
    for number, label in enumerate(labels):
        if label not in ("0", "1"):
            raise InputError(f"{table.where(number)}: label is '{label}'; 1 (they belong together) and 0 are accepted.")
    if len(set(labels)) < 2:
        raise InputError(
            f"{table.name}: all {len(labels)} labels are {labels[0]}; without pairs of the other kind there is nothing "
            "to tell apart. Give both kinds, as many of each."
        )
    return table


def pair_classification(
    embedder: Embedder,
    data: Any,
    *,
    rename: Mapping[str, str] | None = None,
    bad_rows: Literal["error", "skip"] = "error",
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Find the threshold on the cosine with the best F1, and say how good it is.

    Args:
        embedder: Encodes both sides, with no role; for their domain where rows say one.
        data: A table that :func:`open_pairs` returned, or what it opens.
        rename: The file's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals over pairs; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``f1`` (the best over all thresholds, the one to quote; 2/3 is trivial where half of the pairs belong together)
        with its ``precision``, ``recall`` and ``threshold``; ``average_precision``; the mean cosine of pairs that do
        and that do not belong together. With domains each is in ``parts``, with a threshold of its own, and the metrics
        are the means over domains.

    Raises:
        InputError: As :func:`open_pairs`; or a domain has labels of one kind, or the model does not know it.

    Source: F1max over a cosine threshold, arXiv 2401.15713.
    """
    table = data if isinstance(data, Table) else open_pairs(data, rename=rename, bad_rows=bad_rows)
    rows = table.rows(range(len(table)))
    settings = {"precision": precision, "bootstrap": bootstrap, "level": LEVEL, "seed": seed}
    fingerprint = embedder.fingerprint
    names = list(dict.fromkeys(row.get("domain") for row in rows))
    parts: dict[str | None, Result] = {}
    for number, domain in enumerate(names):
        own = [row for row in rows if row.get("domain") == domain]
        name = table.name if domain is None else f"{table.name} ({domain})"
        alike: NDArray[np.bool_] = np.array([row["label"] == "1" for row in own])
        if alike.all() or not alike.any():
            raise InputError(f"{name}: all {len(own)} labels are equal; give pairs of both kinds in every domain.")
        sides = [row[side] for side in ("sentence1", "sentence2") for row in own]
        vectors = unit_vectors(
            embedder if domain is None else _of_domain(embedder, domain),
            sides,
            name=name,
            batch_size=batch_size,
            precision=precision,
            progress=progress,
        )
        first, second = vectors.split(len(own))
        cosines: Floats = (first * second).sum(dim=1).numpy()
        statistic = _Statistic(cosines, alike)
        parts[domain] = Result(
            task="pair_classification",
            **vars(measured(statistic, PAIR_METRICS, len(own), bootstrap, seed, number)),
            num_items=len(own),
            items="pairs",
            data=name,
            data_fingerprint=table.fingerprint,
            model=embedder.name,
            model_fingerprint=fingerprint,
            settings=settings,
        )
    if len(parts) == 1:
        return next(iter(parts.values()))
    named = {str(name): part for name, part in parts.items()}
    return mean_result(named, data=table.name, fingerprint=table.fingerprint, items="domains")


def best_f1(scores: Sequence[float] | Floats, labels: Sequence[int] | NDArray[Any]) -> tuple[float, float]:
    """Return the best F1 over all thresholds, and the highest threshold that reaches it.

    Args:
        scores: Higher is more alike ``[n]``.
        labels: 1 or 0 ``[n]``, at least one of them 1.

    Example:
        >>> f1, threshold = best_f1([0.9, 0.8, 0.7, 0.4], [1, 1, 0, 1])
        >>> round(f1, 6), threshold
        (0.857143, 0.4)
    """
    values = _Statistic(np.asarray(scores, dtype=np.float64), np.asarray(labels) == 1)(np.ones((1, len(scores))))[0]
    return float(values[0]), float(values[PAIR_METRICS.index("threshold")])


class _Statistic:
    """The metrics as a function of how often each pair counts; scores are sorted once."""

    def __init__(self, scores: Floats, alike: NDArray[np.bool_]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.scores, self.alike = scores[self.order], alike[self.order].astype(np.float64)
        # A threshold takes all pairs of one score or none.
        self.last = np.flatnonzero(np.r_[self.scores[1:] != self.scores[:-1], True])

    def __call__(self, counts: Floats) -> Floats:
        drawn = counts[:, self.order]
        hits = np.cumsum(drawn * self.alike, axis=1)[:, self.last]
        said = np.cumsum(drawn, axis=1)[:, self.last]
        total = hits[:, -1:]
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw may hold no pair that belongs together: NaN
            precision, recall = hits / said, hits / total
            f1 = 2 * hits / (said + total)
            best = np.nan_to_num(f1, nan=-1.0).argmax(axis=1)
            rows = np.arange(len(counts))
            steps = np.diff(recall, axis=1, prepend=0.0)
            average = np.nansum(steps * np.nan_to_num(precision), axis=1)
            positive = (drawn * self.alike) @ self.scores / total[:, 0]
            negative = (drawn * (1 - self.alike)) @ self.scores / (drawn.sum(axis=1) - total[:, 0])
        columns = [f1[rows, best], precision[rows, best], recall[rows, best], self.scores[self.last][best], average,
                   positive, negative]  # fmt: skip
        return np.stack(columns, axis=1)


def _of_domain(embedder: Embedder, domain: str) -> Embedder:
    for_domain = getattr(embedder, "for_domain", None)
    if for_domain is None or not getattr(embedder, "domains", None):
        return embedder  # one model for all of them is what a model with domains is compared with
    found: Embedder = for_domain(domain)
    return found


DEFINITION = Definition(columns=PAIR_COLUMNS, metrics=PAIR_METRICS, open=open_pairs, measure=pair_classification)
