"""A model is whitened by one command, and every program opens what comes of it."""

import json

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch.testing import assert_close

import likewise
from likewise.artefact import Model, read_about
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError
from likewise.products.base import save_changed

WORDS = ["a dog", "the cat", "some house", "my river", "her train", "old bread", "one phone", "that garden"]
TEXTS = [
    f"{one} and {other} {end}"
    for one in WORDS
    for other in WORDS
    for end in ("here", "there", "in it", "as a 1", "", "2", "?")
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "small"
    load_text_encoder(TextEncoderConfig(encoder_layers=1)).served().save(folder)
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "texts.jsonl"
    path.write_text("".join(json.dumps({"line": text}) + "\n" for text in TEXTS))
    return path


def test_the_embeddings_of_the_texts_are_white_and_others_open_the_model(model, texts, tmp_path, capfd):
    from likewise.cli import main

    out = tmp_path / "white"
    words = [
        "use",
        model,
        "whiten",
        "--data",
        texts,
        "--columns",
        "text=line",
        "--out",
        out,
        "--eps",
        "0.001",
        "--json",
    ]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0
    result = json.loads(capfd.readouterr().out)
    assert result["figures"] == {"texts": len(TEXTS), "numbers": 384}
    assert result["files"] == [str(out)]
    told = {row["figure"]: (row["before"], row["after"]) for row in result["rows"]}
    assert told["uniformity"][1] < told["uniformity"][0] - 1
    assert abs(told["mean_cosine"][1]) < 0.05 < told["mean_cosine"][0]
    assert told["channel_correlation"][1] < told["channel_correlation"][0]
    assert told["effective_rank"][1] > told["effective_rank"][0]

    vectors = likewise.load(model).encode(TEXTS, precision="fp32")
    white = likewise.load(out).encode(TEXTS, precision="fp32")
    centred = vectors.double() - vectors.double().mean(dim=0)
    values, turned = torch.linalg.eigh(centred.mT @ centred / len(TEXTS))
    expected = centred @ turned / (values + 0.001 * values.mean()).sqrt() @ turned.mT
    assert_close(white, torch.nn.functional.normalize(expected, dim=1).float(), rtol=1e-3, atol=1e-4)
    theirs = torch.from_numpy(SentenceTransformer(str(out), device="cpu").encode(TEXTS[:9]))
    assert_close(theirs, white[:9], rtol=1e-3, atol=1e-4)
    assert f"{len(TEXTS)} texts of `texts.jsonl`" in (out / "README.md").read_text()
    assert likewise.load(model).encode(TEXTS[:3]).shape == (3, 384)  # the first is as it was


def test_every_model_can_be_whitened_and_help_says_how(capfd):
    from likewise.cli import main

    for words, said in (
        (["use", "all-MiniLM-L6-v2"], "whiten"),
        (["use", "all-MiniLM-L6-v2", "whiten", "--help"], "--eps"),
    ):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0
        assert said in capfd.readouterr().out


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data": ""}, "no data given; say which texts"),
        ({"out": ""}, "no folder given"),
        ({"out": "FULL"}, "exists and is not empty; give another --out"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"columns": ("text=lines",)}, "lines"),
        ({"eps": -1.0}, "the eps of the whitening is -1"),
        (
            {"data": "FEW"},
            "few.txt has 3 texts and the embeddings 384 numbers; whitening needs more texts than numbers",
        ),
        ({"outt": "x"}, "did you mean 'out'"),
    ],
)
def test_what_cannot_be_done_is_refused(model, texts, tmp_path, settings, says):
    (tmp_path / "few.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    places = {"FULL": str(tmp_path / "full"), "FEW": str(tmp_path / "few.txt")}
    given = {name: places.get(value, value) if isinstance(value, str) else value for name, value in settings.items()}
    columns = () if given.get("data", "").endswith(".txt") else ("text=line",)
    with pytest.raises(InputError, match=says):
        likewise.use(model, "whiten", **{"data": str(texts), "out": str(tmp_path / "out"), "columns": columns, **given})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [{}, {"table": torch.eye(2)}])
def test_what_is_known_of_the_training_is_saved_with_it_where_nothing_else_belongs_to_the_model(tmp_path, model, kept):
    about = {"method": "simcse", "paper": "a paper", "settings": {}, "data": {"name": "x"}, "training": {"steps": 3}}
    changed = load_text_encoder(model)
    save_changed(Model(changed, about, kept, model), changed, tmp_path / "new")
    found = read_about(tmp_path / "new")
    assert found is None if kept else found["method"] == "simcse"
    assert likewise.load(tmp_path / "new").fingerprint == changed.fingerprint
