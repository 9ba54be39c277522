"""Equal texts have equal keys, whatever their case and white space; different ones do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.data import Column, Text, open_table
from likewise.sampling import RowKeys, duplicate_keys, plan_batches, text_key

COLUMNS = [Column("query", Text), Column("positive", Text), Column("negative", Text, required=False, many=True)]


def table_of(*rows):
    return open_table(
        [dict(zip(("query", "positive", "negative"), row, strict=False)) for row in rows], columns=COLUMNS
    )


def plainly(text):
    return " ".join(text.split()).casefold()


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
similar_texts = st.lists(
    st.one_of(texts, st.sampled_from(["A dog", "a  dog", " a dog", "a\tdog", "a\x1fdog", "a dog\n", "ß", "SS", "İ"])),
    min_size=1,
    max_size=8,
)


@given(similar_texts)
def test_keys_are_equal_where_texts_are_equal_but_for_case_and_space(given_texts):
    table = open_table([{"query": text, "positive": "p"} for text in given_texts], columns=COLUMNS)
    keys = duplicate_keys(table, ["query"])
    for i, one in enumerate(given_texts):
        assert keys[i] == [text_key(one)]
        for j, other in enumerate(given_texts):
            assert (keys[i] == keys[j]) == (plainly(one) == plainly(other))


def test_a_key_is_the_same_for_ever():
    assert text_key("A small  house for a dog") == -7634466084025240944


def test_keys_meet_across_columns_and_lists():
    table = table_of(("a", "b", ["c", "d"]), ("e", "A"), ("D", "f", ["g"]))
    keys = duplicate_keys(table, ["query", "positive", "negative"])
    assert [len(row) for row in keys] == [4, 2, 3]
    shared = keys.only_shared()
    assert list(shared) == [[text_key("a"), text_key("d")], [text_key("a")], [text_key("d")]]


def test_a_column_that_the_table_lacks_is_passed_over():
    keys = duplicate_keys(table_of(("a", "b")), ["query", "negative", "title"])
    assert list(keys) == [[text_key("a")]]


def test_an_absent_text_has_no_key():
    columns = [Column("query", Text), Column("title", Text, required=False)]
    table = open_table([{"query": "a", "title": "t"}, {"query": "b"}], columns=columns)
    assert list(duplicate_keys(table, ["title"])) == [[text_key("t")], []]


def test_keys_of_a_stored_table_in_many_pieces(tmp_path):
    lines = "".join(f"row {i % 7} of many words\n" for i in range(20_000))
    (tmp_path / "notes.txt").write_text(lines)
    table = open_table(tmp_path / "notes.txt", columns=[Column("text", Text)], cache=tmp_path / "cache")
    assert table.column("text").num_chunks > 1
    keys = duplicate_keys(table, ["text"])
    assert len(keys) == 20_000
    assert {keys[i][0] for i in range(0, 20_000, 7)} == {text_key("row 0 of many words")}
    assert len(set(keys.values.tolist())) == 7


def test_a_plan_keeps_equal_texts_apart():
    table = table_of(("a", "x"), ("b", "X "), ("c", "a"), ("d", "y"), ("e", "z"), ("f", "w"))
    plan = plan_batches(table, 3, seed=0, min_rows=1, keep_apart=("query", "positive"))
    for epoch in range(5):
        first = sum(plan.steps_in(earlier) for earlier in range(epoch))
        for _, batch in zip(range(plan.steps_in(epoch)), plan.batches(first), strict=False):
            assert not {0, 1} <= set(batch.rows)
            assert not {0, 2} <= set(batch.rows)


def test_packed_keys_are_a_sequence_of_rows():
    keys = RowKeys.of([[1, 2], [], [3]])
    assert keys[-1] == [3]
    assert keys[:2] == [[1, 2], []]
    with pytest.raises(IndexError):
        keys[3]
