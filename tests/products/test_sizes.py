import csv

import pytest
import torch

import likewise
from likewise.errors import InputError
from likewise.evaluation import similarity
from likewise.products.sizes import _depths, _widths


@pytest.fixture(scope="module")
def small(tmp_path_factory, minilm):
    """Two layers of the packaged model, saved."""
    folder = tmp_path_factory.mktemp("models") / "two"
    minilm.truncated(layers=2).save(folder)
    return folder


@pytest.fixture
def scored(tmp_path, sentences):
    path = tmp_path / "scored.csv"
    rows = [(i % 5, sentences[i], sentences[(3 * i + 1) % 8]) for i in range(8)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("score", "sentence1", "sentence2"), *rows])
    return path


def test_the_table_holds_what_evaluate_says_of_each_smaller_model(small, scored):
    result = likewise.use(small, "sizes", data=str(scored), layers=(1, 2), dims=(16, 384), rounds=1, precision="fp32")
    assert result.figures == {
        "task": "similarity",
        "metric": "spearman",
        "timed_texts": 7,
    }  # one of them is there twice
    assert [(row["layers"], row["dims"]) for row in result.rows] == [(1, 16), (1, 384), (2, 16), (2, 384)]
    for row in result.rows:
        cut = likewise.load(small, layers=row["layers"], dims=row["dims"])
        expected = similarity(cut, scored, bootstrap=0, precision="fp32").metrics["spearman"]
        assert row["spearman"] == pytest.approx(expected, abs=1e-4)
        assert row["texts/s"] > 0
        assert row["bytes/text"] == 4 * row["dims"]
    assert [row["speed-up"] for row in result.rows][2:] == [1.0, 1.0]
    assert result.rows[0]["model MB"] < result.rows[2]["model MB"]


def test_pairs_are_measured_as_a_retrieval_and_columns_may_have_other_names(small, tmp_path):
    data = tmp_path / "faq.csv"
    data.write_text("question,answer\nwhere is the dog,in the kennel\nwhere is the train,at the station\n")
    result = likewise.use(small, "sizes", data=str(data), columns=("query=question", "positive=answer"), dims=(32,))
    assert result.figures["metric"] == "ndcg@10"
    assert [(row["layers"], row["dims"]) for row in result.rows] == [(1, 32), (2, 32)]


def test_without_wishes_few_depths_and_widths_are_shown():
    assert _depths(6) == (1, 2, 3, 4, 5, 6)
    assert _depths(12) == (3, 6, 9, 12)
    assert _widths(384) == (16, 32, 64, 128, 256, 384)
    assert _widths(12) == (12,)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data": ""}, "no data given"),
        ({"layers": (3,)}, "layers is 3; the model .* has 2"),
        ({"dims": (400,)}, "dims is 400"),
        ({"rounds": 0}, "rounds is 0"),
        ({"task": "similarty"}, "did you mean 'similarity'"),
        ({"dim": (3,)}, "did you mean 'dims'"),
    ],
)
def test_what_cannot_be_measured_is_refused(small, scored, settings, says):
    with pytest.raises(InputError, match=says):
        likewise.use(small, "sizes", **{"data": str(scored), **settings})


def test_a_smaller_model_is_saved_with_what_is_known_of_it(tmp_path, sentences):
    rows = [{"text": text} for text in sentences]
    small = {"encoder_layers": 2, "max_tokens": 16, "batch_size": 4, "progress": False}
    likewise.train("simcse", rows, out=tmp_path / "run", steps=1, **small)
    result = likewise.use(tmp_path / "run", "truncate", layers=1, dims=16, out=str(tmp_path / "cut"))
    assert result.files == [tmp_path / "cut"]
    expected = likewise.load(tmp_path / "run", layers=1, dims=16)
    cut = likewise.load(tmp_path / "cut")
    assert torch.equal(cut.encode(sentences), expected.encode(sentences))
    assert result.figures["fingerprint"] == cut.fingerprint == expected.fingerprint
    about = likewise.artefact.read_about(tmp_path / "cut")
    assert about["method"] == "simcse"
    assert about["model"]["part"] == {"layers": 1, "dims": 16}
    assert "layers 1, dims 16" in (tmp_path / "cut" / "README.md").read_text()
    for settings, says in (
        ({"layers": 1, "out": str(tmp_path / "cut")}, "is not empty"),
        ({"layers": 1}, "no folder given"),
        ({"out": str(tmp_path / "new")}, "nothing is cut"),
        ({"layers": 9, "out": str(tmp_path / "new")}, "layers is 9"),
    ):
        with pytest.raises(InputError, match=says):
            likewise.use(tmp_path / "run", "truncate", **settings)
    assert not (tmp_path / "new").exists()


def test_a_model_that_was_not_trained_here_can_be_cut_too(small, tmp_path):
    result = likewise.use(small, "truncate", dims=8, out=str(tmp_path / "cut"))
    assert (result.figures["layers"], result.figures["dims"]) == (2, 8)
    assert not (tmp_path / "cut" / "likewise.json").exists()
    assert likewise.load(tmp_path / "cut").dim == 8
