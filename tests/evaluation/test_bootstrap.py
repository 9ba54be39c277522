"""Replicates without sorting are those of scipy on the drawn items, and intervals cover what they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from likewise.evaluation import bootstrap


def drawn_items(num_items: int, replicates: int, *seed: int) -> list[np.ndarray]:
    """The items of each replicate, from the same draws."""
    random = np.random.default_rng(seed)
    return [random.integers(0, num_items, num_items) for _ in range(replicates)]


@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 1000))
def test_replicates_of_a_mean_are_means_of_drawn_items(num_items, replicates, seed):
    values = np.random.default_rng(seed).normal(size=(num_items, 2))
    expected = [values[items].mean(axis=0) for items in drawn_items(num_items, replicates, seed)]
    np.testing.assert_allclose(bootstrap.mean_replicates(values, replicates, seed), expected, rtol=1e-9, atol=1e-12)


@given(st.integers(3, 25), st.integers(0, 1000), st.booleans())
def test_replicates_of_a_correlation_are_those_of_scipy_with_ties(num_items, seed, ties):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=num_items), random.normal(size=num_items)
    if ties:
        x, y = np.round(x), np.round(y)
    got = bootstrap.correlation_replicates(x, y, 20, seed, 3)
    for replicate, items in zip(got, drawn_items(num_items, 20, seed, 3), strict=True):
        if np.ptp(x[items]) == 0 or np.ptp(y[items]) == 0:
            assert np.isnan(replicate).all()
            continue
        assert replicate[0] == pytest.approx(stats.spearmanr(x[items], y[items]).statistic, abs=1e-9)
        assert replicate[1] == pytest.approx(stats.pearsonr(x[items], y[items]).statistic, abs=1e-7)


def test_the_draws_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    whole = bootstrap.correlation_replicates(x, y, 40, 7)
    monkeypatch.setattr(bootstrap, "_CELLS", 170)
    np.testing.assert_allclose(bootstrap.correlation_replicates(x, y, 40, 7), whole, rtol=1e-12)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        values = random.exponential(size=(60, 1))
        low, high = bootstrap.interval(bootstrap.mean_replicates(values, 400, trial)[:, 0])
        covered += low <= 1.0 <= high
    assert 0.88 <= covered / 200 <= 0.98


def test_undefined_replicates_are_left_out():
    assert bootstrap.interval(np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)
    assert np.isnan(bootstrap.interval(np.array([np.nan]))).all()


def test_value_and_replicates_of_a_statistic_come_from_one_definition():
    values = np.array([[1.0, 0.0], [2.0, 5.0], [6.0, 4.0]])
    both = bootstrap.measured(bootstrap.mean_statistic(values), ("a", "b"), 3, 30, 5)
    assert both.metrics == {"a": 3.0, "b": 3.0}
    drawn = bootstrap.mean_replicates(values, 30, 5)
    for column, name in enumerate(("a", "b")):
        np.testing.assert_array_equal(both.replicates[name], drawn[:, column])
        assert both.intervals[name] == bootstrap.interval(drawn[:, column])
    none = bootstrap.measured(bootstrap.mean_statistic(values), ("a", "b"), 3, 0, 5)
    assert (none.metrics, none.intervals, none.replicates) == (both.metrics, {}, {})


def test_the_draws_depend_on_the_number_of_items_and_the_seed_alone():
    first, second = np.random.default_rng(0).normal(size=(2, 30, 1))
    apart = bootstrap.mean_replicates(second, 50, 4) - bootstrap.mean_replicates(first, 50, 4)
    np.testing.assert_allclose(apart, bootstrap.mean_replicates(second - first, 50, 4), rtol=1e-9, atol=1e-12)
