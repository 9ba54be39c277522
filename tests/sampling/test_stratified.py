"""Batches with rows of every group: shares, passes, and that a run can begin anywhere."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.sampling import StratifiedPlan


@given(st.integers(2, 20), st.integers(2, 20), st.integers(4, 9), st.integers(0, 3))
def test_every_batch_has_some_of_both_and_begins_anywhere(few, many, batch_size, seed):
    groups = np.repeat([0, 1], [few, many])
    plan = StratifiedPlan(groups, ["a", "b"], batch_size, seed=seed, least=2)
    batches = list(itertools.islice(plan.batches(), 12))
    seen = set()
    for batch in batches:
        assert min(Counter(groups[batch.rows].tolist()).get(group, 0) for group in (0, 1)) >= 2
        assert len(set(batch.rows)) == len(batch.rows)
        assert not {(batch.epoch, row) for row in batch.rows} & seen  # a row that comes again has other views
        seen |= {(batch.epoch, row) for row in batch.rows}
    assert list(itertools.islice(plan.batches(5), 7)) == batches[5:]


def test_halves_alternate_and_all_rows_come_before_any_comes_again():
    groups = np.arange(12) % 2
    plan = StratifiedPlan(groups, ["a", "b"], 4, seed=0)
    batches = list(itertools.islice(plan.batches(), 3))
    assert plan.steps_per_epoch == 3
    assert sorted(row for batch in batches for row in batch.rows) == list(range(12))
    assert [groups[batch.rows].tolist() for batch in batches] == [[0, 1, 0, 1]] * 3


def test_what_cannot_be_mixed_is_said():
    with pytest.raises(InputError, match="'a' alone"):
        StratifiedPlan(np.zeros(5, dtype=np.int64), ["a"], 4, seed=0)
    with pytest.raises(InputError, match="'b' has 1 row"):
        StratifiedPlan(np.array([0, 0, 1]), ["a", "b"], 4, seed=0, least=2)
    with pytest.raises(InputError, match="batch_size is 3"):
        StratifiedPlan(np.array([0, 0, 1, 1]), ["a", "b"], 3, seed=0, least=2)
