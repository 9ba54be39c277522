"""The search finds the peak of what has one peak, to an eighth of a decade."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.evaluation.sweep import COARSE, best_exponent


@given(st.floats(-6, 6))
def test_the_peak_is_found_to_an_eighth_of_a_decade(peak):
    tried = []

    def score(exponent):
        tried.append(exponent)
        return -abs(exponent - peak)

    assert best_exponent(score) == pytest.approx(peak, abs=0.125)
    assert len(tried) == len(set(tried)) <= 15
    assert all(COARSE[-1] <= one <= COARSE[0] for one in tried)


def test_of_equal_ones_the_strongest_regularisation_and_of_tuples_the_next_value_count():
    assert best_exponent(lambda exponent: 1.0) == 6.0
    assert best_exponent(lambda exponent: (1.0, -abs(exponent + 2))) == -2.0
