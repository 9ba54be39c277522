"""Interaction logs: order, the last one, and what cannot be asked."""

import pytest

from likewise.data import open_interactions
from likewise.errors import InputError


def test_rows_are_in_their_order_where_there_is_no_time(tmp_path):
    (tmp_path / "log.csv").write_text("user,item\n2,lamp\n1,desk\n2,chair\n1,lamp\n2,desk\n3,desk\n")
    log = open_interactions(tmp_path / "log.csv")
    assert log.histories == {"2": ["lamp", "chair"], "1": ["desk"]}
    assert log.held_out == {"2": "desk", "1": "lamp"}
    assert list(log.items) == ["lamp", "desk", "chair"]
    assert log.users_left_out == 1
    assert log.name == "log.csv"


def test_interactions_at_one_time_keep_the_order_of_their_rows():
    rows = [{"user": "a", "item": name, "time": time} for name, time in (("x", 2), ("y", 1), ("z", 2))]
    assert open_interactions(rows).histories == {"a": ["y", "x"]}
    assert open_interactions(rows).held_out == {"a": "z"}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"user": i, "item": "x"} for i in range(3)], "none of the 3 users has more than one interaction"),
        (
            [{"user": 1, "item": 5, "item_text": "lamp"}, {"user": 1, "item": 5, "item_text": "desk"}],
            r"rows\[1\]: item '5' has the text 'desk', but 'lamp' before",
        ),
        ([{"user": 1, "item": "x", "time": 1}, {"user": 1, "item": "y", "time": None}], "column 'time' is missing"),
        ([{"user": 1, "item": " "}], "column 'item' is empty"),
        ([{"user": 1}], "has no column 'item'"),
    ],
)
def test_logs_that_cannot_be_used_are_said(rows, says):
    with pytest.raises(InputError, match=says):
        open_interactions(rows)
