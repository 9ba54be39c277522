"""Regression: how well a linear model on the frozen vectors predicts a number, also where training rows are few."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from likewise.data.split_data import (
    VALUED_COLUMNS,
    SplitData,
    SplitSettings,
    held_out_rows,
    input_noun,
    open_split,
)
from likewise.errors import InputError
from likewise.evaluation.bootstrap import Floats, measured, weighted_correlation
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.evaluation.sweep import HELD_OUT_SHARE, best_exponent
from likewise.evaluation.vectors import unit_vectors
from likewise.settings import build_settings

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "GM_FLOOR", "REGIONS", "RegressionSettings", "open_valued_split", "regression"]

GM_FLOOR = 1e-10
"""Smallest absolute error that counts in the geometric mean, which a single error of 0 would make 0 (the official code
of Yang et al. 2021 puts 1e-10 in the place of 0)."""

REGIONS = ("many", "medium", "few")
"""Shot regions: how many training rows there are in the bin of a test row's value."""


@dataclass(frozen=True)
class RegressionSettings:
    """What the shot regions are."""

    bin_width: float = 1.0
    """Width of the bins in which training rows are counted, in units of the value, > 0 (ages in years: 1)."""
    many_above: int = 100
    """A bin with more training rows than this belongs to the many-shot region (paper: 100)."""
    few_below: int = 20
    """A bin with fewer training rows than this belongs to the few-shot region (paper: 20)."""

    def __post_init__(self) -> None:
        if not self.bin_width > 0:
            raise InputError(f"bin_width is {self.bin_width:g}; a number above 0 is accepted, as 1.")
        if not 0 <= self.few_below <= self.many_above + 1:
            raise InputError(
                f"few_below is {self.few_below} and many_above {self.many_above}; the regions must not overlap. Use "
                "for example 20 and 100."
            )


def open_valued_split(data: Any, **options: Any) -> SplitData:
    """Open texts with numbers, to fit on and to test on; see :func:`likewise.data.open_split`.

    Args:
        data: Rows of ``text`` and ``value`` in anything that ``open_table`` reads.
        **options: ``train``, ``test_share``, ``split_seed``, ``rename``, ``bad_rows``.

    Raises:
        InputError: As ``open_split``, or all values of the test are equal.
    """
    opened = open_split(data, columns=VALUED_COLUMNS, **options)
    values = opened.test.targets
    if len(set(values)) < 2:
        raise InputError(
            f"{opened.name}: all {len(values)} values to test on are equal ({values[0]:g}); a correlation needs values "
            "that differ. Give more rows, or a larger test_share."
        )
    return opened


def regression(
    embedder: Embedder,
    data: SplitData,
    *,
    bin_width: float = RegressionSettings.bin_width,
    many_above: int = RegressionSettings.many_above,
    few_below: int = RegressionSettings.few_below,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Fit a ridge regression to the vectors of the training rows and test it.

    ``min_w  sum_i (w x_i + b - y_i)^2 + 10^e |w|^2`` with unit vectors ``x_i``, not standardised; ``e`` is found by a
    sweep from -6 to 6 on a fifth of the *training* rows (:func:`likewise.evaluation.sweep.best_exponent`), by mean
    absolute error; then the model is fitted anew to all of them.

    Args:
        embedder: The model; texts are encoded with no role.
        data: Texts with numbers to fit on and to test on (:func:`open_valued_split`).
        bin_width: Width of the bins in which training rows are counted: bin ``floor(value / bin_width)``.
        many_above: A bin with more training rows is "many".
        few_below: A bin with fewer training rows is "few", also one without any; the others are "medium".
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals over test rows; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``mae`` (mean absolute error, the one to quote) and ``gm`` (geometric mean of the absolute errors, each at least
        1e-10), in units of the value, lower is better; ``pearson`` in [-1, 1]; and ``mae_few``, ``gm_few`` and so on
        for each shot region that has test rows. A replicate without a row of a region is undefined there.

    Raises:
        InputError: A vector is zero or not finite, or there are too few texts to choose the strength on.

    Source: Yang et al. 2021, Delving into Deep Imbalanced Regression, arXiv 2102.09554, section 4 (metrics, regions).
    """
    from sklearn.linear_model import Ridge

    regions_given = {"bin_width": bin_width, "many_above": many_above, "few_below": few_below}
    build_settings(RegressionSettings, regions_given, of="regression")
    train, test = data.train, data.test
    vectors = unit_vectors(
        embedder, [*train.inputs, *test.inputs], name=data.name, batch_size=batch_size, precision=precision,
        progress=progress,
    ).numpy()  # fmt: skip
    x, x_test = vectors[: len(train.inputs)], vectors[len(train.inputs) :]
    y, y_test = (np.array(part.targets, dtype=np.float64) for part in (train, test))
    held = held_out_rows(train.inputs, [""] * len(y), HELD_OUT_SHARE, data.seed, 1, name=train.table.name)

    def fitted(exponent: float, rows: Any) -> Any:
        return Ridge(alpha=10**exponent).fit(x[rows], y[rows])

    exponent = best_exponent(lambda one: -float(np.abs(fitted(one, ~held).predict(x[held]) - y[held]).mean()))
    predicted = fitted(exponent, slice(None)).predict(x_test)
    regions = _regions(y, y_test, bin_width, many_above, few_below)
    errors = np.abs(predicted - y_test)
    names, statistic = _statistic(errors, predicted, y_test, regions)
    return Result.of(
        "regression",
        embedder,
        data,
        settings={
            **data.how,
            "alpha": 10**exponent,
            **regions_given,
            "gm_floor": GM_FLOOR,
            "standardised": False,
            **{f"test_rows_{region}": int(chosen.sum()) for region, chosen in regions.items()},
        },
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        **vars(measured(statistic, names, len(errors), bootstrap, seed)),
        per_item={"mae": errors},
        num_items=len(errors),
        items=input_noun(data.test.table),
    )


def _regions(
    train: Floats, test: Floats, bin_width: float, many_above: int, few_below: int
) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return which test rows belong to each region."""
    rows_in = Counter(np.floor(train / bin_width).tolist())
    counts = np.array([rows_in[one] for one in np.floor(test / bin_width).tolist()])
    many, few = counts > many_above, counts < few_below
    return {"many": many, "medium": ~many & ~few, "few": few}


def _statistic(errors: Floats, predicted: Floats, truth: Floats, regions: Any) -> tuple[list[str], Any]:
    """Return the names of the metrics, and the metrics as a statistic."""
    logs = np.log(np.maximum(errors, GM_FLOOR))
    groups = {"": np.ones(len(errors), dtype=bool), **{f"_{one}": rows for one, rows in regions.items() if rows.any()}}
    names = ["mae", "gm", "pearson", *(f"{what}{one}" for one in groups if one for what in ("mae", "gm"))]
    x, y = predicted - predicted.mean(), truth - truth.mean()

    def statistic(counts: Floats) -> Floats:
        columns = []
        for rows in groups.values():
            drawn = counts[:, rows].sum(axis=1)
            number = np.where(drawn > 0, drawn, np.nan)
            columns += [counts[:, rows] @ errors[rows] / number, np.exp(counts[:, rows] @ logs[rows] / number)]
        columns.insert(2, weighted_correlation(counts, x, y))
        return np.stack(columns, axis=1)

    return names, statistic


DEFINITION = Definition(
    columns=VALUED_COLUMNS,
    metrics=("mae", "gm", "pearson"),
    open=open_valued_split,
    measure=regression,
    opening=SplitSettings,
    settings=RegressionSettings,
    lower_is_better=frozenset({"mae", "gm", *(f"{what}_{region}" for what in ("mae", "gm") for region in REGIONS)}),
)
