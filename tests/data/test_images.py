"""Pictures: however they are given they come back as they were, and one that cannot be decoded is a bad row."""

import io
import json
import pickle

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from likewise.data import Column, Image, Stages, StoredImage, Text, as_rgb, open_table
from likewise.errors import InputError

IMAGE = [Column("image", Image)]
NEEDS = "every row needs a picture that can be decoded"
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def encoded(picture=None, kind="PNG", **options):
    buffer = io.BytesIO()
    (PIL.Image.fromarray(NOISE) if picture is None else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(picture):
    return np.asarray(picture).tolist()


@given(hnp.arrays(np.uint8, st.sampled_from([(1, 1), (2, 3), (2, 3, 3), (3, 2, 4)])))
def test_an_array_comes_back_as_it_was(array):
    assert np.array_equal(np.asarray(StoredImage.of(array).open()), array)


def test_a_picture_may_be_given_in_every_way(write):
    path = write("ü b.png", encoded())
    forms = [str(path), path, encoded(), PIL.Image.fromarray(NOISE), NOISE, {"bytes": encoded(), "path": None}]
    forms += [{"path": str(path)}, StoredImage.of(NOISE)]
    table = open_table([{"image": form} for form in forms], columns=IMAGE)
    assert all(pixels(row["image"].open()) == NOISE.tolist() for row in table)
    assert all(type(row["image"]) is StoredImage for row in table.rows([0, 5]))


def test_equality_is_of_the_bytes_or_else_of_the_path():
    assert StoredImage(b"x", "a.png") == StoredImage(b"x") != StoredImage(b"y")
    assert StoredImage(path="a.png") == StoredImage(path="a.png") != StoredImage(b"a.png")
    assert len({StoredImage(b"x", "a.png"), StoredImage(b"x"), StoredImage(path="a.png")}) == 2
    assert pickle.loads(pickle.dumps(StoredImage(b"x", "a.png"))) == StoredImage(b"x")
    with pytest.raises(ValueError, match="both are None"):
        StoredImage()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_decoded_whatever_the_name_says(write, kind):
    path = write("wrong.jpg", encoded(kind=kind))
    picture = open_table([{"image": path}], columns=IMAGE)[0]["image"]
    assert (picture.rgb().size, picture.rgb().mode) == ((32, 24), "RGB")


def test_a_picture_is_turned_as_its_exif_data_say():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    turned = StoredImage(encoded(kind="JPEG", exif=exif)).open()
    plain = StoredImage(encoded(kind="JPEG")).open()
    assert pixels(turned) == pixels(plain.transpose(PIL.Image.Transpose.ROTATE_270))
    opened = PIL.Image.open(io.BytesIO(encoded(kind="JPEG", exif=exif)))
    assert pixels(StoredImage.of(opened).open()) == pixels(turned)
    assert StoredImage(encoded(kind="JPEG", exif=b"Exif\0\0damaged")).open().size == (32, 24)


def test_the_first_picture_of_an_animation_is_taken():
    first, second = PIL.Image.new("RGB", (2, 2), "red"), PIL.Image.new("RGB", (2, 2), "blue")
    animated = StoredImage(encoded(first, "GIF", save_all=True, append_images=[second]))
    assert animated.rgb().getpixel((0, 0)) == (255, 0, 0)


def test_what_is_transparent_is_laid_on_the_background():
    half = StoredImage.of(np.array([[[0, 0, 0, 0], [255, 0, 0, 255]]], dtype=np.uint8))
    assert pixels(half.rgb()) == [[[255, 255, 255], [255, 0, 0]]]
    assert pixels(half.rgb((0, 0, 9))) == [[[0, 0, 9], [255, 0, 0]]]
    palette = PIL.Image.new("P", (1, 1), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert pixels(StoredImage(encoded(palette)).rgb()) == [[[10, 20, 30]]]
    assert pixels(StoredImage(encoded(palette, transparency=1)).rgb("#010203")) == [[[1, 2, 3]]]
    grey = PIL.Image.fromarray(np.array([[7, 8]], dtype=np.uint8))
    assert pixels(StoredImage(encoded(grey, transparency=7)).rgb()) == [[[255] * 3, [8] * 3]]


def test_grey_of_16_bits_keeps_its_shades():
    deep = PIL.Image.fromarray(np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16))
    for kind in ("PNG", "TIFF"):
        assert np.asarray(StoredImage(encoded(deep, kind)).rgb())[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_becomes_rgb():
    ink = PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert max(abs(np.subtract(StoredImage(encoded(ink, "JPEG")).rgb().getpixel((4, 4)), (254, 0, 0)))) <= 2
    assert StoredImage.of(ink).open().getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(ValueError, match="has pixels of the form 'F', of which black and white are not known"):
        as_rgb(PIL.Image.new("F", (1, 1)))


BAD = {
    "a truncated JPEG": (encoded(kind="JPEG")[:-20], "cannot be decoded (truncated)"),
    "half a PNG": (encoded()[:500], "cannot be decoded (truncated)"),
    "no bytes": (b"", "cannot be decoded (0 bytes)"),
    "a text": (b"hello", "cannot be decoded (no picture of a known format)"),
    "a format that starts a program": (
        encoded(kind="EPS"),
        "cannot be decoded (no picture of a known format)",
    ),
    "floats": (
        encoded(PIL.Image.new("F", (2, 2)), "TIFF"),
        "cannot be decoded (pixels of the form 'F', of which black and white are not known)",
    ),
    "no file": ("/no/such.png", "names the file '/no/such.png', which does not exist"),
    "nothing": (None, "is missing"),
    "an empty path": (" ", "is missing"),
    "neither bytes nor path": ({"bytes": None, "path": None}, "is missing"),
    "a number": (5, "is a number (5)"),
    "an array of numbers": (
        np.zeros((3, 4, 4), dtype=np.float32),
        "is an array of float32 [3, 4, 4]; uint8 [H, W], [H, W, 3] or [H, W, 4] is accepted",
    ),
    "an array of two channels": (
        np.zeros((4, 4, 2), dtype=np.uint8),
        "is an array of uint8 [4, 4, 2]; uint8 [H, W], [H, W, 3] or [H, W, 4] is accepted",
    ),
    "a half-readable file name": ("\udcff.png", "has a file name that is no valid Unicode"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_picture_that_cannot_be_used_is_a_bad_row(case, tmp_path):
    value, reason = BAD[case]
    rows = [{"image": NOISE}, {"image": value}]
    with pytest.raises(InputError) as caught:
        open_table(rows, columns=IMAGE)
    assert str(caught.value) == f"rows[1]: column 'image' {reason}; {NEEDS}. Mend the row or pass bad_rows=\"skip\"."
    table = open_table(rows, columns=IMAGE, bad_rows="skip", rejected=tmp_path / "rejected.jsonl")
    assert (len(table), table.rejected) == (1, 1)
    (line,) = map(json.loads, (tmp_path / "rejected.jsonl").read_text().splitlines())
    assert line["row"] == 2
    assert len(json.dumps(line["raw"])) < 400
    if isinstance(value, bytes):
        assert line["raw"] == {"image": f"{len(value)} bytes"}


def test_a_picture_of_too_many_pixels_is_a_bad_row(monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(InputError, match=r"column 'image' cannot be decoded \(more than 700 pixels\)"):
        open_table([{"image": encoded()}], columns=IMAGE)


def test_a_file_of_pictures_tells_which_row_cannot_be_decoded(tmp_path, write):
    good, broken = encoded(), encoded(kind="JPEG")[:-20]
    pq.write_table(pa.table({"image": [good, broken, good], "id": [1, 2, 3]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"^a\.parquet, row 2: column 'image' cannot be decoded \(truncated\); every"):
        open_table(tmp_path / "a.parquet", columns=IMAGE)
    table = open_table(tmp_path / "a.parquet", columns=IMAGE, bad_rows="skip", rejected=tmp_path / "r.jsonl")
    assert (len(table), table.where(1), table.extra(1)) == (2, "a.parquet, row 3", {"id": 3})
    assert json.loads((tmp_path / "r.jsonl").read_text())["raw"] == {"image": f"{len(broken)} bytes", "id": 2}
    write("b/cut.jpg", broken)
    with pytest.raises(
        InputError, match=r"b\.jsonl, row 1: column 'image' cannot be decoded \('/.*/b/cut\.jpg': trunc"
    ):
        open_table(write("b.jsonl", '{"image": "b/cut.jpg"}\n'), columns=IMAGE)


def test_a_table_of_datasets_is_read_as_it_is(tmp_path, write):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    rows = {"image": [PIL.Image.fromarray(NOISE), str(write("one.png", encoded()))], "label": ["a", "b"]}
    found = datasets.Dataset.from_dict(rows, features=features)
    for source in (found, tmp_path / "a.parquet"):
        if source is not found:
            found.to_parquet(source)
        table = open_table(source, columns=IMAGE)
        assert [pixels(row["image"].open()) for row in table] == [NOISE.tolist()] * 2
        assert table.extra(1) == {"label": "b"}
        streamed = open_table(source, columns=IMAGE, streaming=True)
        assert [row["image"] for row in streamed] == [row["image"] for row in table]
    assert table.column("image").type == datasets.Image().pa_type


@pytest.mark.parametrize("many", [False, True])
def test_blocks_of_many_pictures_and_missing_ones_come_back_in_order(many):
    small = [encoded(PIL.Image.fromarray(np.full((1, 1), i, dtype=np.uint8))) for i in range(150)]
    column = Column("image", Image, required=False, many=many)
    rows = [{"text": str(i), "image": None if i % 7 == 0 else data} for i, data in enumerate(small)]
    table = open_table(rows, columns=[Column("text", Text), column])
    none, one = ([], lambda data: [StoredImage(data)]) if many else (None, StoredImage)
    expected = [none if i % 7 == 0 else one(data) for i, data in enumerate(small)]
    assert [row["image"] for row in table] == expected
    assert [row["image"] for row in open_table(rows, columns=[column], streaming=True)] == expected
    assert table.brings(column).tolist() == [i % 7 != 0 for i in range(150)]
    assert pickle.loads(pickle.dumps(table))[149] == table[149]


def test_the_fingerprint_is_of_the_pictures_and_not_of_their_place(write):
    write("x/a.png", encoded())
    write("y/z/b.png", encoded())
    tables = [
        open_table(write("x/rows.jsonl", '{"image": "a.png"}\n'), columns=IMAGE),
        open_table(write("y/rows.csv", "image\nz/b.png\n"), columns=IMAGE),
        open_table([{"image": encoded()}], columns=IMAGE),
    ]
    assert len({table.fingerprint for table in tables}) == 1
    other = open_table([{"image": encoded(kind="BMP")}], columns=IMAGE)
    assert other.fingerprint != tables[0].fingerprint


def test_a_picture_that_goes_away_after_opening_is_one_sentence(write):
    path = write("a.png", encoded())
    row = open_table([{"image": path}], columns=IMAGE)[0]
    path.unlink()
    with pytest.raises(
        InputError, match=r"the picture '.*a\.png' cannot be read \(No such file or directory\); put it"
    ):
        row["image"].open()
    with pytest.raises(InputError, match=r"the picture of 5 bytes cannot be decoded \(no picture of a known format\)"):
        StoredImage(b"hello").open()


def test_prepared_tables_may_hold_pictures(tmp_path):
    made = Stages(tmp_path).table("crops", IMAGE, lambda: [{"image": NOISE}], depends_on={})
    assert pixels(made[0]["image"].open()) == NOISE.tolist()
