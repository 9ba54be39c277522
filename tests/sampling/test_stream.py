"""Batches of a table that is read anew each time."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.data import Column, Text, open_table
from likewise.errors import InputError
from likewise.sampling import StreamPlan, plan_batches

COLUMNS = [Column("text", Text), Column("negative", Text, required=False, many=True)]


def streamed(rows):
    return open_table(
        [row if isinstance(row, dict) else {"text": row} for row in rows], columns=COLUMNS, streaming=True
    )


def epoch_of(plan, epoch):
    return list(itertools.takewhile(lambda b: b.epoch == epoch, (b for b in plan.batches() if b.epoch >= epoch)))


cases = st.fixed_dictionaries(
    {"num_rows": st.integers(2, 60), "batch_size": st.integers(2, 9), "buffer_rows": st.integers(1, 70)}
    | {"seed": st.integers(0, 3)}
)


@settings(max_examples=60)
@given(cases, st.integers(0, 2))
def test_every_row_comes_once_an_epoch_with_its_contents(case, epoch):
    table = streamed([f"row {i}" for i in range(case.pop("num_rows"))])
    batches = epoch_of(StreamPlan(table, **case), epoch)
    rows = [row for batch in batches for row in batch.rows]
    assert sorted(rows) == list(range(len(list(table))))
    assert [row["text"] for batch in batches for row in batch.contents] == [f"row {i}" for i in rows]


@settings(max_examples=60)
@given(cases, st.integers(0, 25))
def test_resuming_gives_the_rest_of_the_same_sequence(case, start):
    table = streamed([f"row {i % 20}" for i in range(case.pop("num_rows"))])

    def plan():
        return StreamPlan(table, **case, keep_apart=("text",))

    try:
        whole = list(itertools.islice(plan().batches(), start + 4))
    except InputError:
        return
    assert list(itertools.islice(plan().batches(start), 4)) == whole[start:]
    used = plan()
    list(itertools.islice(used.batches(), start + 4))
    assert list(itertools.islice(used.batches(start), 4)) == whole[start:]


def test_equal_texts_are_kept_apart_within_and_across_columns():
    rows = [{"text": "a", "negative": ["x", "B"]}, "b ", "c", "A", {"text": "d", "negative": ["c"]}, "e", "f", "g"]
    plan = plan_batches(streamed(rows), 3, seed=0, keep_apart=("text", "negative", "title"))
    for batch in itertools.islice(plan.batches(), 12):
        for one, other in ((0, 1), (0, 3), (2, 4)):
            assert not {one, other} <= set(batch.rows)


def test_a_large_buffer_shuffles_all_and_a_small_one_mixes_neighbours():
    table = streamed([f"row {i}" for i in range(400)])

    def furthest(buffer_rows):
        rows = [
            row for batch in epoch_of(StreamPlan(table, 8, seed=0, buffer_rows=buffer_rows), 0) for row in batch.rows
        ]
        return max(row - place for place, row in enumerate(rows))

    assert furthest(1) == 0
    assert 0 < furthest(10) <= 10
    assert furthest(400) > 200


def test_the_number_of_batches_is_known_after_an_epoch():
    plan = StreamPlan(streamed([f"row {i}" for i in range(20)]), 8, seed=0)
    assert plan.steps_per_epoch is None
    assert plan.left_out(0) is None
    list(itertools.islice(plan.batches(), 4))
    assert (plan.steps_per_epoch, plan.left_out(0)) == (3, [])


def test_rows_without_a_place_are_told_and_listed(caplog):
    plan = StreamPlan(streamed(["same"] * 6 + ["b", "c"]), 4, seed=0, keep_apart=("text",))
    list(itertools.islice(plan.batches(), 3))
    assert len(plan.left_out(0)) == 5
    assert "5 rows share a text with so many others" in caplog.text


def test_too_few_rows_are_refused():
    with pytest.raises(
        InputError, match=r"^no batch of 2 rows can be made of rows: it has too few rows, or all of them"
    ):
        next(StreamPlan(streamed(["one"]), 4, seed=0).batches())


def test_a_buffer_without_room_is_refused():
    with pytest.raises(ValueError, match="buffer_rows must be >= 1, got 0"):
        StreamPlan(streamed(["one", "two"]), 2, seed=0, buffer_rows=0)
