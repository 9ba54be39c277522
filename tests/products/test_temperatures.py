"""The table of temperatures: sorted, with the row's place and class, as lines and as a page."""

import json

import pytest
import torch
from PIL import Image

import likewise
from likewise import artefact
from likewise.errors import InputError

SMALL = {"encoder": "mlp-8", "image_size": 8, "channels": 1, "augment": "glyph", "progress": False}


@pytest.fixture(scope="module")
def data(digits):
    """Twelve sixes and three others, of which one has no class."""
    sixes = [row for row in digits if row["label"] == 6][:12]
    others = [row for row in digits if row["label"] == 1][:3]
    return [*sixes, *others[:2], {"image": others[2]["image"]}]


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """A trained folder in which frequent rows have high temperatures and one row was never visited."""
    folder = tmp_path_factory.mktemp("models") / "run"
    likewise.train("isogclr", data, out=folder, steps=1, batch_size=5, **SMALL)
    kept = dict(artefact.load_model(folder).kept)
    kept["temperatures"] = torch.tensor([0.5 + i / 100 for i in range(12)] + [0.1, 0.3, 0.2])
    kept["seen"] = torch.tensor([True] * 11 + [False] + [True] * 3)
    artefact.save_kept(folder, kept)
    return folder


def test_rows_come_by_temperature_with_their_place_and_class(model):
    result = likewise.use(model, "temperatures", show=3)
    assert [(row["row"], row["place"], row["label"], row["temperature"]) for row in result.rows] == [
        (12, "rows[12]", "1", 0.1),
        (14, "rows[14]", "-", 0.2),
        (13, "rows[13]", "1", 0.3),
        (8, "rows[8]", "6", 0.58),
        (9, "rows[9]", "6", 0.59),
        (10, "rows[10]", "6", 0.6),
    ]
    assert result.figures["rows"] == 14
    assert (result.figures["lowest"], result.figures["highest"]) == (0.1, 0.6)
    assert 0.5 < result.figures["spearman"] < 0.7  # 11 of a class of 11 above 2 of a class of 2
    assert result.files == ()


def test_all_rows_are_written_and_a_page_shows_both_ends(model, data, tmp_path, browse):
    result = likewise.use(model, "temperatures", out=str(tmp_path / "out"))
    rows = [json.loads(line) for line in (tmp_path / "out" / "temperatures.jsonl").read_text().splitlines()]
    assert [row["temperature"] for row in rows] == sorted(row["temperature"] for row in rows)
    assert len(rows) == 14
    assert rows[1] == {"row": 14, "place": "rows[14]", "label": None, "temperature": pytest.approx(0.2)}
    assert [file.name for file in result.files] == ["temperatures.jsonl", "temperatures.html"]
    view = browse(result.files[1])
    view.assert_sound()
    text = view.page.inner_text("body")
    assert "rows[12]" in text
    assert "The rank correlation" in text


def test_pictures_are_shown_where_the_data_are_given_and_are_those_of_training(digits, tmp_path, browse):
    folder = tmp_path / "pictures"
    for number, row in enumerate(digits[:8]):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(row["image"]).save(folder / "ab"[number % 2] / f"{number}.png")
    likewise.train("isogclr", folder, out=tmp_path / "run", steps=3, batch_size=4, **SMALL)
    result = likewise.use(tmp_path / "run", "temperatures", out=str(tmp_path / "out"), data=str(folder))
    assert {row["place"] for row in result.rows} == {f"{'ab'[i % 2]}/{i}.png" for i in range(8)}
    view = browse(result.files[1])
    view.assert_sound()
    assert view.page.locator("img").count() == 16  # eight rows from both ends
    assert view.page.evaluate("[...document.images].every(one => one.naturalWidth == 64)")
    (folder / "b" / "more.png").write_bytes((folder / "a" / "0.png").read_bytes())
    with pytest.raises(InputError, match="does not hold the rows that the model was trained on"):
        likewise.use(tmp_path / "run", "temperatures", out=str(tmp_path / "out"), data=str(folder))


def test_what_cannot_be_shown_is_refused(model, data, tmp_path):
    with pytest.raises(InputError, match="show is 0"):
        likewise.use(model, "temperatures", show=0)
    with pytest.raises(InputError, match="say where it goes with --out"):
        likewise.use(model, "temperatures", data="x")
    one = {"steps": 1, "batch_size": 5, "individual_temperatures": False}
    likewise.train("isogclr", data, out=tmp_path / "one", **one, **SMALL)
    with pytest.raises(InputError, match="one temperature for all rows"):
        likewise.use(tmp_path / "one", "temperatures")
