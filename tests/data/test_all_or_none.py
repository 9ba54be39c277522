"""A column that all rows have or none: the first usable row decides, and the row that departs is named."""

import json

import pytest

from likewise.data import Column, Text, open_table
from likewise.errors import InputError

TRIPLES = [Column("text", Text), Column("negative", Text, required=False, all_or_none=True)]
LISTS = [Column("text", Text), Column("negative", Text, required=False, many=True, all_or_none=True)]
ALL_OR_NONE = "every row brings a non-empty text there, or none does"
MISSING = f"column 'negative' is missing, but the rows before have it; {ALL_OR_NONE}"
THERE = f"column 'negative' has a value, but the rows before have none; {ALL_OR_NONE}"


def lines(*negatives):
    return "".join(json.dumps({"text": f"row {i}", "negative": one}) + "\n" for i, one in enumerate(negatives, 1))


@pytest.mark.parametrize("columns", [TRIPLES, LISTS])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("negatives", [["a", "b", "c"], [None, " ", None]])
def test_all_rows_or_none_are_taken(write, columns, streaming, negatives):
    table = open_table(write("a.jsonl", lines(*negatives)), columns=columns, streaming=streaming)
    many = columns is LISTS
    given = [[one] if many else one for one in negatives] if negatives[0] else [[] if many else None] * 3
    assert [row["negative"] for row in table] == given


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("negatives", "sentence"),
    [
        (["a", "b", None, "c"], f"a.jsonl, row 3: {MISSING}"),
        (["a", "  "], f"a.jsonl, row 2: {MISSING}"),
        ([None, None, "a"], f"a.jsonl, row 3: {THERE}"),
    ],
)
def test_the_row_that_departs_is_named(write, negatives, sentence, streaming):
    with pytest.raises(InputError) as caught:
        list(open_table(write("a.jsonl", lines(*negatives)), columns=TRIPLES, streaming=streaming).stream())
    assert (
        str(caught.value)
        == f"{sentence}. Mend the row, or leave it out: train, evaluate, geometry and split take --bad-rows skip."
    )


def test_lists_and_csv_and_other_names_are_checked_too(write):
    needs = "every row brings a non-empty text or a list of them there, or none does"
    content = lines(["a", "b"], [])
    with pytest.raises(InputError, match=f"row 2: column 'negative' is missing, but the rows before have it; {needs}"):
        open_table(write("a.jsonl", content), columns=LISTS)
    with pytest.raises(InputError, match=r"^b\.csv, row 2: column 'no' is missing"):
        open_table(write("b.csv", "text,no\none,x\ntwo,\n"), columns=TRIPLES, rename={"negative": "no"})


def test_rows_from_python_are_named_by_their_index():
    rows = [{"text": "one", "negative": "x"}, {"text": "two"}]
    with pytest.raises(InputError, match=r"^rows\[1\]: column 'negative' is missing, .* pass bad_rows=\"skip\"\.$"):
        open_table(rows, columns=TRIPLES)


@pytest.mark.parametrize("streaming", [False, True])
def test_files_of_one_source_have_to_agree_and_streaming_knows_at_once(write, tmp_path, streaming):
    write("x/a.jsonl", '{"text": "one"}\n')
    write("x/b.jsonl", lines("a"))
    with pytest.raises(InputError, match=r"^b\.jsonl, row 1: column 'negative' has a value, but the rows before"):
        open_table(tmp_path / "x", columns=TRIPLES, streaming=streaming)


def test_the_row_is_found_far_into_the_file(write):
    content = lines(*["a"] * 20_000, None)
    with pytest.raises(InputError, match=r"^a\.jsonl, row 20001: "):
        open_table(write("a.jsonl", content), columns=TRIPLES)
    stream = open_table(write("a.jsonl", content), columns=TRIPLES, streaming=True).stream()
    next(stream)
    with pytest.raises(InputError, match=r"^a\.jsonl, row 20001: "):
        list(stream)


@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_row_that_can_be_used_decides_and_skip_leaves_the_others_out(write, tmp_path, streaming):
    content = '{"text": "", "negative": "x"}\n' + lines(None, "a", None)
    rejected = tmp_path / "rejected.jsonl"
    table = open_table(
        write("a.jsonl", content), columns=TRIPLES, bad_rows="skip", rejected=rejected, streaming=streaming
    )
    assert [row["text"] for row in table.stream()] == ["row 1", "row 3"]
    assert table.rejected == 2
    records = [json.loads(line) for line in rejected.read_text(encoding="utf-8").splitlines()]
    assert [(one["row"], one["reason"]) for one in records][1] == (3, THERE)


@pytest.mark.parametrize("many", [False, True])
def test_a_table_that_was_opened_without_asking_is_looked_through(write, many):
    lax = [Column("text", Text), Column("negative", Text, required=False, many=many)]
    strict = LISTS if many else TRIPLES
    table = open_table(write("a.jsonl", lines("a", "b", None)), columns=lax)
    with pytest.raises(InputError, match=r"^a\.jsonl, row 3: column 'negative' is missing, .* Mend the row, or open"):
        open_table(table, columns=strict)
    for whole in (lines("a", "b"), lines(None, None), '{"text": "one"}\n'):
        table = open_table(write("b.jsonl", whole), columns=lax)
        assert open_table(table, columns=strict) is table
    assert open_table(open_table([{"text": "one"}], columns=strict), columns=strict)


def test_a_stream_that_was_opened_without_asking_is_refused(write):
    lax = [Column("text", Text), Column("negative", Text, required=False)]
    path = write("a.jsonl", lines("a", "b"))
    with pytest.raises(InputError, match=r"cannot be looked through; open the source again with these columns\.$"):
        open_table(open_table(path, columns=lax, streaming=True), columns=TRIPLES)
    strict = open_table(path, columns=TRIPLES, streaming=True)
    assert open_table(strict, columns=TRIPLES) is strict
