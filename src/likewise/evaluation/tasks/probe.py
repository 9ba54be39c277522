"""Linear probe: how well a linear classifier on the frozen vectors tells labels apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from likewise.data.split_data import (
    LABELLED_COLUMNS,
    SplitData,
    SplitSettings,
    held_out_rows,
    input_noun,
    open_split,
)
from likewise.errors import InputError
from likewise.evaluation.classification import CLASSIFICATION_METRICS, classification_figures
from likewise.evaluation.definition import Definition
from likewise.evaluation.linear import fitted_classifier, standardised
from likewise.evaluation.result import Result
from likewise.evaluation.sweep import HELD_OUT_SHARE
from likewise.evaluation.vectors import class_numbers, unit_vectors
from likewise.settings import build_settings

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "ProbeSettings", "open_labelled_split", "probe"]


@dataclass(frozen=True)
class ProbeSettings:
    """How the classifier is fitted."""

    max_iterations: int = 1000
    """Most iterations of L-BFGS for one fit, >= 1 (CLIP: 1000)."""
    standardise: bool = False
    """Bring each number of the vectors to mean 0 and deviation 1 first; where numbers differ much in size."""

    def __post_init__(self) -> None:
        if self.max_iterations < 1:
            raise InputError(f"max_iterations is {self.max_iterations}; at least 1 is accepted. Leave it at 1000.")


def open_labelled_split(data: Any, **options: Any) -> SplitData:
    """Open texts with labels, to fit on and to test on; see :func:`likewise.data.open_split`.

    Args:
        data: Rows of ``text`` and ``label`` in anything that ``open_table`` reads.
        **options: ``train``, ``test_share``, ``split_seed``, ``rename``, ``bad_rows``.
    """
    return open_split(data, columns=LABELLED_COLUMNS, **options)


def probe(
    embedder: Embedder,
    data: SplitData,
    *,
    max_iterations: int = ProbeSettings.max_iterations,
    standardise: bool = ProbeSettings.standardise,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Fit a logistic regression to the vectors of the training rows and test it.

    ``min_w  sum_i -log softmax(W x_i + b)[y_i] + |W|^2 / (2 C)`` with unit vectors ``x_i``. ``C`` is found by a sweep
    from 1e-6 to 1e6 on a fifth of the *training* rows (:func:`likewise.evaluation.sweep.best_exponent`), by accuracy
    and, where that is equal, by likelihood; then the classifier is fitted anew to all of them. The test rows
    take no part in it.

    The vectors are not standardised unless asked for: the field fits to the vectors as they are (CLIP, SentEval), since
    what a linear reader of the model would see is what is measured, and the sweep covers any scale.

    Args:
        embedder: The model; texts are encoded with no role.
        data: Texts with labels to fit on and to test on (:func:`open_labelled_split`).
        max_iterations: Most iterations of one fit; reaching it is in the settings as ``converged: False``.
        standardise: Bring each number of the unit vectors to mean 0 and deviation 1 over the training rows.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals over test rows; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``accuracy`` (the one to quote) and ``macro_f1``, in [0, 1].

    Raises:
        InputError: No class has two different texts to fit on, or a vector is zero or not finite.

    Cost: Up to 16 fits of O(N D classes) an iteration.
    Source: Radford et al. 2021, CLIP, arXiv 2103.00020, appendix A.3.
    """
    build_settings(ProbeSettings, {"max_iterations": max_iterations, "standardise": standardise}, of="probe")
    train, test = data.train, data.test
    classes = sorted(set(train.targets))
    vectors = unit_vectors(
        embedder, [*train.inputs, *test.inputs], name=data.name, batch_size=batch_size, precision=precision,
        progress=progress,
    ).numpy()  # fmt: skip
    x, x_test = vectors[: len(train.inputs)], vectors[len(train.inputs) :]
    if standardise:
        x, x_test = standardised(x, x_test, name=data.name)
    y, y_test = (np.array(class_numbers(part.targets, classes)) for part in (train, test))
    held = held_out_rows(
        train.inputs, train.targets, HELD_OUT_SHARE, data.seed, 1, name=train.table.name, every_class=False
    )

    model, exponent = fitted_classifier(
        x, y, held, num_classes=len(classes), max_iterations=max_iterations, name=train.table.name
    )
    return Result.of(
        "probe",
        embedder,
        data,
        settings={
            **data.how,
            "classes": len(classes),
            "C": 10**-exponent,
            "max_iterations": max_iterations,
            "converged": bool((model.n_iter_ < max_iterations).all()),
            "standardise": standardise,
        },
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        **classification_figures(
            y_test, model.predict(x_test), bootstrap=bootstrap, seed=seed, items=input_noun(data.test.table)
        ),
    )


DEFINITION = Definition(
    columns=LABELLED_COLUMNS,
    metrics=CLASSIFICATION_METRICS,
    open=open_labelled_split,
    measure=probe,
    opening=SplitSettings,
    settings=ProbeSettings,
)
