"""The ridge probe against scikit-learn and scipy, and the shot regions by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from evaluation.labelled import drawn_items, reader, unit, vector_texts
from likewise.errors import InputError
from likewise.evaluation import get_task, regression
from likewise.evaluation.tasks.regression import open_valued_split


def valued(seed, rows):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, 4))
    return vectors, unit(vectors) @ [1.0, 2.0, -1.0, 0.5] * 5 + random.normal(size=rows) * 0.3


def rows_of(vectors, values):
    return [{"text": t, "value": float(v)} for t, v in zip(vector_texts(vectors), values, strict=True)]


TRAIN, TEST = valued(0, 80), valued(1, 40)
SPLIT = open_valued_split(rows_of(*TEST), train=rows_of(*TRAIN))


def expected_errors(alpha):
    model = Ridge(alpha=alpha).fit(unit(TRAIN[0]), TRAIN[1])
    predicted = model.predict(unit(TEST[0]))
    return predicted, np.abs(predicted - TEST[1])


def test_figures_and_replicates_are_those_of_scikit_learn_and_scipy():
    result = regression(reader(4), SPLIT, bootstrap=15, seed=3)
    predicted, errors = expected_errors(result.settings["alpha"])
    np.testing.assert_allclose(result.per_item["mae"], errors, rtol=1e-6)
    for name, of in (
        ("mae", lambda rows: errors[rows].mean()),
        ("gm", lambda rows: stats.gmean(errors[rows])),
        ("pearson", lambda rows: stats.pearsonr(predicted[rows], TEST[1][rows]).statistic),
    ):
        assert result.metrics[name] == pytest.approx(of(np.arange(40)), rel=1e-6)
        expected = [of(items) for items in drawn_items(40, 15, 3)]
        np.testing.assert_allclose(result.replicates[name], expected, rtol=1e-6)


def test_regions_count_the_training_rows_in_the_bin_of_a_value():
    values = [0.5] * 4 + [1.5] * 2 + [2.5]  # three in a bin are many, one is few
    train = rows_of(np.random.default_rng(0).normal(size=(7, 4)), values)
    test = rows_of(np.random.default_rng(1).normal(size=(5, 4)), [0.1, 0.9, 1.2, 2.9, 7.0])
    split = open_valued_split(test, train=train)
    result = regression(reader(4), split, many_above=3, few_below=2, bootstrap=30)
    errors = result.per_item["mae"]
    assert result.metrics["mae_many"] == pytest.approx(errors[:2].mean())
    assert result.metrics["mae_medium"] == pytest.approx(errors[2])
    assert result.metrics["mae_few"] == pytest.approx(errors[3:].mean())
    assert result.metrics["gm_few"] == pytest.approx(stats.gmean(errors[3:]))
    assert [result.settings[f"test_rows_{one}"] for one in ("many", "medium", "few")] == [2, 1, 2]
    assert np.isnan(result.replicates["mae_medium"]).any()  # a replicate may hold no row of a region
    assert np.isfinite(result.intervals["mae_medium"]).all()
    wide = regression(reader(4), split, bin_width=100.0, many_above=6, few_below=2, bootstrap=0)
    assert wide.settings["test_rows_many"] == 5
    assert "mae_few" not in wide.metrics


def test_an_error_of_nothing_counts_as_the_floor():
    from likewise.evaluation.tasks.regression import _statistic

    errors = np.array([0.0, 1.0])
    names, statistic = _statistic(errors, np.array([1.0, 3.0]), np.array([1.0, 2.0]), {})
    assert names == ["mae", "gm", "pearson"]
    assert statistic(np.ones((1, 2)))[0] == pytest.approx([0.5, 1e-5, 1.0])


def test_the_order_of_the_rows_and_the_test_do_not_change_the_strength():
    shuffled = open_valued_split(rows_of(*TEST)[::-1], train=rows_of(*TRAIN)[::-1])
    a, b = regression(reader(4), SPLIT, bootstrap=0), regression(reader(4), shuffled, bootstrap=0)
    assert a.metrics == pytest.approx(b.metrics, rel=1e-9)
    assert a.settings["alpha"] == b.settings["alpha"]


def test_errors_are_known_to_be_better_when_low():
    task = get_task("regression")
    assert task.main_metric == "mae"
    assert task.best_metric == "pearson"
    assert {"mae", "gm", "mae_few"} <= task.lower_is_better


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bin_width": 0}, "bin_width is 0; a number above 0"),
        ({"few_below": 50, "many_above": 20}, "the regions must not overlap"),
    ],
)
def test_settings_that_mean_nothing_are_said(options, says):
    with pytest.raises(InputError, match=says):
        regression(reader(4), SPLIT, **options)


def test_values_that_are_all_equal_are_said():
    equal = rows_of(TEST[0], [2.5] * 40)
    with pytest.raises(InputError, match=r"all 40 values to fit on are equal \(2.5\)"):
        open_valued_split(rows_of(*TEST), train=equal)
    with pytest.raises(InputError, match=r"all 40 values to test on are equal \(2.5\)"):
        open_valued_split(equal, train=rows_of(*TRAIN))
