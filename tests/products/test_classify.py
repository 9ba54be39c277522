"""Classes told by examples, of pictures and of texts, from files, with their page."""

import json

import pytest
from PIL import Image

import likewise
from likewise.errors import InputError
from likewise.products import products_of

SMALL = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 16, "precision": "fp32"}
EXAMPLES = [
    ("the cat sleeps on the sofa", "animals"), ("dogs bark at the postman", "animals"),
    ("shares fell after the report", "markets"), ("the bank raised its rates", "markets"),
]  # fmt: skip
ASKED = [
    ("a kitten naps beside a dog", "animals"), ("bond yields rose sharply", "markets"),
    ("the cat chased the dog", "animals"), ("investors sold their stocks", "markets"),
]  # fmt: skip


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    likewise.train("simclr", digits[:64], out=folder, steps=2, progress=False, **SMALL)
    return folder


def test_every_model_has_it():
    assert "classify" in products_of("all-MiniLM-L6-v2")


def test_pictures_of_a_folder_are_told_by_those_of_labelled_folders(model, digits, tmp_path, browse):
    for i, row in enumerate(digits[:120]):
        if row["label"] < 3:
            folder = tmp_path / ("labelled" if i < 60 else "new") / str(row["label"])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(row["image"]).save(folder / f"{i}.png")
    assert "classify" in products_of(model)
    how = {"examples": str(tmp_path / "labelled"), "data": str(tmp_path / "new"), "truth": "label"}
    found = likewise.use(model, "classify", out=str(tmp_path / "told"), show=3, **how)
    assert [row["class"] for row in found.rows] == ["0", "1", "2"]
    assert sum(row["told"] for row in found.rows) == found.figures["items"]
    assert found.figures["accuracy"] > 0.6
    listed = [json.loads(line) for line in (tmp_path / "told" / "told.jsonl").read_text().splitlines()]
    assert len(listed) == found.figures["items"]
    assert all((tmp_path / "new" / row["place"]).is_file() for row in listed)
    assert all(row["margin"] >= 0 and row["next"] != row["class"] for row in listed)
    seen = browse(tmp_path / "told" / "told.html")
    seen.assert_sound()
    assert seen.page.locator("img").count() == sum(min(3, row["told"]) for row in found.rows)
    assert likewise.use(model, "classify", align=True, **how).figures["accuracy"] > 0.6


def test_texts_are_told_from_the_command_line_by_a_packaged_model(tmp_path, capfd, browse):
    from likewise.cli import main

    for name, rows in (("examples", EXAMPLES), ("asked", ASKED)):
        lines = (json.dumps({"body": text, "topic": label}) for text, label in rows)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    given = {"examples": tmp_path / "examples.jsonl", "data": tmp_path / "asked.jsonl", "out": tmp_path / "told"}
    words = [word for name, path in given.items() for word in (f"--{name}", str(path))]
    words += ["--columns", "text=body", "label=topic", "--truth", "topic", "--json"]
    with pytest.raises(SystemExit) as end:
        main(["use", "all-MiniLM-L6-v2", "classify", *words])
    assert not end.value.code
    told = json.loads(capfd.readouterr().out)
    assert told["figures"] == {"items": 4, "classes": 2, "accuracy": 1.0}
    seen = browse(tmp_path / "told" / "told.html")
    seen.assert_sound()
    assert "a kitten naps beside a dog" in seen.page.inner_text("body")


def test_a_wrong_choice_names_what_is_accepted_and_the_help_that_lists_it(capfd):
    from likewise.cli import main

    with pytest.raises(SystemExit) as end:
        main(["use", "all-MiniLM-L6-v2", "classify", "--nearest", "cosin"])
    assert end.value.code == 2
    said = capfd.readouterr().err
    assert "'--nearest': 'cosin' is not one of 'euclidean', 'dot', 'logistic'." in said
    assert "See `likewise use all-MiniLM-L6-v2 classify --help`." in said


def test_what_it_cannot_take_is_said(model, digits, tmp_path):
    rows = digits[:20]
    for settings, says in (
        ({"data": rows}, "no examples given"),
        ({"examples": rows}, "no data given"),
        ({"examples": rows, "data": rows, "show": 0}, "show is 0"),
        ({"examples": [{**row, "label": 1} for row in rows], "data": rows}, "examples are of 1 class"),
        ({"examples": rows, "data": rows, "truth": "kind"}, "kind"),
        ({"examples": rows, "data": rows, "truth": "image"}, "truth is 'image'"),
        ({"examples": rows, "data": rows, "out": __file__}, "is a file, and a folder is meant"),
        ({"examples": [{"text": "a", "label": 1}, {"text": "b", "label": 2}], "data": rows}, "pictures"),
    ):
        with pytest.raises(InputError, match=says):
            likewise.use(model, "classify", **settings)


def test_of_two_classes_with_equal_scores_the_other_comes_next(tmp_path):
    examples = [{"text": "a cat sleeps", "label": label} for label in ("a", "b")]
    likewise.use("all-MiniLM-L6-v2", "classify", examples=examples, data=[{"text": "a dog"}], out=str(tmp_path))
    told = json.loads((tmp_path / "told.jsonl").read_text())
    assert (told["class"], told["margin"], told["next"]) == ("a", 0, "b")


def test_a_space_of_a_model_can_be_asked_for(digits, tmp_path):
    rows = [{"image": row["image"], "target": i % 2, "label": row["label"] % 2} for i, row in enumerate(digits[:32])]
    likewise.train("sepclr", rows, out=tmp_path / "run", steps=2, progress=False, **{**SMALL, "batch_size": 8})
    how = {"examples": rows[:16], "data": rows[16:], "truth": "label"}
    for space in ("salient", "common"):
        assert likewise.use(tmp_path / "run", "classify", space=space, **how).figures["items"] == 16
    with pytest.raises(InputError, match="'comon'"):
        likewise.use(tmp_path / "run", "classify", space="comon", **how)
