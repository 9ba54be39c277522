"""How good scores of pairs are, against the labels that people gave the pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from likewise.data import Column, Label, Text, open_table
from likewise.errors import InputError
from likewise.evaluation.bootstrap import Floats, Measured, correlation_replicates, measured
from likewise.evaluation.classification import CLASSIFICATION_METRICS, classification_figures

if TYPE_CHECKING:
    from likewise.encoders import CrossEncoder
    from likewise.losses import PairTask

__all__ = ["PAIR_COLUMNS", "PAIR_METRICS", "labelled_pairs", "pair_figures"]

PAIR_COLUMNS = (
    Column("a", Text, help="one text of the pair"),
    Column("b", Text, help="the other text"),
    Column("label", Label, help="0 or 1, the name of a class, or a number"),
)
"""What a row of labelled pairs must bring."""

PAIR_METRICS = {
    "binary": ("accuracy", "f1"),
    "classes": CLASSIFICATION_METRICS,
    "regression": ("spearman", "pearson"),
}
"""What pairs of each task are measured by, the one to quote first."""


def pair_figures(
    task: PairTask, scores: Tensor, target: list[float], *, bootstrap: int = 1000, seed: int = 0
) -> Measured:
    """Measure the scores of pairs.

    Args:
        task: What the scores say.
        scores: ``[n, C]``.
        target: Labels as ``PairTask.target`` gives them, ``n`` of them.
        bootstrap: Replicates of the 95 % intervals over pairs; 0: none.
        seed: Seed of the replicates.

    Returns:
        binary: ``accuracy`` and the ``f1`` of the yes; classes: ``accuracy`` and ``macro_f1``; regression: ``spearman``
        and ``pearson``.

    Raises:
        InputError: A correlation has fewer than 3 pairs, or one side is constant.

    Example:
        >>> import torch
        >>> from likewise.losses import PairTask
        >>> scores = torch.tensor([[2.0], [-1.0], [0.5], [-3.0]])
        >>> pair_figures(PairTask.of("binary"), scores, [1.0, 1.0, 1.0, 0.0], bootstrap=0).metrics
        {'accuracy': 0.75, 'f1': 0.8}
    """
    names = PAIR_METRICS[task.kind]
    answers = task.answers(scores).numpy().astype(np.float64)
    truth = np.asarray(target, dtype=np.float64)
    if task.kind == "regression":
        from scipy.stats import pearsonr, spearmanr

        for side, values in (("labels", truth), ("scores", answers)):
            if len(values) < 3 or np.all(values == values[0]):
                raise InputError(f"a correlation needs 3 pairs or more whose {side} differ; give more rows.")
        correlations = (float(spearmanr(truth, answers).statistic), float(pearsonr(truth, answers)[0]))
        figures = dict(zip(names, correlations, strict=True))
        return Measured.of(figures, correlation_replicates(truth, answers, bootstrap, seed) if bootstrap else None)
    if task.kind == "classes":
        found = classification_figures(truth.astype(np.int64), answers.astype(np.int64), bootstrap=bootstrap, seed=seed)
        return Measured(found["metrics"], found["intervals"], found["replicates"])
    right, hit = (truth == answers).astype(np.float64), truth * answers

    def statistic(counts: Floats) -> Floats:
        either = counts @ (truth + answers)
        f1 = np.where(either > 0, 2 * (counts @ hit) / np.where(either > 0, either, 1.0), 0.0)
        return np.stack([counts @ right / len(right), f1], axis=1)

    return measured(statistic, names, len(right), bootstrap, seed)


def labelled_pairs(
    task: PairTask, data: Any, rename: Mapping[str, str] | None = None
) -> Callable[[CrossEncoder], dict[str, float]]:
    """Open labelled pairs once, to measure any number of models on them.

    Args:
        task: What is scored.
        data: Rows of :data:`PAIR_COLUMNS` in anything that ``open_table`` reads.
        rename: The file's name of a column by ours, where they differ.

    Returns:
        From a model to its figures, as :func:`pair_figures` names them.

    Raises:
        InputError: A row is bad, or a label is none of the task.
    """
    table = open_table(data, columns=PAIR_COLUMNS, rename=rename)
    pairs = list(zip(table.column("a").to_pylist(), table.column("b").to_pylist(), strict=True))
    target, _ = task.targets(table.column("label").to_pylist(), table.where)
    return lambda model: pair_figures(task, model.score(pairs), target, bootstrap=0).metrics
