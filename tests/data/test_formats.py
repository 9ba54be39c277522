"""Every format gives the same rows."""

import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from likewise.data import Column, Number, Text, open_table
from likewise.errors import InputError

TEXT = [Column("text", Text)]
SCORED = [Column("text", Text), Column("score", Number)]
TEXTS = ["a small dog", 'she said "no", twice', "naïve 東京 🙂", "two\u2028lines for some", "tab\there"]
PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


def as_format(name, texts):
    if name == "jsonl":
        return "".join(json.dumps({"text": text, "score": i}) + "\n" for i, text in enumerate(texts)).encode()
    separator = "\t" if name == "tsv" else ","
    lines = [f"text{separator}score", *(f"{quoted(text)}{separator}{i}" for i, text in enumerate(texts))]
    return "\n".join(lines).encode()


def rows_of(table):
    return [table[i] for i in range(len(table))]


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv"])
def test_text_and_numbers_come_out_as_they_were(write, name):
    table = open_table(write(f"notes.{name}", as_format(name, TEXTS)), columns=SCORED)
    assert rows_of(table) == [{"text": text, "score": float(i)} for i, text in enumerate(TEXTS)]


def test_parquet_gives_the_same_rows(tmp_path):
    pq.write_table(pa.table({"text": TEXTS, "score": range(len(TEXTS))}), tmp_path / "notes.parquet")
    table = open_table(tmp_path / "notes.parquet", columns=SCORED)
    assert rows_of(table) == [{"text": text, "score": float(i)} for i, text in enumerate(TEXTS)]


def test_parquet_text_may_be_stored_in_any_of_arrows_ways(tmp_path):
    stored = pa.table({"text": pa.array(["b", "a", "b"]).dictionary_encode()}).cast(
        pa.schema([("text", pa.dictionary(pa.int32(), pa.large_string()))])
    )
    pq.write_table(stored, tmp_path / "notes.parquet")
    assert [row["text"] for row in open_table(tmp_path / "notes.parquet", columns=TEXT)] == ["b", "a", "b"]


def test_a_line_of_txt_is_a_row(write):
    table = open_table(write("notes.txt", "one\n two \nthree"), columns=TEXT)
    assert rows_of(table) == [{"text": "one"}, {"text": " two "}, {"text": "three"}]


def test_only_a_line_feed_ends_a_line(write):
    content = "one\u2028still one\x0bstill\x85one\ntwo\n"
    assert len(open_table(write("notes.txt", content), columns=TEXT)) == 2


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("name", ["txt", "jsonl", "csv"])
def test_compressed_files_hold_the_same_rows(write, name, packing):
    content = b"one\ntwo\n" if name == "txt" else as_format(name, ["one", "two"])
    table = open_table(write(f"notes.{name}{packing}", PACKERS[packing](content)), columns=TEXT)
    assert [row["text"] for row in table] == ["one", "two"]


def test_several_gzip_members_are_one_file(write):
    content = gzip.compress(b"one\n") + gzip.compress(b"two\n")
    assert [row["text"] for row in open_table(write("notes.txt.gz", content), columns=TEXT)] == ["one", "two"]


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv"])
def test_byte_order_mark_and_windows_line_ends_leave_no_trace(write, name):
    content = b"\xef\xbb\xbf" + as_format(name, ["one", "two"]).replace(b"\n", b"\r\n")
    table = open_table(write(f"notes.{name}", content), columns=SCORED)
    assert rows_of(table) == [{"text": "one", "score": 0.0}, {"text": "two", "score": 1.0}]


def test_byte_order_mark_and_windows_line_ends_leave_no_trace_in_txt(write):
    table = open_table(write("notes.txt", b"\xef\xbb\xbfone\r\ntwo\r\n"), columns=TEXT)
    assert rows_of(table) == [{"text": "one"}, {"text": "two"}]


def test_csv_fields_may_hold_line_ends_and_rows_keep_their_numbers(write):
    table = open_table(write("notes.csv", 'text,id\n"one\nmore",1\n\ntwo,2\n'), columns=TEXT)
    assert rows_of(table) == [{"text": "one\nmore"}, {"text": "two"}]
    assert [table.where(i) for i in range(2)] == ["notes.csv, row 1", "notes.csv, row 2"]


def test_a_quote_inside_an_unquoted_field_is_only_a_quote(write):
    table = open_table(write("notes.tsv", 'text\tid\na 5" nail\t1\nplain\t2\n'), columns=TEXT)
    assert [row["text"] for row in table] == ['a 5" nail', "plain"]


def test_csv_fields_may_be_long(write):
    long = "word " * 100_000
    assert open_table(write("notes.csv", f"text,id\n{long}x,1\n"), columns=TEXT)[0]["text"] == long + "x"


def test_empty_lines_at_the_end_are_no_rows(write):
    assert len(open_table(write("notes.txt", "one\ntwo\n\n \n\n"), columns=TEXT)) == 2


def test_empty_lines_of_jsonl_are_passed_over_and_counted(write):
    table = open_table(write("notes.jsonl", '{"text": "one"}\n\n  {"text": "two"}  \n'), columns=TEXT)
    assert [table.where(i) for i in range(2)] == ["notes.jsonl, row 1", "notes.jsonl, row 3"]


def test_files_larger_than_a_block_are_read_to_the_end(write):
    texts = [f"row {i} " + "x" * (i % 200) for i in range(9000)]
    for name in ("jsonl", "csv"):
        table = open_table(write(f"many.{name}", as_format(name, texts)), columns=SCORED)
        assert [row["text"] for row in table] == texts
        assert table.where(8999) == f"many.{name}, row 9000"
    table = open_table(write("many.txt", "\n".join(texts)), columns=TEXT)
    assert [row["text"] for row in table] == texts


def test_a_pattern_takes_files_in_the_order_of_their_names(write, tmp_path):
    write("b.jsonl", '{"text": "two"}\n')
    write("a.jsonl.gz", gzip.compress(b'{"text": "one"}\n'))
    write("other.txt", "no")
    table = open_table(tmp_path / "*.jsonl*", columns=TEXT)
    assert [row["text"] for row in table] == ["one", "two"]
    assert [table.where(i) for i in range(2)] == ["a.jsonl.gz, row 1", "b.jsonl, row 1"]


def test_a_pattern_reaches_into_folders_and_tells_equal_names_apart(write, tmp_path):
    write("x/part.jsonl", '{"text": "one"}\n')
    write("y/part.jsonl", '{"text": "two"}\n')
    table = open_table(str(tmp_path / "**/*.jsonl"), columns=TEXT)
    assert table.where(1) == f"{tmp_path}/y/part.jsonl, row 1"


def test_a_path_with_brackets_is_a_path(write):
    assert len(open_table(write("notes[1].txt", "one\n"), columns=TEXT)) == 1


def test_a_folder_of_one_format_is_one_table(write, tmp_path):
    write("corpus/a.csv", "text,id\none,1\n")
    write("corpus/b.csv", "id,text\n2,two\n")
    write("corpus/README.md", "# not data")
    write("corpus/.hidden.txt", "not data")
    table = open_table(tmp_path / "corpus", columns=TEXT)
    assert rows_of(table) == [{"text": "one"}, {"text": "two"}]
    assert table.extra(1) == {"id": "2"}


def test_rename_gives_the_files_column_our_name(write):
    path = write("faq.jsonl", '{"question": "how", "answer": "so", "query": "else"}\n')
    columns = [Column("query", Text), Column("positive", Text)]
    table = open_table(path, columns=columns, rename={"query": "question", "positive": "answer"})
    assert table[0] == {"query": "how", "positive": "so"}
    assert table.extra(0) == {"query": "else"}


def test_a_column_of_many_takes_a_value_or_a_list_and_rows_hold_lists(write):
    columns = [*TEXT, Column("negative", Text, required=False, many=True)]
    lines = ['{"text": "a", "negative": ["b", "c"]}', '{"text": "a", "negative": "b"}', '{"text": "a"}']
    table = open_table(write("notes.jsonl", "\n".join(lines)), columns=columns)
    assert [row["negative"] for row in table] == [["b", "c"], ["b"], []]


def test_an_optional_column_is_none_where_a_row_has_nothing(write):
    columns = [*TEXT, Column("title", Text, required=False)]
    table = open_table(write("notes.csv", "text,title\none,first\ntwo, \n"), columns=columns)
    assert [row["title"] for row in table] == ["first", None]


def test_an_optional_column_that_the_file_lacks_is_no_column(write):
    table = open_table(write("notes.txt", "one\n"), columns=[*TEXT, Column("title", Text, required=False)])
    assert table.column_names == ["text"]
    assert table[0] == {"text": "one"}


def test_an_optional_column_may_appear_late(write, tmp_path):
    columns = [*TEXT, Column("title", Text, required=False), Column("tags", Text, required=False, many=True)]
    write("a.jsonl", '{"text": "one"}\n')
    write("b.jsonl", '{"text": "two", "title": "t", "tags": ["x"]}\n')
    table = open_table(tmp_path / "*.jsonl", columns=columns)
    assert rows_of(table) == [{"text": "one", "title": None, "tags": []}, {"text": "two", "title": "t", "tags": ["x"]}]


def test_lists_of_dicts_are_tables():
    table = open_table([{"text": "one", "id": 1}, {"text": "two", "id": 2}], columns=TEXT)
    assert rows_of(table) == [{"text": "one"}, {"text": "two"}]
    assert table.where(1) == "rows[1]"


def test_an_open_table_is_returned_as_it_is():
    table = open_table([{"text": "one"}], columns=SCORED[:1])
    assert open_table(table, columns=TEXT) is table


def test_a_table_opened_for_other_columns_is_refused():
    table = open_table([{"text": "one", "score": 1}], columns=TEXT)
    with pytest.raises(
        InputError, match=r"^rows was opened for the columns text, and column 'score' \(a finite number\)"
    ):
        open_table(table, columns=SCORED)


json_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.text())
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"text": st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)},
            optional={"a": json_values, "b": json_values},
        ),
        min_size=1,
        max_size=6,
    )
)
def test_jsonl_gives_back_what_was_written(tmp_path, rows):
    path = tmp_path / "any.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    table = open_table(path, columns=TEXT, cache=tmp_path / f"{hash(str(rows))}")
    assert [row["text"] for row in table] == [row["text"] for row in rows]
    for i, row in enumerate(rows):
        found = {name: value for name, value in table.extra(i).items() if value is not None}
        assert found == {name: value for name, value in row.items() if name != "text" and value is not None}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1), min_size=1)
)
def test_csv_gives_back_what_was_written(tmp_path, texts):
    texts = [f"x{text}" for text in texts]
    path = tmp_path / "any.csv"
    path.write_bytes(as_format("csv", texts))
    table = open_table(path, columns=SCORED, cache=tmp_path / f"{hash(str(texts))}")
    assert [row["text"] for row in table] == texts
