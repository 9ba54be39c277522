"""The quick check of a block and the slow check of a value never disagree."""

from hypothesis import example, given
from hypothesis import strategies as st

from likewise.data import Column, Label, Number, Text, open_table
from likewise.data.columns import shown

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.just("\ud800"),
    st.lists(st.text(), max_size=3),
    st.dictionaries(st.text(), st.integers(), max_size=2),
)
columns = st.builds(
    Column, name=st.just("c"), kind=st.sampled_from([Text, Number, Label]), required=st.booleans(), many=st.booleans()
)


@given(column=columns, values=st.lists(anything, max_size=5))
def test_a_block_is_good_when_each_value_is(column, values):
    tidy = list(map(column.tidy, values))
    array = column.checked_array(tidy)
    good = [value for value in tidy if column.problem(value) is None]
    if len(good) < len(tidy):
        assert array is None
    elif array is not None:
        assert array.to_pylist() == column.array(tidy).to_pylist()


def stored(value, kind):
    """Integers become floats, labels texts."""
    if isinstance(value, list):
        return [stored(one, kind) for one in value]
    if kind is Label and value is not None:
        if isinstance(value, bool):
            return "true" if value else "false"
        return value.strip() if isinstance(value, str) else str(int(value)) if value == int(value) else repr(value)
    return float(value) if kind is Number and value is not None else value


@example(column=Column("c", Label), values=[2**53 + 1])
@given(column=columns, values=st.lists(anything, max_size=5))
def test_good_values_come_back_as_they_were(column, values):
    good = [value for value in map(column.tidy, values) if column.problem(value) is None]
    assert column.array(good).to_pylist() == [stored(value, column.kind) for value in good]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back_exactly(number):
    assert Number.parse(f" {number!r} ") == number


@given(anything)
def test_a_message_shows_a_value_in_few_characters(value):
    assert len(shown(value)) < 70


def test_labels_of_any_file_and_form_are_the_same_labels(tmp_path):
    (tmp_path / "a.csv").write_text("label\n3\nsports \n2.5\n")
    (tmp_path / "b.jsonl").write_text('{"label": 3.0}\n{"label": "sports"}\n{"label": 2.5}\n')
    columns = [Column("label", Label)]
    tables = [open_table(tmp_path / name, columns=columns, cache=tmp_path / "cache") for name in ("a.csv", "b.jsonl")]
    assert [row["label"] for row in tables[0]] == ["3", "sports", "2.5"]
    assert tables[0].fingerprint == tables[1].fingerprint
    assert [row["label"] for row in open_table([{"label": 10**20}, {"label": -0.0}], columns=columns)] == [
        "100000000000000000000",
        "0",
    ]
