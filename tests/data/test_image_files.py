"""Folders of pictures and WebDataset shards: what is a row, what its columns are, and what is said about the rest."""

import io
import json
import tarfile

import numpy as np
import PIL.Image
import pytest

from likewise.data import Column, Image, Label, Number, Text, open_table
from likewise.errors import InputError

IMAGE = [Column("image", Image)]
LABELLED = [*IMAGE, Column("label", Label)]
CAPTIONED = [*IMAGE, Column("text", Text)]


def png(shade=0, kind="PNG"):
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((2, 3), shade, dtype=np.uint8)).save(buffer, kind)
    return buffer.getvalue()


CUT = png(0, "JPEG")[:-20]


def shades(table):
    return [row["image"].rgb().getpixel((0, 0))[0] for row in table]


@pytest.fixture
def pets(write, tmp_path):
    """Two classes, with what is found beside pictures in real folders."""
    write("pets/dog/b.PNG", png(1))
    write("pets/cat/ü/x y.bmp", png(2, "BMP"))
    write("pets/cat/a.jpg", png(3))
    write("pets/dog/_DSC1.tiff", png(4, "TIFF"))
    write("pets/.hidden/c.png", png(5))
    write("pets/dog/.d.png", b"")
    write("pets/README.txt", "Photos of pets.\n")
    write("pets/dog/Thumbs.db", b"x")
    return tmp_path / "pets"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_picture_is_a_row_and_its_first_folder_the_class(pets, streaming, caplog):
    table = open_table(pets, columns=LABELLED, streaming=streaming)
    assert [row["label"] for row in table] == ["cat", "cat", "dog", "dog"]
    assert shades(table) == [3, 2, 4, 1]
    said = [f"{pets}: pictures are read, and 2 other files are not (README.txt, dog/Thumbs.db)"]
    assert [one.message for one in caplog.records] == said
    if not streaming:
        assert [table.extra(i)["file"] for i in range(4)] == [
            "cat/a.jpg",
            "cat/ü/x y.bmp",
            "dog/_DSC1.tiff",
            "dog/b.PNG",
        ]


def test_without_a_folder_each_there_is_no_class(pets, write):
    write("pets/e.png", png())
    assert open_table(pets, columns=IMAGE).extra_names == ["file"]
    with pytest.raises(InputError, match=r"has no column 'label'. Its columns: image, file\."):
        open_table(pets, columns=LABELLED)


def test_pictures_may_be_named_by_a_pattern_or_one_by_one(pets):
    assert shades(open_table(f"{pets}/*/*.jpg", columns=IMAGE)) == [3]
    assert shades(open_table(f"{pets}/**/*.[bj]*", columns=IMAGE)) == [3, 2]
    assert shades(open_table(pets / "cat/a.jpg", columns=IMAGE)) == [3]


def test_links_are_followed_but_not_in_circles(pets, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/felines").symlink_to(pets / "cat")
    (tmp_path / "linked/again").symlink_to(tmp_path / "linked")
    table = open_table(tmp_path / "linked", columns=LABELLED)
    assert [row["label"] for row in table] == ["felines", "felines"]


def test_metadata_files_add_columns(write, tmp_path):
    write("photos/a.png", png(1))
    write("photos/sub/b.png", png(2))
    write("photos/metadata.csv", "file_name,text,stars\na.png,a dog,3\n")
    write("photos/sub/metadata.jsonl", json.dumps({"file_name": "b.png", "text": "a cat"}) + "\n")
    columns = [*CAPTIONED, Column("stars", Number, required=False)]
    table = open_table(tmp_path / "photos", columns=columns)
    assert [(row["text"], row["stars"]) for row in table] == [("a dog", 3.0), ("a cat", None)]
    assert shades(table) == [1, 2]
    write("photos/metadata.csv", "file_name,text,stars\na.png,a hound,3\n")
    changed = open_table(tmp_path / "photos", columns=columns)
    assert changed[0]["text"] == "a hound"
    assert changed.fingerprint != table.fingerprint


def test_what_metadata_lack_is_a_bad_row_and_a_picture_they_name_in_vain_too(write, tmp_path):
    write("photos/a.png", png(1))
    write("photos/b.png", png(2))
    write("photos/metadata.csv", "file_name,text\nb.png,a dog\nc.png,a cat\n")
    table = open_table(tmp_path / "photos", columns=CAPTIONED, bad_rows="skip", rejected=tmp_path / "r.jsonl")
    assert shades(table) == [2]
    first, second = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert (first["row"], first["raw"]["file"]) == (1, "a.png")
    assert first["reason"].startswith("column 'text' is empty; ")
    assert second["reason"].startswith(f"column 'image' names the file '{tmp_path}/photos/c.png', which does not exist")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,text\na.png,x\n", "metadata.csv has no column 'file_name', which says what picture each row is about"),
        ("file_name,text\n,x\n", "metadata.csv, row 1: column 'file_name' names no picture. Mend the row."),
        ("file_name,text\na.png\n", "metadata.csv, row 1: the row has 1 fields and the header 2. Mend the row."),
    ],
)
def test_metadata_that_cannot_be_used_are_one_sentence(write, tmp_path, content, message):
    write("photos/a.png", png(1))
    write("photos/metadata.csv", content)
    with pytest.raises(InputError) as caught:
        open_table(tmp_path / "photos", columns=IMAGE)
    assert str(caught.value).startswith(message)


def test_the_broken_picture_of_a_folder_is_named(pets, tmp_path):
    (pets / "cat/broken.png").write_bytes(CUT)
    with pytest.raises(InputError) as caught:
        open_table(pets, columns=IMAGE)
    assert str(caught.value).startswith(
        f"{pets}, row 2: column 'image' cannot be decoded ('{pets}/cat/broken.png': truncated); every row needs"
    )
    assert len(open_table(pets, columns=IMAGE, bad_rows="skip")) == 4


def test_a_folder_of_rows_with_pictures_below_is_one_of_rows(write, tmp_path):
    for i in range(3):
        write(f"shop/images/{i}.png", png(i))
    write("shop/rows.jsonl", '{"image": "images/2.png"}\n{"image": "images/0.png"}\n')
    table = open_table(tmp_path / "shop", columns=IMAGE)
    assert (shades(table), table.name) == ([2, 0], "rows.jsonl")
    write("texts/a.txt", "one\n")
    write("texts/figures/a.png", png())
    assert open_table(tmp_path / "texts", columns=[Column("text", Text)])[0] == {"text": "one"}


def test_the_same_pictures_elsewhere_have_the_same_fingerprint(write, tmp_path):
    tables = []
    for place in ("here", "there"):
        write(f"{place}/a/1.png", png(1))
        write(f"{place}/b/1.png", png(2))
        tables.append(open_table(tmp_path / place, columns=LABELLED))
    assert tables[0].fingerprint == tables[1].fingerprint
    write("there/b/1.png", png(3))
    assert open_table(tmp_path / "there", columns=LABELLED).fingerprint != tables[0].fingerprint


def test_a_stored_table_knows_when_pictures_it_names_have_changed(write, tmp_path, cache):
    rows = write("rows.jsonl", '{"image": "a.png"}\n{"image": "b.png"}\n')
    path = write("a.png", png(1))
    write("b.png", png(9))
    first = open_table(rows, columns=IMAGE)
    stored = {one: one.stat().st_ino for one in cache.rglob("*.arrow")}
    again = open_table(rows, columns=IMAGE)
    assert {one: one.stat().st_ino for one in cache.rglob("*.arrow")} == stored
    assert again.fingerprint == first.fingerprint
    write("a.png", png(2, "BMP"))
    changed = open_table(rows, columns=IMAGE)
    assert shades(changed) == [2, 9]
    assert changed.fingerprint != first.fingerprint
    path.unlink()
    with pytest.raises(InputError, match=r"row 1: column 'image' names the file '.*a\.png', which does not exist"):
        open_table(rows, columns=IMAGE)


def test_a_stop_while_pictures_are_looked_at_leaves_nothing_behind(write, tmp_path, cache, monkeypatch):
    for i in range(3):
        write(f"photos/{i}.png", png(i))

    def stopped(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("likewise.data.images.StoredImage.digest", stopped)
        with pytest.raises(KeyboardInterrupt):
            open_table(tmp_path / "photos", columns=IMAGE)
    assert [one for one in (cache / "tables").iterdir() if one.suffix != ".lock"] == []
    assert shades(open_table(tmp_path / "photos", columns=IMAGE)) == [0, 1, 2]


def shard(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


MEMBERS = {
    "x/0001.png": png(1),
    "x/0001.cls": b"3\n",
    "x/0001.txt": "a dög".encode(),
    "x/0001.json": b'{"text": "not this", "stars": 5}',
    "x/0001.mask.png": png(7),
    "x/0002.b.WEBP": png(0, "WEBP"),
    "x/0002.webp": png(0, "WEBP"),
    "x/0002.cls": b"cat",
    "x/0002.txt": b"a cat",
}


@pytest.mark.parametrize("streaming", [False, True])
def test_members_of_one_name_are_a_row(write, streaming):
    columns = [*LABELLED, Column("text", Text), Column("stars", Number, required=False)]
    columns.append(Column("mask", Image, required=False))
    first, second = open_table(write("a.tar", shard(MEMBERS)), columns=columns, streaming=streaming)
    assert (first["label"], first["text"], first["stars"]) == ("3", "a dög", 5.0)
    assert (second["label"], second["text"], second["stars"], second["mask"]) == ("cat", "a cat", None, None)
    assert (shades([first]), first["mask"].rgb().getpixel((0, 0))) == ([1], (7, 7, 7))


def test_shards_are_read_one_after_the_other_and_compressed_ones_too(write, tmp_path):
    import gzip

    write("s/000.tar", shard({"1.png": png(1), "2.png": png(2)}))
    write("s/001.tar.gz", gzip.compress(shard({"3.png": png(3)})))
    table = open_table(tmp_path / "s", columns=IMAGE)
    assert shades(table) == shades(open_table(f"{tmp_path}/s/*.tar*", columns=IMAGE)) == [1, 2, 3]
    assert [table.where(i) for i in range(3)] == ["000.tar, row 1", "000.tar, row 2", "001.tar.gz, row 1"]
    assert table.extra(2) == {"key": "3"}


def test_a_bad_row_of_a_shard_is_told_by_its_number(write, tmp_path):
    members = {"1.png": png(1), "2.png": CUT, "3.txt": b"\xff", "4.json": b"{", "4.png": png(), "5.png": png(5)}
    path = write("a.tar", shard(members))
    with pytest.raises(InputError, match=r"^a\.tar, row 2: column 'image' cannot be decoded \(truncated\); every row"):
        open_table(path, columns=IMAGE)
    table = open_table(path, columns=IMAGE, bad_rows="skip", rejected=tmp_path / "r.jsonl")
    assert shades(table) == [1, 5]
    rejected = list(map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines()))
    assert [one["row"] for one in rejected] == [2, 3, 4]
    assert rejected[0]["raw"] == {"key": "2", "image": f"{len(CUT)} bytes"}
    assert rejected[1]["reason"].startswith("the member '3.txt' is no valid UTF-8 (")
    assert rejected[2]["reason"].startswith("the member '4.json' is no valid JSON (")


@pytest.mark.parametrize("content", [b"no tar at all", shard(MEMBERS)[:700], shard({"1.png": bytes(3000)})[:2000]])
def test_a_damaged_shard_is_one_sentence(write, content):
    with pytest.raises(InputError, match=r"^a\.tar is no tar file, or is cut off or damaged \(.*\); fetch or make it"):
        open_table(write("a.tar", content), columns=IMAGE)


def test_members_that_nobody_reads_are_named_once(write, caplog):
    path = write("a.tar", shard({"1.png": png(), "1.wav": b"", "2.png": png(), "2.wav": b"", "2.a.bin": b""}))
    assert len(open_table(path, columns=IMAGE)) == 2
    assert [one.message for one in caplog.records] == ["a.tar: members that end in .a.bin, .wav are not read"]


def test_the_encoding_of_a_shard_cannot_be_chosen(write):
    with pytest.raises(InputError, match=r"a\.tar is no file of text and needs no encoding; leave iso8859-1 out"):
        open_table(write("a.tar", shard(MEMBERS)), columns=IMAGE, encoding="latin-1")
