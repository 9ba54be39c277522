"""DSE: a step against a plain loop, where labels and scores come from, mined pairs, resuming, and what is refused."""

import csv
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise import artefact
from likewise.data import Stages, open_table
from likewise.encoders import JointEncoder, TextEncoderConfig, load_text_encoder
from likewise.errors import InputError
from likewise.losses import PairTask
from likewise.memory import TeacherScores
from likewise.methods.text import dse
from likewise.methods.text.dse import DSE, Config
from likewise.run_config import RunConfig

PAIRS = [
    ("a small house for a dog", "kennel"),
    ("bread", "the river bends around the old town"),
    ("a cat sleeps", "a cat dreams"),
    ("bread", "butter"),
    ("to be or not to be", "that is the question"),
    ("a train", "a boat"),
]
LABELS = [1, 0, 1, None, 0, None]
SCORES = [[2.0], [-3.0], [1.0], [0.5], [-1.0], [-0.5]]
SMALL = {"encoder_layers": 1, "max_tokens": 24, "precision": "fp32", "progress": False}


def rows(labels=LABELS, scores=SCORES):
    made = [{"a": a, "b": b, "label": label} for (a, b), label in zip(PAIRS, labels, strict=True)]
    return [row | ({} if score is None else {"teacher_score": score})
            for row, score in zip(made, scores or [None] * len(made), strict=True)]  # fmt: skip


def prepared(method, folder, data=None, say=None):
    table = open_table(rows() if data is None else data, columns=method.columns_for(method.config))
    return method.prepare(table, Stages(folder, say))


def batch_of(method, folder, data=None):
    table = prepared(method, folder, data)
    views = method.views()
    random = np.random.default_rng(0)
    return views.collate([views(row, random) for row in table], list(range(len(table))))


def losses(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


class Teacher:
    """Scores by a rule: how many letters the texts have in common, and the difference of their lengths."""

    name, fingerprint, score_names, passes = "rule", "rule-1", (), 0

    def score(self, pairs, **_):
        return torch.tensor([[len(set(a) & set(b)) / 3.0] for a, b in pairs])


@pytest.fixture
def teacher(monkeypatch):
    made = Teacher()
    monkeypatch.setattr(dse.artefact, "load_pair_scorer", lambda name: made)
    return made


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_step_is_a_plain_loop_over_pairs(tiny_tower, tmp_path, alpha):
    method = DSE(Config(alpha=alpha, top_layers=2, head_dims=(16,)), tiny_tower).eval()
    labels = [label or 0 for label in LABELS] if alpha == 0 else LABELS
    output = method(batch_of(method, tmp_path, rows(labels)))
    scores = method.scorer().score(PAIRS)[:, 0].tolist()
    own = [math.log1p(math.exp(-s if y else s)) for s, y in zip(scores, labels, strict=True) if y is not None]
    far = [(s - t[0]) ** 2 for s, t in zip(scores, SCORES, strict=True)]
    expected = (1 - alpha) * sum(own) / len(own) + alpha * sum(far) / len(far)
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)
    assert list(output.terms) == [name for name, weight in (("task", 1 - alpha), ("distillation", alpha)) if weight]
    assert output.contrast is None


def test_the_student_pools_its_top_layers_and_starts_like_other_methods(tiny_tower, small_encoder):
    whole = load_text_encoder(TextEncoderConfig(str(small_encoder), max_tokens=32))
    method = DSE(Config(), tiny_tower)
    assert method.encoder.dim == 2 * 384  # four layers are asked for, two are there
    assert method.start().fingerprint == whole.served().fingerprint
    assert method.embedder().dim == 768
    assert DSE(Config(join_layers="mean", top_layers=1), tiny_tower).encoder.dim == 384
    small = DSE(Config(embedding_size=32), tiny_tower)
    assert small.head.dim == small.embedder().dim == 32
    vectors = small.embedder().encode(["a dog"])
    assert_close(vectors.norm(dim=1), torch.ones(1))
    assert len({id(p) for p in method.parameters()}) == len(list(method.parameters()))
    assert not [key for key in method.state_dict() if "_loaded" in key]


def test_the_gradient_of_micro_batches_is_that_of_the_batch(tmp_path):
    gradients = []
    for micro_batch in (None, 4):
        torch.manual_seed(2)
        tower = load_text_encoder(TextEncoderConfig(encoder_layers=1, dropout=0.0))
        method = DSE(Config(head_dims=(8,)), tower).train()
        method.encoder.micro_batch = micro_batch
        method(batch_of(method, tmp_path / str(micro_batch))).loss.backward()
        gradients.append({name: p.grad for name, p in method.named_parameters() if p.grad is not None})
    whole, chunked = gradients
    assert whole.keys() == chunked.keys()
    for name, gradient in whole.items():
        assert_close(chunked[name], gradient, rtol=1e-4, atol=1e-5)


def test_scores_of_a_column_of_two_logits_become_one(tiny_tower, tmp_path):
    two = [[0.2, 1.7], [1.0, -1.0], *[[0.0, float(i)] for i in range(4)]]
    table = prepared(DSE(Config(), tiny_tower), tmp_path, rows(scores=two))
    assert [row["teacher_score"] for row in table.rows(range(2))] == [[pytest.approx(1.5)], [-2.0]]
    assert [row["has_label"] for row in table] == [1.0, 1.0, 1.0, 0.0, 1.0, 0.0]


def test_a_named_teacher_scores_the_rows_once(tiny_tower, tmp_path, teacher, monkeypatch):
    method = DSE(Config(teacher="rule", alpha=1.0), tiny_tower)
    data = [{"a": a, "b": b} for a, b in PAIRS]
    said = []
    table = prepared(method, tmp_path, data, said.append)
    assert [row["teacher_score"][0] for row in table] == pytest.approx(teacher.score(PAIRS)[:, 0].tolist())
    assert said == ["the teacher rule scores 6 pairs"]
    assert "has_label" not in table.column_names
    monkeypatch.setattr(Teacher, "score", None)
    assert prepared(method, tmp_path, data)[0] == table[0]  # found, not made
    monkeypatch.undo()


def test_an_edited_text_is_scored_anew_and_never_paired_with_an_old_score(tiny_tower, tmp_path, teacher):
    method = DSE(Config(teacher="rule", alpha=1.0), tiny_tower)
    edited = [("bread and honey", "butter"), *PAIRS[:0:-1]]
    prepared(method, tmp_path, [{"a": a, "b": b} for a, b in PAIRS])
    table = prepared(method, tmp_path, [{"a": a, "b": b} for a, b in edited])
    assert [row["teacher_score"][0] for row in table] == pytest.approx(teacher.score(edited)[:, 0].tolist())


def test_stored_scores_are_taken_for_their_own_pairs_alone(tiny_tower, tmp_path):
    TeacherScores.write(tmp_path / "s", PAIRS, np.array(SCORES), teacher="t", fingerprint="f")
    method = DSE(Config(teacher_scores=str(tmp_path / "s")), tiny_tower)
    table = prepared(method, tmp_path / "out", rows(scores=None))
    assert [row["teacher_score"] for row in table] == SCORES
    with pytest.raises(InputError, match=r"from row 0 on .* have the same pairs in another order"):
        prepared(method, tmp_path / "other", rows(scores=None)[::-1])


def test_mined_pairs_are_other_texts_scored_by_the_teacher_and_enter_the_loss(tiny_tower, tmp_path, teacher):
    config = Config(teacher="rule", alpha=1.0, random_pairs=1, nearest_pairs=2, top_layers=1, head_dims=(8,))
    method = DSE(config, tiny_tower).eval()
    data = [{"a": a, "b": b} for a, b in PAIRS]
    table = prepared(method, tmp_path, data)
    similar = method.start().encode([a for a, _ in PAIRS]) @ method.start().encode([b for _, b in PAIRS]).T
    asked, given = [], []
    for i, row in enumerate(table):
        assert len(set(row["others"])) == 3
        assert row["b"] not in row["others"]
        near = [PAIRS[j][1] for j in similar[i].argsort(descending=True).tolist() if j != i]
        assert row["others"][:2] == near[:2]
        asked += [(row["a"], text) for text in (row["b"], *row["others"])]
        given += row["teacher_score"]
    assert given == pytest.approx(teacher.score(asked)[:, 0].tolist())
    output = method(batch_of(method, tmp_path, data))
    expected = (method.scorer().score(asked) - torch.tensor(given)[:, None]).square().mean()
    assert_close(output.loss, expected, rtol=1e-4, atol=1e-5)
    lists = DSE(Config(**{**vars(config), "listwise_weight": 0.5}), tiny_tower)
    terms = lists(batch_of(lists, tmp_path, data)).terms
    assert list(terms) == ["distillation", "listwise"]
    assert torch.isfinite(terms["listwise"])


def test_without_any_label_the_teacher_alone_is_learned_and_said(tiny_tower, tmp_path):
    said = []
    data = [{**row, "label": None} for row in rows()]
    prepared(DSE(Config(), tiny_tower), tmp_path, data, said.append)
    assert said == ["no row has a label: the teacher's scores alone are learned."]


def test_a_run_that_was_stopped_goes_on_to_the_bit_with_its_scores(tmp_path, monkeypatch):
    from likewise.training.loop import _Run

    settings = {**SMALL, "steps": 5, "batch_size": 2, "checkpoint_every": 2, "lr": 1e-3}
    likewise.train("dse", rows(), out=tmp_path / "whole", **settings)
    advance = _Run.advance

    def stopping(self, *given):
        if self.step == 3:
            raise RuntimeError("killed")
        return advance(self, *given)

    monkeypatch.setattr(_Run, "advance", stopping)
    with pytest.raises(RuntimeError, match="killed"):
        likewise.train("dse", rows(), out=tmp_path / "parts", **settings)
    monkeypatch.setattr(_Run, "advance", advance)
    likewise.train("dse", rows(), out=tmp_path / "parts", resume=True, **settings)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    whole, parts = (artefact.load_pair_scorer(tmp_path / name) for name in ("whole", "parts"))
    assert whole.fingerprint == parts.fingerprint
    assert torch.equal(whole.score(PAIRS), parts.score(PAIRS))


def test_a_trained_student_scores_as_it_did_and_can_teach(tiny_tower, tmp_path):
    likewise.train("dse", rows(), out=tmp_path / "s", steps=2, batch_size=3, embedding_size=16, **SMALL)
    scorer = artefact.load_pair_scorer(tmp_path / "s")
    assert scorer.task == PairTask.of("binary")
    assert scorer.encoder.dim == 16
    method = DSE(Config(teacher=str(tmp_path / "s"), alpha=1.0), tiny_tower)
    table = prepared(method, tmp_path / "next", [{"a": a, "b": b} for a, b in PAIRS])
    taught = [row["teacher_score"][0] for row in table]
    assert taught == pytest.approx(scorer.score(PAIRS)[:, 0].tolist(), abs=1e-5)


def test_validation_measures_the_head(tmp_path):
    data = tmp_path / "dev.jsonl"
    data.write_text('{"a": "x", "b": "y", "label": 1}\n{"a": "x y", "b": "z", "label": 0}\n')
    likewise.train("dse", rows(), out=tmp_path / "s", steps=1, batch_size=4, eval_data=str(data), **SMALL)
    assert (tmp_path / "s" / "validation.csv").read_text().splitlines()[0] == "step,accuracy,f1"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"alpha": 1.5}, "alpha is 1.5; it is the weight of the teacher"),
        ({"alpha": -0.1}, "alpha is -0.1"),
        ({"task": "classes"}, "classes are not given"),
        ({"top_layers": 0}, "top_layers is 0; it is 1 or more"),
        ({"top_layers": 3}, "top_layers is 3, but the encoder has 2 layers; use 1 to 2"),
        ({"head": "dot", "head_dims": (0,), "task": "classes", "classes": ("a", "b")}, "gives one score"),
        ({"teacher": "a", "teacher_scores": "b"}, "both teacher and teacher_scores are given"),
        ({"random_pairs": 1}, "are scored by a teacher; name one with --teacher"),
        ({"listwise_weight": 1.0, "teacher": "a"}, "give --random-pairs or --nearest-pairs"),
        ({"listwise_temperature": 0.0}, "listwise_temperature 0.0"),
        ({"pooling": "cls"}, "pooling is 'cls', but dse pools the top layers; say how with --top-layers"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    def built():
        config = RunConfig.resolve("dse", {"encoder_layers": 2, **settings})
        return DSE.build(config.settings, config.encoder)

    with pytest.raises(InputError, match=says):
        built()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (rows(scores=None), "brings no teacher's scores; name a model with --teacher, stored scores"),
        (
            rows(scores=[*SCORES[:4], [1.0, 2.0], [0.0]]),
            r"rows\[4\]: column 'teacher_score' has 2 numbers, in the first",
        ),
        (rows(scores=[[1.0, 2.0, 3.0]] * 6), "gives 3 scores a pair; --task binary takes 1"),
        (rows(labels=[1, 0, 7, None, 0, 0]), r"rows\[2\]: column 'label' is '7'; accepted are 0, 1"),
    ],
)
def test_rows_that_cannot_be_are_refused_and_leave_nothing(tmp_path, data, says):
    with pytest.raises(InputError, match=says):
        likewise.train("dse", data, out=tmp_path / "run", steps=1, batch_size=2, **SMALL)
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_more_mined_pairs_than_texts_are_refused(tiny_tower, tmp_path, teacher):
    with pytest.raises(InputError, match="6 further pairs a row are asked for, but there are only 6 different"):
        prepared(DSE(Config(teacher="rule", random_pairs=6), tiny_tower), tmp_path, rows(scores=None))


def test_a_joint_teacher_of_more_classes_than_the_student_is_refused(tiny_tower, tmp_path, monkeypatch):
    joint = JointEncoder(tiny_tower, 3, score_names=("x", "y", "z"))
    monkeypatch.setattr(dse.artefact, "load_pair_scorer", lambda name: joint)
    with pytest.raises(InputError, match=r"the teacher .*small-minilm gives 3 scores a pair"):
        prepared(DSE(Config(teacher="t"), load_text_encoder(TextEncoderConfig(encoder_layers=1))), tmp_path,
                 rows(scores=None))  # fmt: skip
