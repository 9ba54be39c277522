"""An index of pictures: found by a picture as a loop over all finds them, and by the words beside them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import likewise
from likewise.data import Column, open_table
from likewise.data import Image as Image_
from likewise.errors import InputError
from likewise.search import Index

SMALL = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 16, "precision": "fp32"}


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    likewise.train("simclr", digits[:64], out=folder, steps=2, progress=False, **SMALL)
    return folder


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """Forty pictures, in a folder for each digit."""
    made = tmp_path_factory.mktemp("pictures")
    for i, row in enumerate(digits[100:140]):
        (made / str(row["label"])).mkdir(exist_ok=True)
        Image.fromarray(row["image"]).save(made / str(row["label"]) / f"{i}.png")
    return made


@pytest.fixture(scope="module")
def index(model, folder, tmp_path_factory):
    return Index.create(tmp_path_factory.mktemp("index") / "index", likewise.load(model), folder)


def test_a_picture_finds_what_a_loop_over_all_pictures_finds(index, model, folder, digits):
    embedder, asked = likewise.load(model), digits[200]["image"]
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.png"))
    vectors = embedder.encode([str(folder / file) for file in files], precision="fp32")
    cosines = vectors @ embedder.encode([asked], precision="fp32")[0]
    hits = index.search(asked, 5)
    assert [hit.text for hit in hits] == [files[i] for i in cosines.topk(5).indices.tolist()]
    assert [hit.score for hit in hits] == pytest.approx(cosines.topk(5).values.tolist(), abs=5e-3)  # in bfloat16
    for hit in hits:
        assert hit.metadata["label"] == hit.text.split("/")[0]
        assert hit.metadata["image"] == str(folder / hit.text)


def test_a_picture_may_be_given_in_any_form_and_as_a_vector(index, model, digits, tmp_path):
    asked = digits[200]["image"]
    path = tmp_path / "asked.png"
    Image.fromarray(asked).save(path)
    vector = likewise.load(model).encode([asked])[0]
    found = [hit.id for hit in index.search(asked, 5)]
    for query in (path, str(path), path.read_bytes(), Image.open(path), vector, vector.numpy()):
        assert [hit.id for hit in index.search(query, 5)] == found


def test_what_stands_beside_pictures_is_found_by_words_and_narrows_a_search(model, digits, tmp_path):
    rows = [
        {"image": row["image"], "text": f"a hand-written {name}" if name else "  ", "digit": row["label"]}
        for row, name in zip(digits[:3], ("nought", "one", ""), strict=True)
    ]
    made = Index.create(tmp_path / "index", likewise.load(model), rows)
    assert [hit.id for hit in made.search("nought", mode="text")] == ["0"]
    assert [hit.id for hit in made.search(digits[0]["image"], where="digit = 1")] == ["1"]
    assert made.get([2])[0].text == "rows[2]"  # without words or a file it says where it comes from
    assert made.get([0])[0].metadata == {"digit": 0, "image": None}
    made.add([{"image": digits[3]["image"], "text": "three", "digit": 3}])
    again = Index.open(tmp_path / "index")
    assert again.search(digits[3]["image"], 1)[0].text == "three"
    assert again.info()["image_column"] == "image"


def test_the_command_line_makes_searches_and_shows_it(model, folder, digits, tmp_path, capfd, browse):
    from likewise.cli import main

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return end.value.code or 0, *capfd.readouterr()

    Image.fromarray(digits[200]["image"]).save(tmp_path / "asked.png")
    assert run("index", model, "--data", folder, "--out", tmp_path / "index")[0] == 0
    page = tmp_path / "found" / "hits.html"
    code, out, _ = run("search", tmp_path / "index", tmp_path / "asked.png", "-k", 4, "--json", "--page", page)
    assert code == 0
    assert len(json.loads(out)) == 4
    seen = browse(page)
    seen.assert_sound()
    assert seen.page.locator("img").count() == 5  # the query, and what was found
    code, out, err = run("search", tmp_path / "index", "astronaut.png")
    assert code == 1
    assert "index is of pictures, and the query is 'astronaut.png'" in err


def test_what_it_cannot_take_is_said(index, model, digits, tmp_path):
    for query, mode, says in (
        (b"no picture", "vector", "the query is a bytes, which cannot be read"),
        ("dog", "hybrid", "index '.*' is of pictures"),
        (np.zeros((3, 3)), "vector", "the query is a ndarray"),
    ):
        with pytest.raises(InputError, match=says):
            index.search(query, mode=mode)
    with pytest.raises(ValueError, match=r"\[3\]"):
        index.search(torch.ones(3))
    Image.fromarray(np.zeros((2, 2), np.float32), mode="F").save(tmp_path / "float.tif")
    with pytest.raises(InputError, match=r"float\.tif', which cannot be read"):
        index.search(tmp_path / "float.tif")
    embedder = likewise.load(model)
    for given, says in (
        ({"text_column": "captoin"}, "'captoin'"),
        ({"text_column": "image"}, "cannot hold both"),
        ({"image_column": "photo"}, "--image-column THEIRS"),
    ):
        with pytest.raises(InputError, match=says):
            Index.create(tmp_path / "index", embedder, digits[:3], **given)
    with pytest.raises(InputError, match=r"rows\[0\]: column 'text' is a number \(2019\)"):
        Index.create(tmp_path / "index", embedder, [{**digits[0], "text": 2019}])
    optional = open_table([digits[0], {"image": None, "text": "a"}], columns=[Column("image", Image_, required=False)])
    with pytest.raises(InputError, match=r"rows\[1\]: column 'image' holds no picture"):
        Index.create(tmp_path / "index", embedder, optional)
    with pytest.raises(InputError, match="image"):
        Index.create(tmp_path / "index", likewise.load(model), [{"text": "a"}])
    with pytest.raises(InputError, match=r"rows\[1\]"):
        Index.create(tmp_path / "index", likewise.load(model), [digits[0], {"image": b"broken"}])
    assert not (tmp_path / "index").exists()


def test_an_index_of_texts_refuses_a_picture(tmp_path, minilm):
    made = Index.create(tmp_path / "index", minilm, [{"text": "a dog"}])
    with pytest.raises(InputError, match="index is of texts, and the query is a PosixPath"):
        made.search(tmp_path / "dog.png")
    with pytest.raises(InputError, match="reads texts, and 'photo' is for pictures"):
        Index.create(tmp_path / "other", minilm, [{"text": "a dog"}], image_column="photo")


@pytest.mark.parametrize("kind", ["cut", "salient", "common"])
def test_a_model_with_a_head_or_several_spaces_is_found_again(kind, folder, digits, tmp_path):
    from likewise.cli import main

    rows = [{**row, "target": i % 2} for i, row in enumerate(digits[:32])]
    made, space = tmp_path / "run", []
    if kind == "cut":
        settings = {**SMALL, "head": "mlp", "head_size": 8, "keep": "layer1"}
        likewise.train("projection-head", rows, out=made, steps=2, progress=False, **settings)
    else:
        space = ["--space", kind]
        likewise.train("sepclr", rows, out=made, steps=2, progress=False, **{**SMALL, "batch_size": 8})
    for words in (["index", made, "--data", folder, "--out", tmp_path / "index", *space],
                  ["search", tmp_path / "index", next(folder.rglob("*.png"))]):  # fmt: skip
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        assert not end.value.code
    assert Index.open(tmp_path / "index").search(next(folder.rglob("*.png")), 1)[0].score == pytest.approx(1, abs=1e-2)


def test_a_page_says_which_pictures_cannot_be_shown(model, digits, tmp_path, capfd, browse, monkeypatch):
    from likewise.cli import main

    monkeypatch.chdir(tmp_path)
    for i, row in enumerate(digits[:3]):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray(row["image"]).save(tmp_path / "pictures" / f"{i}.png")
    Image.fromarray(digits[9]["image"]).save(tmp_path / "2.png")
    rows = [{"photo.x": str(tmp_path / "pictures" / f"{i}.png"), "text": "harbour"} for i in range(3)]
    rows.append({"photo.x": {"bytes": (tmp_path / "2.png").read_bytes(), "path": "2.png"}, "text": "harbour"})
    Index.create(tmp_path / "index", likewise.load(model), rows, image_column="photo.x")
    (tmp_path / "pictures" / "0.png").write_bytes(b"damaged")
    (tmp_path / "pictures" / "1.png").unlink()
    (tmp_path / "harbour").write_bytes(b"no picture")
    with pytest.raises(SystemExit) as end:
        main(["search", "index", "harbour", "--mode", "text", "--page", "found.html"])
    assert not end.value.code
    assert "photo" not in capfd.readouterr().out  # the path is not in the table
    seen = browse(tmp_path / "found.html")
    seen.assert_sound()
    assert seen.page.locator("img").count() == 1  # a word search shows no query, and bytes with a name are no file
    assert "3 are not shown" in seen.page.inner_text("body")
