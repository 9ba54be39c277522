"""Documents of several languages: which files are read, what a row is, and where a bad one stands."""

import gzip

import pytest

from likewise.data import Column, Label, Text, open_table
from likewise.errors import InputError

COLUMNS = [Column("sentences", Text, many=True), Column("language", Label)]


@pytest.fixture
def corpus(tmp_path):
    return tmp_path / "corpus"


def opened(path, **options):
    return open_table(f"documents:{path}", columns=COLUMNS, **options)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_a_folder_for_each_language(corpus):
    write(corpus / "de" / "a.txt", "Ein Hund.\n  Er schläft.  \n\n\n \nBrot.\nEs ist alt.\n")
    write(corpus / "de" / "b.txt", "Noch einer.\r\nUnd noch einer.\r\n")
    (corpus / "en").mkdir()
    (corpus / "en" / "a.txt.gz").write_bytes(gzip.compress(b"A dog.\nIt sleeps.\n"))
    write(corpus / ".hidden" / "a.txt", "x\n")
    table = opened(corpus)
    assert [(row["language"], row["sentences"]) for row in table] == [
        ("de", ["Ein Hund.", "Er schläft."]),
        ("de", ["Brot.", "Es ist alt."]),
        ("de", ["Noch einer.", "Und noch einer."]),
        ("en", ["A dog.", "It sleeps."]),
    ]
    assert [table.where(i) for i in range(4)] == ["de/a.txt, row 1", "de/a.txt, row 2", "de/b.txt, row 1",
                                                  "en/a.txt.gz, row 1"]  # fmt: skip


def test_a_file_for_each_language_and_a_single_one(corpus):
    write(corpus / "de.txt", "a\nb\n")
    write(corpus / "fr.news.txt", "c\n\nd\n")
    assert [(row["language"], row["sentences"]) for row in opened(corpus)] == [
        ("de", ["a", "b"]), ("fr", ["c"]), ("fr", ["d"])
    ]  # fmt: skip
    assert [row["language"] for row in opened(corpus / "de.txt")] == ["de"]
    assert [row["sentences"] for row in opened(corpus, streaming=True)] == [["a", "b"], ["c"], ["d"]]


def test_documents_longer_than_a_block_stay_whole(corpus, monkeypatch):
    from likewise.data import readers

    monkeypatch.setattr(readers, "BLOCK_CHARACTERS", 16)
    sentences = [f"sentence {i}" for i in range(30)]
    write(corpus / "en.txt", "\n".join(sentences) + "\n\nlast one\n")
    assert [row["sentences"] for row in opened(corpus)] == [sentences, ["last one"]]


def test_a_document_that_is_no_utf8_is_named_with_its_line(corpus):
    corpus.mkdir()
    (corpus / "de.txt").write_bytes(b"gut\ngut\n\nschlecht \xff\nnoch\n\ngut\n")
    with pytest.raises(InputError, match=r"de.txt, row 2 \(line 4\): the document is not valid UTF-8"):
        opened(corpus)
    assert len(opened(corpus, bad_rows="skip")) == 2


@pytest.mark.parametrize(("make", "says"), [
    (lambda at: write(at / "de" / "a.jsonl", "{}"), "de/a.jsonl is no text file; documents are read from files"),
    (lambda at: write(at / "de.csv", "a"), "de.csv is no text file"),
    (lambda at: write(at / "de" / "notes.doc", "a"), "holds no data file"),
    (lambda at: None, "holds no data file"),
])  # fmt: skip
def test_what_is_no_document_is_refused(corpus, make, says):
    corpus.mkdir()
    make(corpus)
    with pytest.raises(InputError, match=says):
        opened(corpus)


def test_a_folder_of_folders_that_is_given_plainly_is_told_how_to_be_given(corpus):
    write(corpus / "de" / "a.txt", "a\nb\n")
    with pytest.raises(InputError, match=r"holds no data file.*is given as documents:.*corpus"):
        open_table(corpus, columns=COLUMNS)


def test_a_place_that_is_not_there_offers_the_nearest(corpus):
    corpus.mkdir()
    with pytest.raises(InputError, match=r"did you mean '.*corpus'"):
        opened(corpus.with_name("corpsu"))
