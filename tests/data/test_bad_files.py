"""What makes a source unusable as a whole is always an error, of one sentence, with what to do."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from likewise.data import Column, Text, open_table
from likewise.errors import InputError, RunError

TEXT = [Column("text", Text)]
PAIRS = [Column("query", Text), Column("positive", Text)]
CONTENT = b"".join(b"row %d of many\n" % i for i in range(5000))
PACKED = {
    ".gz": ("gzip", gzip.compress(CONTENT, mtime=0)),
    ".bz2": ("bzip2", bz2.compress(CONTENT)),
    ".xz": ("xz", lzma.compress(CONTENT)),
    ".zst": ("zstandard", pa.compress(CONTENT, codec="zstd", asbytes=True)),
}


def refusal(source, columns=TEXT, **options):
    with pytest.raises(InputError) as caught:
        open_table(source, columns=columns, **options)
    return str(caught.value)


@pytest.mark.parametrize("bad_rows", ["error", "skip"])
@pytest.mark.parametrize("suffix", PACKED)
def test_a_compressed_file_that_is_cut_off(write, suffix, bad_rows):
    kind, content = PACKED[suffix]
    sentence = f"notes.txt{suffix}: the {kind} file is cut off or damaged; fetch or make it again."
    assert refusal(write(f"notes.txt{suffix}", content[:-20]), bad_rows=bad_rows) == sentence


@pytest.mark.parametrize("suffix", PACKED)
def test_a_plain_file_with_the_name_of_a_compressed_one(write, suffix):
    sentence = f"notes.txt{suffix} is no {PACKED[suffix][0]} file, or is damaged ("
    assert refusal(write(f"notes.txt{suffix}", "plain text\n")).startswith(sentence)


def test_a_gzip_file_whose_checksum_differs(write):
    content = bytearray(PACKED[".gz"][1])
    content[-8] ^= 0xFF
    assert refusal(write("notes.txt.gz", bytes(content))).startswith("notes.txt.gz is no gzip file, or is damaged (")


def test_a_parquet_file_that_is_cut_off(tmp_path, write):
    pq.write_table(pa.table({"text": ["one", "two"]}), tmp_path / "whole.parquet")
    cut = write("notes.parquet", (tmp_path / "whole.parquet").read_bytes()[:-9])
    assert refusal(cut).startswith("notes.parquet is no Parquet file, or is cut off or damaged (")


def test_a_parquet_file_with_a_damaged_page(tmp_path, write):
    table = pa.table({"text": [f"{i} words" for i in range(20_000)]})
    pq.write_table(table, tmp_path / "whole.parquet", use_dictionary=False, compression="zstd")
    content = bytearray((tmp_path / "whole.parquet").read_bytes())
    content[3000:3400] = bytes(400)
    assert "notes.parquet is no Parquet file, or is cut off or damaged (" in refusal(
        write("notes.parquet", bytes(content))
    )


def test_a_compressed_parquet_file(write):
    sentence = "notes.parquet.gz: a Parquet file is compressed inside; unpack it to 'notes.parquet'."
    assert refusal(write("notes.parquet.gz", "x")) == sentence


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["notes.txt", "notes.csv", "notes.jsonl"])
def test_a_file_in_utf16(write, name, encoding):
    content = "\ufefftext\none\n".encode(encoding)
    assert refusal(write(name, content)) == (
        f"{name} is written in UTF-16; pass --encoding utf-16, or save it as UTF-8."
    )


def test_an_empty_file(write):
    assert refusal(write("notes.jsonl", "")) == "notes.jsonl is empty (0 bytes); a data file needs at least one row."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", "\n \n"),
        ("notes.jsonl", "\n\n"),
        ("notes.csv", "text\n"),
        ("notes.txt.gz", gzip.compress(b"", mtime=0)),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_without_rows(write, name, content, streaming):
    with pytest.raises(InputError) as caught:
        list(open_table(write(name, content), columns=TEXT, streaming=streaming))
    assert str(caught.value) == f"{name} has no rows; at least one is needed."


def test_no_rows_from_python():
    assert refusal([]) == "rows has no rows; at least one is needed."


def test_a_csv_file_without_a_header(write):
    sentence = "notes.csv, line 1: there is no row of column names; the first row names the columns."
    assert refusal(write("notes.csv", "\n\n")) == sentence


def test_a_csv_file_with_one_name_twice(write):
    sentence = "notes.csv, line 1: two columns are named 'text'; give each its own name."
    assert refusal(write("notes.csv", "text,text\na,b\n")) == sentence


def test_a_csv_header_that_is_not_utf8(write):
    sentence = "notes.csv, line 1: the row of column names is not valid UTF-8; save the file as UTF-8."
    assert refusal(write("notes.csv", b"text,\xff\na,b\n")) == sentence


@pytest.mark.parametrize("bad_rows", ["error", "skip"])
def test_a_csv_quote_that_is_never_closed(write, bad_rows):
    path = write("notes.csv", "text,id\none,1\n" + '"two,2\n' + "three,3\n" * 5000)
    assert refusal(path, bad_rows=bad_rows).startswith(
        "notes.csv, line 3: a quotation mark opens a field here that is never closed; close it, or write"
    )


def test_a_file_that_is_not_there(write, tmp_path):
    write("notes.jsonl", "x")
    sentence = f"there is no file or folder '{tmp_path}/note.jsonl': did you mean '{tmp_path}/notes.jsonl'?"
    assert refusal(tmp_path / "note.jsonl") == sentence


def test_a_folder_that_is_not_there(tmp_path):
    path = tmp_path / "a" / "b.txt"
    sentence = f"there is no file or folder '{path}': give a file, a folder, a pattern, hf:NAME or demo:NAME."
    assert refusal(path) == sentence


def test_a_pattern_that_matches_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal("*.jsonl") == f"no file matches '*.jsonl'; the pattern is looked up from {tmp_path}."


def test_a_file_type_that_is_not_read(write):
    assert refusal(write("notes.json", "[]")) == (
        "notes.json: unknown file type '.json': did you mean '.jsonl'? Known: .csv, .jsonl, .parquet, .tar, .tsv, "
        ".txt. Each may be compressed (.gz, .bz2, .xz, .zst)."
    )


def test_a_compressed_file_type_that_is_not_read(write):
    assert "unknown file type '.xml'" in refusal(write("notes.xml.gz", "x"))


def test_a_file_without_an_ending(write):
    assert refusal(write("notes", "x")).startswith("notes: the file type is read from the end of the name")


def test_a_folder_without_data(write, tmp_path):
    write("corpus/README.md", "x")
    sentence = (
        f"the folder '{tmp_path}/corpus' holds no data file; files that end in .txt, .jsonl, .csv, .tsv, .parquet, .tar"
    )
    assert refusal(tmp_path / "corpus").startswith(sentence)


def test_a_folder_of_several_formats(write, tmp_path):
    for name in ("a.csv", "b.csv", "c.jsonl"):
        write(f"corpus/{name}", "x")
    assert refusal(tmp_path / "corpus") == (
        f"the folder '{tmp_path}/corpus' holds files of several formats (2 .csv and 1 .jsonl); name one by a pattern, "
        f"for example '{tmp_path}/corpus/*.csv'."
    )


def test_a_column_that_the_file_does_not_have(write):
    path = write("faq.jsonl", '{"querry": "how", "answer": "so"}\n')
    assert refusal(path, PAIRS) == (
        "faq.jsonl has no column 'query' (did you mean 'querry'?). Its columns: querry, answer. "
        "Say which is meant with --columns query=querry positive=THEIRS."
    )


def test_a_column_that_the_second_file_does_not_have(write, tmp_path):
    write("a.csv", "text,id\none,1\n")
    write("b.csv", "body,id\ntwo,2\n")
    assert refusal(tmp_path / "*.csv").startswith("b.csv has no column 'text'. Its columns: body, id.")


def test_txt_has_one_column(write):
    assert refusal(write("notes.txt", "one\n"), PAIRS) == (
        "notes.txt has no column 'query'. Its columns: text. Say which is meant with --columns query=THEIRS "
        "positive=THEIRS."
    )


def test_renaming_to_a_column_that_nothing_asks_for(write):
    sentence = "unknown column 'quary': did you mean 'query'? Known: positive, query."
    assert refusal(write("faq.jsonl", "{}"), PAIRS, rename={"quary": "question"}) == sentence


def test_renaming_from_a_column_that_is_not_there(write):
    path = write("faq.jsonl", '{"question": "how", "positive": "so"}\n')
    assert refusal(path, PAIRS, rename={"query": "questoin"}).startswith(
        "faq.jsonl has no column 'questoin' (did you mean 'question'?). Its columns: question, positive."
    )


def test_renaming_an_optional_column_from_one_that_is_not_there(write):
    columns = [*TEXT, Column("title", Text, required=False)]
    sentence = refusal(write("notes.txt", "one\n"), columns, rename={"title": "headline"})
    assert sentence.startswith("notes.txt has no column 'headline'. Its columns: text.")


def test_an_unknown_way_with_bad_rows(write):
    sentence = "unknown way with bad rows 'skipp': did you mean 'skip'? Known: error, skip."
    assert refusal(write("notes.txt", "one\n"), bad_rows="skipp") == sentence


def test_a_cache_that_cannot_be_written(write):
    blocked = write("cache-file", "not a folder")
    with pytest.raises(RunError, match=r"cannot be written .* environment variable LIKEWISE_CACHE\.$"):
        open_table(write("notes.txt", "one\n"), columns=TEXT, cache=blocked)


FULL = """
    import resource, signal, sys
    from pathlib import Path
    from likewise.data import Column, Text, open_table
    from likewise.errors import RunError

    file, how = Path(sys.argv[1]), sys.argv[2]
    rows = [{"text": f"row {i} " + "word " * 20} for i in range(20_000)]
    file.write_text("\\n".join(row["text"] for row in rows))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(how.split()[-1]), resource.RLIM_INFINITY))
    try:
        open_table(rows if how.startswith("rows") else file, columns=[Column("text", Text)])
    except RunError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of a file")
@pytest.mark.parametrize(
    ("how", "folder", "variable"),
    [
        ("rows 0", "the folder for temporary files", "TMPDIR"),  # nothing at all can be written
        ("rows 100000", "the folder for temporary files", "TMPDIR"),  # the disk fills up on the way
        ("file 100000", "the cache folder '", "LIKEWISE_CACHE"),
    ],
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, cache, how, folder, variable):
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(FULL), str(tmp_path / "notes.txt"), how],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "LIKEWISE_CACHE": str(cache)},
    )
    assert done.stdout.startswith(folder)
    assert done.stdout.endswith(f"name another folder in the environment variable {variable}.\n")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    assert not list((tmp_path / "temporary").iterdir())
    assert not list(cache.rglob("*.arrow*"))


def test_rejected_rows_that_cannot_be_written_down(write):
    blocked = write("a-file", "not a folder") / "rejected.jsonl"
    with pytest.raises(RunError, match=r"^the rejected rows cannot be written to '.*a-file.*; free some space"):
        open_table([{"text": "one"}, {"text": ""}], columns=TEXT, bad_rows="skip", rejected=blocked)


def test_a_refused_file_leaves_nothing_in_the_cache(write, cache):
    refusal(write("notes.jsonl", '{"text": "one"}\n{"text": ""}\n'))
    assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
