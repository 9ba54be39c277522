"""Batches of one group: what each holds, how groups follow each other, and that a run can begin anywhere."""

import itertools
import logging
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.data import Column, Label, Text, open_table
from likewise.errors import InputError
from likewise.sampling import BatchLoader, Grouping, GroupPlan, groups_of, plan_batches
from likewise.views import Batch


@st.composite
def plans(draw, **fixed):
    sizes = draw(st.lists(st.integers(2, 14), min_size=1, max_size=4))
    groups = np.array(draw(st.permutations(np.repeat(np.arange(len(sizes)), sizes).tolist())))
    keyed = fixed.pop("keyed", draw(st.booleans()))
    keys = draw(st.lists(st.lists(st.integers(0, 30), max_size=2), min_size=len(groups), max_size=len(groups)))
    arguments = {
        "batch_size": draw(st.integers(2, 6)),
        "seed": draw(st.integers(0, 5)),
        "exponent": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "in_turn": draw(st.booleans()),
        "keys": keys if keyed else None,
    }
    return groups, arguments | fixed


def plan_of(made):
    groups, arguments = made
    return GroupPlan(groups, [str(number) for number in range(groups.max() + 1)], **arguments)


def first(plan, number, start=0):
    """Some batches; none where rows that share keys leave no batch to be made."""
    try:
        return list(itertools.islice(plan.batches(start), number))
    except InputError as error:
        if "share a text" not in str(error):
            raise
        return []


@given(plans())
def test_all_rows_of_a_batch_are_of_its_group(made):
    groups, arguments = made
    for batch in first(plan_of(made), 20):
        assert {str(groups[row]) for row in batch.rows} == {batch.group}
        assert len(batch.rows) == len(set(batch.rows)) >= 2
        assert all(type(row) is int for row in batch.rows)
        if arguments["keys"]:
            shared = [key for row in batch.rows for key in set(arguments["keys"][row])]
            assert len(shared) == len(set(shared))


@given(plans(), st.integers(0, 25))
def test_resuming_gives_the_rest_of_the_same_sequence(made, start):
    whole = first(plan_of(made), start + 6)
    if whole:
        assert first(plan_of(made), 6, start) == whole[start:]
        assert [batch.index for batch in whole] == list(range(start + 6))


@given(plans(exponent=1.0, in_turn=False), st.integers(0, 2))
def test_with_exponent_one_an_epoch_goes_once_through_all_rows(made, epoch):
    groups, _ = made
    plan = plan_of(made)
    if first(plan, 1):
        begin = sum(plan.steps_in(earlier) for earlier in range(epoch))
        batches = first(plan, plan.steps_in(epoch), begin)
        assert {batch.epoch for batch in batches} == {epoch}
        rows = [row for batch in batches for row in batch.rows]
        assert sorted(rows + plan.left_out(epoch)) == list(range(len(groups)))


@given(plans(keyed=False))
def test_a_group_goes_through_all_its_rows_before_any_comes_again(made):
    groups, arguments = made
    for group in range(groups.max() + 1):
        passes: dict[int, list[int]] = {}
        sizes = []
        batches = [batch for batch in first(plan_of(made), 60) if batch.group == str(group)]
        for batch in batches:
            passes.setdefault(batch.epoch, []).extend(batch.rows)
            sizes.append((batch.epoch, len(batch.rows)))
        assert list(passes) == list(range(len(passes)))
        for number in list(passes)[:-1]:  # the last may not be over
            assert sorted(passes[number]) == np.flatnonzero(groups == group).tolist()
            *full, last = [size for epoch, size in sizes if epoch == number]
            assert set(full) <= {arguments["batch_size"]}
            assert 2 <= last <= arguments["batch_size"] + 1


def test_the_exponent_smooths_how_often_groups_come():
    groups = np.repeat([0, 1], [900, 100])
    expected = {1.0: 0.9, 0.3: 9**0.3 / (9**0.3 + 1), 0.0: 0.5}
    for exponent, share in expected.items():
        plan = GroupPlan(groups, ["much", "little"], 10, seed=3, exponent=exponent)
        assert plan.steps_per_epoch == 100
        counts = Counter(batch.group for batch in first(plan, 4000))
        assert counts["much"] / 4000 == pytest.approx(share, abs=0 if exponent == 1 else 0.03)


def test_epochs_and_seeds_draw_groups_and_rows_of_their_own():
    groups = np.repeat([0, 1, 2], 40)

    def drawn(seed, epoch):
        plan = GroupPlan(groups, "abc", 4, seed=seed, exponent=0.5)
        batches = first(plan, 30, 30 * epoch)
        return [batch.group for batch in batches], batches[0].rows

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0)[0] != drawn(0, 1)[0]
    assert drawn(0, 0)[0] != drawn(1, 0)[0]
    one, other = (  # groups of one size do not go through their rows in one order
        next(batch.rows for batch in first(GroupPlan(groups, "abc", 40, seed=0), 3) if batch.group == name)
        for name in "ab"
    )
    assert one != [row - 40 for row in other]


def test_groups_in_turn_alternate_and_the_smallest_ends_the_epoch():
    groups = np.repeat([0, 1], [9, 4])
    plan = GroupPlan(groups, ["acts", "slots"], 2, seed=0, in_turn=True)
    batches = first(plan, 12)
    assert plan.steps_per_epoch == 4
    assert [batch.group for batch in batches] == ["acts", "slots"] * 6
    acts = [row for batch in batches if batch.group == "acts" for row in batch.rows]
    assert sorted(acts[:9]) == list(range(9))  # what one epoch leaves over comes in the next
    assert [batch.epoch for batch in batches if batch.group == "slots"] == [0, 0, 1, 1, 2, 2]


def test_groups_too_small_for_a_batch_are_named_once_and_listed(caplog):
    groups = np.array([0, 0, 0, 1, 2, 2])
    with caplog.at_level(logging.WARNING):
        plan = GroupPlan(groups, ["en", "de", "fr"], 3, seed=0)
        batches = first(plan, 9)
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 3 groups have fewer than the 2 rows of a batch and are left out: 'de' (1)"
    ]
    assert plan.left_out(0) == [3]
    assert {batch.group for batch in batches} == {"en", "fr"}


@pytest.mark.parametrize("case", [{"in_turn": True}, {"min_rows": 4, "batch_size": 4}])
def test_groups_that_cannot_take_their_turn_are_refused(case):
    groups = np.array([0, 0, 0, 1, 2, 2])
    with pytest.raises(InputError, match=r"rows of one group, and these have fewer: .*'de' \(1\)"):
        GroupPlan(groups, ["en", "de", "fr"], seed=0, **{"batch_size": 3} | case)


def test_a_group_of_one_text_is_named():
    plan = GroupPlan(np.array([0, 0, 1, 1]), ["en", "de"], 2, seed=0, keys=[[1], [2], [7], [7]])
    with pytest.raises(InputError, match=r"group 'de': no batch of 2 rows can be made: all 2 rows share a text"):
        plan.steps_in(0)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"exponent must be >= 0 and finite, got -1"):
        Grouping("language", exponent=-1)
    with pytest.raises(ValueError, match=r"keys must hold the keys of 2 rows, got those of 1"):
        GroupPlan(np.array([0, 0]), ["en"], 2, seed=0, keys=[[1]])
    with pytest.raises(ValueError, match=r"batch_size must be >= min_rows"):
        GroupPlan(np.array([0, 0]), ["en"], 1, seed=0)


COLUMNS = [Column("text", Text), Column("language", Label, required=False)]
ROWS = [{"text": f"text {i}", "language": "de" if i % 3 else 7} for i in range(12)]


class Plain:
    def __call__(self, row, random):
        return row | {"draw": int(random.integers(1 << 30))}

    def collate(self, examples, row_index):
        import torch

        inputs = {name: [example[name] for example in examples] for name in ("text", "language", "draw")}
        return Batch(inputs, torch.tensor(row_index))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_carry_their_group_whoever_makes_them(workers):
    table = open_table(ROWS, columns=COLUMNS)
    plan = plan_batches(table, 4, seed=0, keep_apart=["text"], grouping=Grouping("language"))
    batches = list(itertools.islice(BatchLoader(table, Plain(), plan, workers=workers), 6))
    assert [set(batch["language"]) for batch in batches] == [{batch.group} for batch in batches]
    assert {batch.group for batch in batches} == {"de", "7"}
    assert batches[0].to("cpu").group == batches[0].group


def test_a_row_that_comes_twice_in_an_epoch_is_seen_otherwise_the_second_time():
    rows = [{"text": f"text {i}", "language": "much" if i > 1 else "little"} for i in range(40)]
    table = open_table(rows, columns=COLUMNS)
    plan = plan_batches(table, 2, seed=0, grouping=Grouping("language", exponent=0.0))
    batches = list(itertools.islice(BatchLoader(table, Plain(), plan), plan.steps_per_epoch))
    draws = [draw for batch in batches if batch.group == "little" for draw in batch["draw"]]
    assert len(draws) == len(set(draws)) > 4


def test_groups_are_numbered_as_they_appear():
    numbers, names = groups_of(open_table(ROWS, columns=COLUMNS), "language")
    assert (numbers[:4].tolist(), names) == ([0, 1, 1, 0], ["7", "de"])


def test_rows_without_a_group_and_streams_are_refused():
    table = open_table([*ROWS, {"text": "a text"}], columns=COLUMNS)
    with pytest.raises(InputError, match=r"rows\[12\]: column 'language' is missing"):
        plan_batches(table, 4, seed=0, grouping=Grouping("language"))
    with pytest.raises(InputError, match=r"has no column 'source'"):
        plan_batches(table, 4, seed=0, grouping=Grouping("source"))
    streamed = open_table(ROWS, columns=COLUMNS, streaming=True)
    with pytest.raises(InputError, match=r"streamed data cannot be drawn by it; leave --streaming out"):
        plan_batches(streamed, 4, seed=0, grouping=Grouping("language"))
