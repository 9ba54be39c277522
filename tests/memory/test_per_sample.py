"""Numbers of rows: found again by number, the rest left alone, all of it in the state."""

import pytest
import torch

from likewise.memory import PerSampleState


def filled() -> PerSampleState:
    state = PerSampleState(6, {"average": -torch.inf, "temperature": 0.1})
    state.write(torch.tensor([4, 1]), average=torch.tensor([0.5, 0.25]), temperature=torch.tensor([0.4, 0.3]))
    return state


def test_what_was_written_is_read_by_row_number_and_the_rest_is_what_it_was_at_first():
    state = filled()
    assert torch.equal(state.read("average", torch.tensor([1, 4, 0])), torch.tensor([0.25, 0.5, -torch.inf]))
    assert torch.equal(state.read("temperature", torch.tensor([0, 4])), torch.tensor([0.1, 0.4]))
    assert state.was_seen(torch.tensor([4, 0, 1])).tolist() == [True, False, True]
    assert len(state) == 6


def test_a_write_leaves_other_rows_and_other_fields_bit_identical():
    state = filled()
    before = {name: value.clone() for name, value in state.state_dict().items()}
    state.write(torch.tensor([1, 5]), average=torch.tensor([7.0, 8.0]))
    others = torch.tensor([0, 2, 3, 4])
    assert torch.equal(state.field("average")[others], before["field_average"][others])
    assert torch.equal(state.field("temperature"), before["field_temperature"])
    assert state.seen.tolist() == [False, True, False, False, True, True]


def test_reading_gives_a_copy():
    state = filled()
    state.read("average", torch.tensor([1])).add_(1)
    assert state.read("average", torch.tensor([1])).item() == 0.25


def test_values_are_kept_in_float32_whatever_they_come_in():
    state = filled()
    state.write(torch.tensor([0]), average=torch.tensor([1 / 3], dtype=torch.float64))
    assert state.field("average").dtype == torch.float32
    assert state.read("average", torch.tensor([0])).item() == torch.tensor(1 / 3).item()


def test_all_of_it_is_in_the_state_which_fits_no_other_table():
    state, other = filled(), PerSampleState(6, {"average": -torch.inf, "temperature": 0.1})
    other.load_state_dict(state.state_dict())
    for name, value in state.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    with pytest.raises(RuntimeError, match="size mismatch"):
        PerSampleState(5, {"average": 0.0, "temperature": 0.1}).load_state_dict(state.state_dict())


@pytest.mark.parametrize(
    ("rows", "values", "message"),
    [
        ([0, 6], {"average": [1.0, 2.0]}, "rows go from 0 to 6; the table has 6"),
        ([-1, 2], {"average": [1.0, 2.0]}, "rows go from -1 to 2"),
        ([2, 3, 2], {"average": [1.0, 2.0, 3.0]}, "1 rows are in the batch twice"),
        ([2, 3], {"average": [1.0]}, r"average is \[1\] for \[2\] rows"),
        ([2, 3], {"mean": [1.0, 2.0]}, "no field 'mean'; there are"),
    ],
)
def test_wrong_rows_and_values_are_refused_and_nothing_is_written(rows, values, message):
    state = filled()
    before = {name: value.clone() for name, value in state.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        state.write(torch.tensor(rows), **{name: torch.tensor(value) for name, value in values.items()})
    assert all(torch.equal(value, before[name]) for name, value in state.state_dict().items())


def test_rows_without_numbers_are_refused():
    with pytest.raises(ValueError, match=r"int64 \[B\]"):
        filled().read("average", torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="num_rows is -1"):
        PerSampleState(-1, {})
