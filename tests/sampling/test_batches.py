"""The plan: every row once an epoch, equal keys apart, each batch a function of the seed and its number alone."""

import itertools
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.sampling import BatchPlan, PlannedBatch, RowKeys
from likewise.sampling.packing import HELD_BACK

keys_of_rows = st.lists(st.lists(st.integers(0, 8), max_size=3), min_size=2, max_size=40)


@st.composite
def plans(draw, with_keys=True):
    min_rows = draw(st.integers(1, 4))
    batch_size = draw(st.integers(min_rows, 9))
    seed = draw(st.integers(0, 5))
    if with_keys:
        keys = draw(keys_of_rows.filter(lambda keys: len(keys) >= min_rows))
        return BatchPlan(len(keys), batch_size, seed=seed, min_rows=min_rows, keys=keys), keys
    num_rows = draw(st.integers(min_rows, 60))
    return BatchPlan(num_rows, batch_size, seed=seed, min_rows=min_rows), [[] for _ in range(num_rows)]


def epoch_of(plan, epoch):
    """The batches of an epoch; none where the plan says that none can be made."""
    try:
        first = sum(plan.steps_in(earlier) for earlier in range(epoch))
        return list(itertools.islice(plan.batches(first), plan.steps_in(epoch)))
    except InputError:
        return []


@given(plans(), st.integers(0, 2))
def test_every_row_comes_once_an_epoch_or_is_reported(made, epoch):
    plan, keys = made
    batches = epoch_of(plan, epoch)
    if batches:
        rows = [row for batch in batches for row in batch.rows]
        assert sorted(rows + plan.left_out(epoch)) == list(range(len(keys)))


@given(plans(), st.integers(0, 2))
def test_rows_that_share_a_key_never_share_a_batch(made, epoch):
    plan, keys = made
    for batch in epoch_of(plan, epoch):
        several = [key for row in batch.rows for key in set(keys[row])]
        assert len(several) == len(set(several))


@given(plans(), st.integers(0, 2))
def test_batches_are_full_but_for_the_last_ones(made, epoch):
    plan, keys = made
    sizes = [len(batch.rows) for batch in epoch_of(plan, epoch)]
    assert all(plan.min_rows <= size < plan.batch_size + max(plan.min_rows, len(keys)) for size in sizes)
    apart = max((sum(key in row for row in keys) for key in range(9)), default=0)
    assert sum(size != plan.batch_size for size in sizes) <= max(1, apart) + HELD_BACK


@given(plans(), st.integers(0, 30))
def test_resuming_gives_the_rest_of_the_same_sequence(made, start):
    plan, keys = made
    try:
        whole = list(itertools.islice(plan.batches(), start + 6))
    except InputError:
        return
    assert list(itertools.islice(plan.batches(start), 6)) == whole[start:]
    again = BatchPlan(len(keys), plan.batch_size, seed=plan.seed, min_rows=plan.min_rows, keys=keys)
    assert list(itertools.islice(again.batches(start), 6)) == whole[start:]
    assert [batch.index for batch in whole] == list(range(start + 6))


@given(plans(with_keys=False), st.integers(0, 3))
def test_without_keys_all_batches_but_the_last_are_full_and_nothing_is_left_out(made, epoch):
    plan, keys = made
    sizes = [len(batch.rows) for batch in epoch_of(plan, epoch)]
    assert sizes[:-1] == [plan.batch_size] * (len(sizes) - 1)
    assert plan.min_rows <= sizes[-1] < plan.batch_size + plan.min_rows
    assert sum(sizes) == len(keys)
    assert len(sizes) == plan.steps_per_epoch
    assert plan.left_out(epoch) == []


@given(plans(with_keys=False))
def test_keys_that_nobody_shares_change_nothing(made):
    plan, keys = made
    own = [[i, -i - 1, i] for i in range(len(keys))]
    keyed = BatchPlan(len(keys), plan.batch_size, seed=plan.seed, min_rows=plan.min_rows, keys=own)
    assert list(itertools.islice(keyed.batches(), 9)) == list(itertools.islice(plan.batches(), 9))


@given(keys_of_rows)
def test_only_shared_keys_are_kept(rows):
    owners = {key: sum(key in row for row in rows) for row in rows for key in row}
    shared = RowKeys.of(rows).only_shared()
    assert [sorted(keys) for keys in shared] == [sorted({key for key in row if owners[key] > 1}) for row in rows]


def test_the_remainder_is_a_batch_where_it_is_large_enough():
    sizes = [len(batch.rows) for batch in itertools.islice(BatchPlan(10, 4, seed=0).batches(), 3)]
    assert sizes == [4, 4, 2]


def test_a_smaller_remainder_joins_the_batch_before_it():
    sizes = [len(batch.rows) for batch in itertools.islice(BatchPlan(9, 4, seed=0).batches(), 2)]
    assert sizes == [4, 5]


def test_fewer_rows_than_a_batch_are_one_batch():
    assert [len(batch.rows) for batch in itertools.islice(BatchPlan(3, 8, seed=0).batches(), 2)] == [3, 3]


def test_epochs_and_seeds_have_orders_of_their_own():
    def order(seed, epoch):
        return epoch_of(BatchPlan(50, 10, seed=seed), epoch)[0].rows

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 0) == order(0, 0)


def test_rows_are_plain_numbers():
    batch = next(BatchPlan(4, 2, seed=0).batches())
    assert isinstance(batch, PlannedBatch)
    assert all(type(row) is int for row in batch.rows)


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_a_text_that_recurs_in_many_rows_takes_one_place_in_each_batch(share):
    frequent = int(4000 * share)
    keys = [[0] if i < frequent else [i] for i in range(4000)]
    plan = BatchPlan(4000, 32, seed=0, keys=keys)
    counts = [sum(row < frequent for row in batch.rows) for batch in epoch_of(plan, 0)]
    assert max(counts) == 1
    assert sum(counts) + sum(row < frequent for row in plan.left_out(0)) == frequent
    assert len(plan.left_out(0)) == max(0, frequent - len(counts))
    assert sum(len(batch.rows) != 32 for batch in epoch_of(plan, 0)) <= HELD_BACK


def test_rows_without_a_place_are_told_once_and_listed(caplog):
    keys = [[0] if i < 10 else [i] for i in range(20)]
    plan = BatchPlan(20, 5, seed=0, keys=keys)
    with caplog.at_level(logging.WARNING):
        list(itertools.islice(plan.batches(), 30))
    left = plan.left_out(0)
    assert left
    assert left == sorted(left)
    assert [record.getMessage() for record in caplog.records] == [
        f"{len(left)} of 20 rows share a text with so many others that they have no place in a batch of epoch 0"
    ]


def test_a_row_that_waits_at_the_end_joins_one_of_the_last_batches():
    keys = [[i // 2] for i in range(60)]
    for seed in range(30):
        plan = BatchPlan(60, 6, seed=seed, keys=keys)
        assert plan.left_out(0) == []
        assert sum(len(batch.rows) for batch in epoch_of(plan, 0)) == 60


def test_rows_that_all_share_a_key_are_refused():
    plan = BatchPlan(6, 3, seed=0, keys=[[1]] * 6)
    with pytest.raises(
        InputError, match=r"^no batch of 2 rows can be made: all 6 rows share a text, and rows that do are"
    ):
        next(plan.batches())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batch_size": 1}, r"batch_size must be >= min_rows \(2\), got 1"),
        ({"min_rows": 0}, "min_rows must be >= 1, got 0"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"keys": [[1]]}, "keys must hold the keys of 9 rows, got those of 1"),
        ({"num_rows": 1}, "there are 1 rows, and a batch needs at least 2; give more data"),
    ],
)
def test_numbers_out_of_their_range_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        BatchPlan(**{"num_rows": 9, "batch_size": 4, "seed": 0, **arguments})


def test_the_time_is_near_linear_however_often_a_key_recurs():
    """Counted in looks at a row's keys, not in seconds."""
    looks = 0

    class Counting(BatchPlan):
        def _keys_of(self, row):
            nonlocal looks
            looks += 1
            return super()._keys_of(row)

    draw = np.random.default_rng(0)
    keys = np.minimum(draw.zipf(1.3, size=(20_000, 2)), 2000).tolist()
    plan = Counting(20_000, 64, seed=0, keys=keys)
    plan.steps_in(0)
    assert looks <= 20_000 + len(plan.left_out(0)) + 64 * HELD_BACK


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(0, 3))
def test_each_epoch_is_a_permutation_of_all_rows(batch_size, epoch):
    plan = BatchPlan(200, batch_size, seed=3, min_rows=1)
    rows = [row for batch in epoch_of(plan, epoch) for row in batch.rows]
    assert sorted(rows) == list(range(200))
