"""Dictionaries: files as they are published, encodings, and how rows become entries."""

import pytest

from likewise.data import DICTIONARY_COLUMNS, Column, Dictionary, Text, open_table
from likewise.errors import InputError

LINES = "dog\ta pet<|list_more_def|>a wretched fellow\ncrash course\ta short and intense course\n\nÖl\tfat\n"
ROWS = [
    {"entry": "dog", "definition": ["a pet", "a wretched fellow"]},
    {"entry": "crash course", "definition": ["a short and intense course"]},
    {"entry": "Öl", "definition": ["fat"]},
]


def opened(source, **options):
    return open_table(source, columns=DICTIONARY_COLUMNS, **options)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "UTF_16_LE", "latin-1"])
def test_a_published_file_is_read_in_its_encoding(write, encoding):
    write("Ox+WN.csv", LINES.encode(encoding))
    table = opened(f"dictionary:{write('Ox+WN.csv', LINES.encode(encoding))}", encoding=encoding)
    assert list(table) == ROWS
    assert table.where(2) == "Ox+WN.csv, row 4"  # the number of the line
    assert table.name == "Ox+WN.csv"
    assert list(opened(f"dictionary:{write('Ox+WN.csv', LINES.encode(encoding))}", encoding=encoding)) == ROWS


def test_quotation_marks_mean_nothing_there(write):
    path = write("words.txt", 'so "called"\tas in "so called\nbread\tfood\n')
    assert opened(f"dictionary:{path}")[0] == {"entry": 'so "called"', "definition": ['as in "so called']}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("cat", r"words.txt, row 2: the line has 0 tabs; it is an entry, one tab, and its definitions"),
        ("cat\ta pet\tnoun", r"words.txt, row 2: the line has 2 tabs"),
        ("cat\t", r"words.txt, row 2: column 'definition' is an empty list"),
        ("cat\ta pet<|list_more_def|>", r"words.txt, row 2: column 'definition' is empty \(value 2 of its list\)"),
        ("\ta pet", r"words.txt, row 2: column 'entry' is empty"),
    ],
)
def test_a_malformed_line_is_named(write, line, says):
    path = write("words.txt", f"dog\ta pet\n{line}\nbread\tfood\n")
    with pytest.raises(InputError, match=says):
        opened(f"dictionary:{path}")
    skipped = opened(f"dictionary:{path}", bad_rows="skip")
    assert ([row["entry"] for row in skipped], skipped.rejected) == (["dog", "bread"], 1)


def test_what_is_no_file_is_refused(write):
    with pytest.raises(InputError, match=r"there is no file .*words\.txt'; write dictionary:FILE, a line an entry"):
        opened("dictionary:words.txt")
    with pytest.raises(InputError, match=r"nothing\.txt is empty \(0 bytes\)"):
        opened(f"dictionary:{write('nothing.txt', '')}")


@pytest.mark.parametrize("name", ["words.csv", "words.tsv", "words.jsonl", "words.txt"])
def test_every_format_of_text_may_be_in_another_encoding(write, name):
    rows = {
        "words.csv": "text\nein Öl\n",
        "words.tsv": "text\nein Öl\n",
        "words.jsonl": '{"text": "ein Öl"}\n',
        "words.txt": "ein Öl\n",
    }
    columns = [Column("text", Text)]
    assert open_table(write(name, rows[name].encode("utf-16")), columns=columns, encoding="utf-16")[0] == {
        "text": "ein Öl"
    }
    assert open_table(write(name, rows[name]), columns=columns)[0] == {"text": "ein Öl"}


def test_a_file_in_another_encoding_than_was_said_is_refused(write):
    columns = [Column("text", Text)]
    path = write("words.txt", "ein Öl\n".encode("utf-16"))
    with pytest.raises(InputError, match="is written in UTF-16; pass --encoding utf-16, or save it as UTF-8"):
        open_table(path, columns=columns)
    with pytest.raises(InputError, match=r"words\.txt is not written in utf-16 .* give the encoding"):
        open_table(write("words.txt", b"a\x00b"), columns=columns, encoding="utf-16")
    with pytest.raises(InputError, match="unknown encoding 'utf-61': did you mean 'utf-16'"):
        open_table(path, columns=columns, encoding="utf-61")
    with pytest.raises(InputError, match="unknown encoding 'base64'"):
        open_table(path, columns=columns, encoding="base64")
    with pytest.raises(InputError, match="encoding is utf-16, but a list of rows is no file of text"):
        open_table([{"text": "a"}], columns=columns, encoding="utf-16")
    with pytest.raises(InputError, match="encoding is utf-16, but 'demo:wordnet' is no file of text"):
        open_table("demo:wordnet", columns=columns, encoding="utf-16")


def test_rows_of_one_entry_are_one_entry():
    table = opened(
        [
            {"entry": "dog", "definition": "a pet"},
            {"entry": "cat", "definition": ["a pet", "a whip"]},
            {"entry": " dog ", "definition": ["a  wretch", "a pet", "a hook"]},
            {"entry": "Dog", "definition": "a name"},
        ]
    )
    found = Dictionary.of(table)
    assert found.definitions == {
        "dog": ("a pet", "a wretch", "a hook"),
        "cat": ("a pet", "a whip"),
        "Dog": ("a name",),
    }
    assert list(found.pairs())[:4] == [("a pet", 0), ("a wretch", 0), ("a hook", 0), ("a pet", 1)]
    assert found.report == (
        "3 entries with 6 definitions (a mean of 2.0, at most 3), from 4 rows; 1 definition that stood twice is left "
        "out"
    )


def test_a_cap_keeps_the_first_definitions_and_says_so():
    table = opened([{"entry": "run", "definition": [f"meaning {i}" for i in range(9)]}])
    found = Dictionary.of(table, most=2)
    assert found.definitions == {"run": ("meaning 0", "meaning 1")}
    assert found.report.endswith("from 1 row; 7 definitions beyond the cap are left out")


def test_a_fingerprint_tells_dictionaries_apart():
    def of(**rows):
        return Dictionary({entry: tuple(found) for entry, found in rows.items()}, 1).fingerprint

    assert of(a=["b", "c"]) == of(a=["b", "c"])
    assert len({of(a=["b", "c"]), of(a=["b"], c=["d"]), of(a=["c", "b"]), of(a=["bc"])}) == 4


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_entries_are_refused(count):
    with pytest.raises(InputError, match=f"only {count} entr.* at least 2 are needed"):
        Dictionary({"a": ("b",)} if count else {}, 1).check_size()
