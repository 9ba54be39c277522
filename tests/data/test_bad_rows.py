"""A bad row is named with file, number and reason; it is refused, or left out and kept on record."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from likewise.data import Column, Number, Text, open_table
from likewise.errors import InputError

TEXT = [Column("text", Text)]
SCORED = [Column("text", Text), Column("score", Number)]
PAIRS = [Column("query", Text), Column("negative", Text, required=False, many=True)]
NEEDS_TEXT = "every row needs a non-empty text"
NEEDS_NUMBER = "every row needs a finite number"

CASES = {
    "empty line": ("a.txt", "one\n\ntwo\n", TEXT, f"a.txt, row 2: column 'text' is empty; {NEEDS_TEXT}"),
    "blank line": ("a.txt", "one\n \t\ntwo\n", TEXT, f"a.txt, row 2: column 'text' is empty; {NEEDS_TEXT}"),
    "not UTF-8 in txt": (
        "a.txt",
        b"one\nt\xffo\n",
        TEXT,
        "a.txt, row 2: the line is not valid UTF-8; save the file as UTF-8",
    ),
    "not UTF-8 in jsonl": (
        "a.jsonl",
        b'{"text": "one"}\n{"text": "t\xffo"}\n',
        TEXT,
        "a.jsonl, row 2: the line is not valid UTF-8; save the file as UTF-8",
    ),
    "not UTF-8 in csv": (
        "a.csv",
        b"text,id\none,1\nt\xffo,2\n",
        TEXT,
        "a.csv, row 2: the row is not valid UTF-8; save the file as UTF-8",
    ),
    "not UTF-8 in another column": (
        "a.jsonl",
        b'{"text": "one", "id": "\xe9"}\n',
        TEXT,
        "a.jsonl, row 1: the line is not valid UTF-8; save the file as UTF-8",
    ),
    "half a character": (
        "a.jsonl",
        '{"text": "one"}\n{"text": "\\ud83d"}\n',
        TEXT,
        "a.jsonl, row 2: column 'text' holds half a character (a lone surrogate), which is no valid Unicode; "
        + NEEDS_TEXT,
    ),
    "broken JSON": (
        "a.jsonl",
        '{"text": "one"}\n{"text": }\n',
        TEXT,
        "a.jsonl, row 2: the line is no valid JSON (Expecting value at character 10)",
    ),
    "JSON cut off": (
        "a.jsonl",
        '{"text": "one"}\n{"text": "tw',
        TEXT,
        "a.jsonl, row 2: the line is no valid JSON (Unterminated string starting at at character 10)",
    ),
    "two objects in a line": (
        "a.jsonl",
        '{"text": "one"} {"text": "two"}\n',
        TEXT,
        "a.jsonl, row 1: the line is no valid JSON (Extra data at character 17)",
    ),
    "an object over two lines": (
        "a.jsonl",
        '{"text": "one"}\n{"text": ["two",\n"three"]}\n',
        TEXT,
        "a.jsonl, row 2: the line is no valid JSON (Expecting value at character 17)",
    ),
    "JSON but no object": (
        "a.jsonl",
        '["one"]\n',
        TEXT,
        'a.jsonl, row 1: the line is JSON but no object; every row looks like {"column": "value"}',
    ),
    "very deep JSON": (
        "a.jsonl",
        '{"text": "one"}\n{"text": ' + "[" * 100_000 + "\n",
        TEXT,
        "a.jsonl, row 2: the line is no valid JSON (maximum recursion depth exceeded "
        "while decoding a JSON array from a unicode string)",
    ),
    "no such column in a row": (
        "a.jsonl",
        '{"text": "one"}\n{"txt": "two"}\n',
        TEXT,
        f"a.jsonl, row 2: column 'text' is missing; {NEEDS_TEXT}",
    ),
    "null": (
        "a.jsonl",
        '{"text": "one"}\n{"text": null}\n',
        TEXT,
        f"a.jsonl, row 2: column 'text' is missing; {NEEDS_TEXT}",
    ),
    "empty text": (
        "notes.jsonl",
        '{"text": "one"}\n' * 11 + '{"text": ""}\n',
        TEXT,
        f"notes.jsonl, row 12: column 'text' is empty; {NEEDS_TEXT}",
    ),
    "number for a text": (
        "a.jsonl",
        '{"text": 5}\n',
        TEXT,
        f"a.jsonl, row 1: column 'text' is a number (5); {NEEDS_TEXT}",
    ),
    "list for a text": (
        "a.jsonl",
        '{"text": ["one"]}\n',
        TEXT,
        f"a.jsonl, row 1: column 'text' is a list (['one']); {NEEDS_TEXT}",
    ),
    "empty text in a list": (
        "a.jsonl",
        '{"query": "one", "negative": ["two", " "]}\n',
        PAIRS,
        "a.jsonl, row 1: column 'negative' is empty (value 2 of its list); "
        "a row brings a non-empty text or a list of them there, or nothing",
    ),
    "NaN": (
        "a.jsonl",
        '{"text": "one", "score": NaN}\n',
        SCORED,
        f"a.jsonl, row 1: column 'score' is not finite (nan); {NEEDS_NUMBER}",
    ),
    "infinity in csv": (
        "a.csv",
        "text,score\none,1\ntwo,-inf\n",
        SCORED,
        f"a.csv, row 2: column 'score' is not finite (-inf); {NEEDS_NUMBER}",
    ),
    "a number beyond all floats": (
        "a.jsonl",
        '{"text": "one", "score": 1' + "0" * 400 + "}\n",
        SCORED,
        f"a.jsonl, row 1: column 'score' is too large a number; {NEEDS_NUMBER}",
    ),
    "no number in csv": (
        "a.csv",
        'text,score\none,1\ntwo,"3,5"\n',
        SCORED,
        f"a.csv, row 2: column 'score' is a text ('3,5'); {NEEDS_NUMBER}",
    ),
    "nothing for a number": (
        "a.csv",
        "text,score\none,\n",
        SCORED,
        f"a.csv, row 1: column 'score' is missing; {NEEDS_NUMBER}",
    ),
    "true for a number": (
        "a.jsonl",
        '{"text": "one", "score": true}\n',
        SCORED,
        f"a.jsonl, row 1: column 'score' is true/false (True); {NEEDS_NUMBER}",
    ),
    "too few fields": (
        "a.csv",
        "text,score\none,1\ntwo\n",
        SCORED,
        "a.csv, row 2: the row has 1 fields and the header 2",
    ),
    "too many fields": (
        "a.tsv",
        "text\tscore\none\t1\n\ntwo\t2\t3\n",
        SCORED,
        "a.tsv, row 2 (line 4): the row has 3 fields and the header 2",
    ),
    "a field quoted in part": (
        "a.csv",
        'text,score\none,1\n"two" more,2\nthree,3\n',
        SCORED,
        "a.csv, row 2: a field is not quoted as csv asks for (',' expected after '\"')",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_bad_row_is_refused_in_one_sentence(write, case):
    name, content, columns, sentence = CASES[case]
    with pytest.raises(InputError) as caught:
        open_table(write(name, content), columns=columns)
    assert (
        str(caught.value)
        == f"{sentence}. Mend the row, or leave it out: train, evaluate, geometry and split take --bad-rows skip."
    )


@pytest.mark.parametrize("case", CASES)
def test_streaming_refuses_the_same_rows(write, case):
    name, content, columns, sentence = CASES[case]
    with pytest.raises(InputError) as caught:
        list(open_table(write(name, content), columns=columns, streaming=True).stream())
    assert (
        str(caught.value)
        == f"{sentence}. Mend the row, or leave it out: train, evaluate, geometry and split take --bad-rows skip."
    )


def test_a_bad_value_in_parquet_is_refused_with_its_row(tmp_path):
    pq.write_table(pa.table({"text": ["one", None]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"^a\.parquet, row 2: column 'text' is missing; every row needs"):
        open_table(tmp_path / "a.parquet", columns=TEXT)


def test_the_row_is_found_far_into_the_file(write):
    lines = ['{"text": "%s"}' % ("word " * 20)] * 30_000
    lines[25_000] = '{"text": 1}'
    with pytest.raises(InputError, match=r"a\.jsonl, row 25001: "):
        open_table(write("a.jsonl", "\n".join(lines)), columns=TEXT)


def test_rows_from_python_are_named_by_their_index():
    with pytest.raises(InputError) as caught:
        open_table([{"text": "one"}, {"text": ""}], columns=TEXT)
    assert (
        str(caught.value) == f"rows[1]: column 'text' is empty; {NEEDS_TEXT}. Mend the row or pass bad_rows=\"skip\"."
    )


def test_rows_from_python_must_be_dicts():
    with pytest.raises(InputError, match=r"^rows\[1\]: the row is a str and no dict\."):
        open_table([{"text": "one"}, "two"], columns=TEXT)


def test_a_renamed_column_is_named_as_in_the_file(write):
    with pytest.raises(InputError, match=r"row 1: column 'body' is empty"):
        open_table(write("a.jsonl", '{"body": ""}\n'), columns=TEXT, rename={"text": "body"})


BAD_JSONL = b'{"text": "one"}\n{"text": ""}\nnonsense\n{"text": "two", "id": "\xff"}\n{"text": "three"}\n'


def test_skip_leaves_bad_rows_out_and_records_each(write, tmp_path, caplog):
    rejected = tmp_path / "out" / "rejected.jsonl"
    table = open_table(write("a.jsonl", BAD_JSONL), columns=TEXT, bad_rows="skip", rejected=rejected)
    assert [row["text"] for row in table] == ["one", "three"]
    assert [table.where(i) for i in range(2)] == ["a.jsonl, row 1", "a.jsonl, row 5"]
    assert table.rejected == 3
    assert "3 bad rows are left out" in caplog.text
    assert [json.loads(line) for line in rejected.read_text(encoding="utf-8").splitlines()] == [
        {"file": "a.jsonl", "row": 2, "line": None, "reason": f"column 'text' is empty; {NEEDS_TEXT}"}
        | {"raw": '{"text": ""}'},
        {"file": "a.jsonl", "row": 3, "line": None, "raw": "nonsense"}
        | {"reason": "the line is no valid JSON (Expecting value at character 1)"},
        {"file": "a.jsonl", "row": 4, "line": None, "raw": '{"text": "two", "id": "\\xff"}'}
        | {"reason": "the line is not valid UTF-8; save the file as UTF-8"},
    ]


def test_skip_keeps_the_good_rows_around_a_malformed_csv_row(write, tmp_path):
    rejected = tmp_path / "rejected.jsonl"
    content = 'text,id\none,1\n"two" x,2\nthree\n"fo\nur",4\nfive,5\n'
    table = open_table(write("a.csv", content), columns=TEXT, bad_rows="skip", rejected=rejected)
    assert [row["text"] for row in table] == ["one", "fo\nur", "five"]
    assert [table.extra(i)["id"] for i in range(3)] == ["1", "4", "5"]
    assert [table.where(i) for i in range(3)] == ["a.csv, row 1", "a.csv, row 4", "a.csv, row 5"]
    records = [json.loads(line) for line in rejected.read_text(encoding="utf-8").splitlines()]
    assert [(one["row"], one["line"], one["raw"]) for one in records] == [
        (2, 3, ['"two" x,2\n']),
        (3, 4, ["three"]),
    ]


def test_what_was_skipped_is_written_again_when_the_stored_table_is_used(write, tmp_path):
    path = write("a.jsonl", BAD_JSONL)
    open_table(path, columns=TEXT, bad_rows="skip", rejected=tmp_path / "first.jsonl")
    table = open_table(path, columns=TEXT, bad_rows="skip", rejected=tmp_path / "second.jsonl")
    assert table.rejected == 3
    assert (tmp_path / "first.jsonl").read_text() == (tmp_path / "second.jsonl").read_text()


def test_a_table_stored_with_skipped_rows_is_still_refused_without_skip(write):
    path = write("a.jsonl", BAD_JSONL)
    open_table(path, columns=TEXT, bad_rows="skip")
    with pytest.raises(InputError, match=r"^a\.jsonl, row 2: column 'text' is empty; .* --bad-rows skip\.$"):
        open_table(path, columns=TEXT)


def test_nothing_skipped_leaves_no_record(write, tmp_path):
    stale = write("rejected.jsonl", "of an earlier reading")
    open_table(write("a.txt", "one\n"), columns=TEXT, bad_rows="skip", rejected=stale)
    assert not stale.exists()


def test_a_file_of_bad_rows_only_is_refused_even_with_skip(write):
    with pytest.raises(
        InputError, match=r"^none of the 2 rows of a\.jsonl can be used \(row 1: column 'text' is empty"
    ):
        open_table(write("a.jsonl", '{"text": ""}\n{"text": 5}\n'), columns=TEXT, bad_rows="skip")


def test_a_row_with_several_faults_is_one_bad_row(write):
    path = write("a.jsonl", '{"text": "", "score": NaN}\n{"text": "one", "score": 1}\n')
    table = open_table(path, columns=SCORED, bad_rows="skip")
    assert (table.rejected, len(table)) == (1, 1)
