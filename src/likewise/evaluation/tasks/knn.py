"""Nearest neighbours: how well the nearest labelled texts vote for a text's label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from likewise import pairwise
from likewise.data.split_data import LABELLED_COLUMNS, SplitData, SplitSettings, input_noun
from likewise.errors import InputError
from likewise.evaluation.classification import CLASSIFICATION_METRICS, classification_figures
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.evaluation.tasks.probe import open_labelled_split
from likewise.evaluation.vectors import class_numbers, unit_vectors
from likewise.settings import build_settings

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "KNNSettings", "knn"]

_CELLS = 4_000_000
"""Votes (a row, a class) held at a time."""


@dataclass(frozen=True)
class KNNSettings:
    """Who votes, and how."""

    k: int = 20
    """Neighbours that vote, >= 1 and at most the rows to fit on (DINO: 20)."""
    vote: Literal["weighted", "majority"] = "weighted"
    """weighted: a neighbour counts exp(cosine / temperature); majority: each counts one."""
    temperature: float = 0.07
    """Divisor of the cosines in the weighted vote, > 0 (Wu et al. 2018: 0.07)."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}; at least 1 is accepted, as 20.")
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature:g}; a number above 0 is accepted, as 0.07.")


def knn(
    embedder: Embedder,
    data: SplitData,
    *,
    k: int = KNNSettings.k,
    vote: Literal["weighted", "majority"] = KNNSettings.vote,
    temperature: float = KNNSettings.temperature,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Let the k nearest training rows by cosine vote for the label of each test row; nothing is fitted.

    ``score[c] = sum over the k nearest with label c of exp(cosine / temperature)``, or of 1 in the majority vote; the
    highest wins, and of equal ones the label that comes first in alphabetical order.

    Args:
        embedder: The model; texts are encoded with no role.
        data: Texts with labels to vote and to be voted on (``probe.open_labelled_split``).
        k: Neighbours that vote.
        vote: "weighted" or "majority".
        temperature: Divisor of the cosines in the weighted vote.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals over test rows; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``accuracy`` (the one to quote) and ``macro_f1``, in [0, 1].

    Raises:
        InputError: There are fewer than k rows to vote, or a vector is zero or not finite.

    Cost: O((N + M) D + N k) memory, O(N M D) time: scores exist one tile at a time.
    Source: Wu et al. 2018, arXiv 1805.01978, section 3.4; Caron et al. 2021, DINO, arXiv 2104.14294, appendix F.1.
    """
    given = {"k": k, "vote": vote, "temperature": temperature}
    build_settings(KNNSettings, given, of="knn")
    train, test = data.train, data.test
    if k > len(train.inputs):
        raise InputError(
            f"k is {k}, but {train.table.name} has {len(train.inputs)} rows to vote; at most as many are accepted. Use "
            "a smaller k, or give more rows."
        )
    classes = sorted(set(train.targets))
    vectors = unit_vectors(
        embedder, [*train.inputs, *test.inputs], name=data.name, batch_size=batch_size, precision=precision,
        progress=progress,
    ).float()  # fmt: skip
    voters, asked = vectors[: len(train.inputs)], vectors[len(train.inputs) :]
    cosines, nearest = (one.numpy() for one in pairwise.topk(asked, voters, k))
    labels = np.array(class_numbers(train.targets, classes))
    if vote == "weighted":  # relative to the nearest, so that a small temperature does not overflow
        weights = np.exp((cosines.astype(np.float64) - cosines[:, :1]) / temperature)
    else:
        weights = np.ones(cosines.shape)
    predicted = _winners(labels[nearest], weights, len(classes))
    return Result.of(
        "knn",
        embedder,
        data,
        settings={**data.how, "classes": len(classes), **given},
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        **classification_figures(
            class_numbers(test.targets, classes),
            predicted,
            bootstrap=bootstrap,
            seed=seed,
            items=input_noun(data.test.table),
        ),
    )


def _winners(labels: NDArray[np.int64], weights: NDArray[np.float64], num_classes: int) -> NDArray[np.int64]:
    """Return the class with most votes for every row, some rows at a time."""
    winners = []
    at_a_time = max(1, _CELLS // num_classes)
    for start in range(0, len(labels), at_a_time):
        some, weight = labels[start : start + at_a_time], weights[start : start + at_a_time]
        cells = some + np.arange(len(some))[:, None] * num_classes
        votes = np.bincount(cells.ravel(), weight.ravel(), minlength=len(some) * num_classes)
        winners.append(votes.reshape(len(some), num_classes).argmax(axis=1))
    return np.concatenate(winners)


DEFINITION = Definition(
    columns=LABELLED_COLUMNS,
    metrics=CLASSIFICATION_METRICS,
    open=open_labelled_split,
    measure=knn,
    opening=SplitSettings,
    settings=KNNSettings,
)
