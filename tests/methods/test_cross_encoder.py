"""The cross-encoder: its loss by hand, its labels, and the way from a file to a teacher on the command line."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise import artefact
from likewise.data import Stages, open_table
from likewise.errors import InputError
from likewise.methods.text.cross_encoder import Config, CrossEncoderMethod
from likewise.run_config import RunConfig

PAIRS = [("a small house for a dog", "kennel"), ("bread", "the river"), ("a cat sleeps", "a cat dreams")]


def rows(labels):
    return [{"a": a, "b": b, "label": label} for (a, b), label in zip(PAIRS, labels, strict=True)]


def batch_of(method, labels, folder):
    table = open_table(rows(labels), columns=method.columns_for(method.config))
    prepared = method.prepare(table, Stages(folder))
    views = method.views()
    random = np.random.default_rng(0)
    return views.collate([views(row, random) for row in prepared], list(range(len(prepared))))


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        (Config(), ["1", "no", "0"]),
        (Config("classes", ("x", "y", "z")), ["z", "x", "y"]),
        (Config("regression"), [1.5, 5, 3]),
    ],
)
def test_the_loss_of_a_step_is_that_of_a_plain_loop_over_scores(tiny_tower, tmp_path, config, labels):
    method = CrossEncoderMethod(config, tiny_tower).eval()
    output = method(batch_of(method, labels, tmp_path))
    expected = 0.0
    for scores, label in zip(method.joint.score(PAIRS).tolist(), labels, strict=True):
        if config.task == "binary":
            expected += math.log1p(math.exp(-scores[0] if label == "1" else scores[0]))
        elif config.task == "classes":
            expected += math.log(sum(map(math.exp, scores))) - scores[config.classes.index(label)]
        else:
            expected += (scores[0] - label) ** 2
    assert output.loss.item() == pytest.approx(expected / 3, rel=1e-4)
    assert output.contrast is None


def test_a_file_becomes_a_teacher_that_scores_the_same_after_loading(tmp_path, likewise_line):
    data = tmp_path / "pairs.csv"
    data.write_text("a,b,label\n" + "".join(f"text {i},other {i % 3},{i % 2}\n" for i in range(12)))
    out = tmp_path / "teacher"
    likewise_line("train", "cross-encoder", "--data", data, "--out", out, "--steps", 2, "--batch-size", 4,
                  "--encoder-layers", 1, "--eval-data", data)  # fmt: skip
    assert (out / "validation.csv").read_text().splitlines()[0] == "step,accuracy,f1"
    scorer = artefact.load_pair_scorer(out)
    assert scorer.score(PAIRS).shape == (3, 1)
    again = artefact.load_pair_scorer(out)
    assert torch.equal(again.score(PAIRS), scorer.score(PAIRS))
    assert again.fingerprint == scorer.fingerprint
    likewise_line("use", out, "score", data, "--scores", tmp_path / "scores", "--show", 2)
    with pytest.raises(InputError, match="reads both texts at once; --both-orders is for a student"):
        artefact.pair_scorer_of(artefact.load_model(out), both_orders=True)


@pytest.fixture
def likewise_line():
    """Run a line of the command line that has to end well."""
    from likewise.cli import main

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        assert end.value.code == 0

    return run


def test_a_model_without_a_head_for_pairs_is_refused(tmp_path):
    likewise.train(
        "simcse", [{"text": f"text {i}"} for i in range(4)], out=tmp_path / "run", steps=1, batch_size=4,
        encoder_layers=1, progress=False,
    )  # fmt: skip
    with pytest.raises(InputError, match="does not score pairs; give a folder trained by cross-encoder or dse"):
        artefact.load_pair_scorer(tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"task": "classes"}, "classes are not given; for --task classes give at least two"),
        ({"task": "regression", "classes": ("a", "b")}, "for --task regression give none"),
        ({"head_dropout": 1.0}, "head_dropout is 1.0"),
        ({"task": "binry"}, "task is 'binry'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        RunConfig.resolve("cross-encoder", settings)


def test_a_label_of_another_task_is_named_with_its_row(tmp_path, tiny_tower):
    method = CrossEncoderMethod(Config(), tiny_tower)
    with pytest.raises(InputError, match=r"rows\[2\]: column 'label' is 'perhaps'; accepted are 0, 1"):
        batch_of(method, ["0", "1", "perhaps"], tmp_path)
    assert_close(method.joint.head.bias, torch.zeros(1))
