"""Scoring files of pairs and ranking candidates, with a teacher beside it, from Python and the command line."""

import json

import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise import artefact
from likewise.errors import InputError
from likewise.memory import TeacherScores

PAIRS = [(f"text about thing {i}", f"other text {i % 4}") for i in range(8)]
SMALL = {"encoder_layers": 1, "max_tokens": 24, "steps": 2, "batch_size": 4, "progress": False, "task": "regression"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A teacher, its student, and files of pairs and of candidates."""
    folder = tmp_path_factory.mktemp("models")
    rows = [{"a": a, "b": b, "label": float(i)} for i, (a, b) in enumerate(PAIRS)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "texts.txt").write_text("".join(f"candidate {i}\n" for i in range(6)))
    likewise.train("cross-encoder", rows, out=folder / "teacher", **SMALL)
    likewise.train("dse", rows, out=folder / "student", teacher=str(folder / "teacher"), head_dims=(8,), **SMALL)
    return folder


def score(models, data="pairs.jsonl", model="student", **settings):
    return likewise.use(models / model, "score", data=str(models / data), **settings)


def test_pairs_are_scored_listed_and_written(models, tmp_path):
    made = score(models, show=3, out=str(tmp_path / "scored.jsonl"))
    scorer = artefact.load_pair_scorer(models / "student")
    expected = scorer.score(PAIRS)[:, 0]
    assert [row["a"] for row in made.rows] == [a for a, _ in PAIRS[:3]]
    written = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert_close(torch.tensor([row["score"] for row in written]), expected, rtol=1e-4, atol=1e-5)
    assert made.files == [tmp_path / "scored.jsonl"]
    assert made.figures["pairs"] == made.figures["labelled"] == 8
    assert made.figures["encoder_passes"] == 12  # eight first texts, four second ones
    assert made.figures["spearman_low"] <= made.figures["spearman"] <= made.figures["spearman_high"]


def test_a_teacher_is_compared_in_quality_and_in_passes(models):
    figures = score(models, show=0, teacher=str(models / "teacher")).figures
    assert (figures["encoder_passes"], figures["teacher_encoder_passes"]) == (12, 8)
    theirs = figures["teacher_spearman"]
    lost = pytest.approx((theirs - figures["spearman"]) / theirs) if theirs > 0 else None
    assert figures.get("relative_degradation") == lost
    assert figures["speed_up"] == pytest.approx(figures["pairs_per_s"] / figures["teacher_pairs_per_s"])
    student, teacher = (artefact.load_pair_scorer(models / name).score(PAIRS) for name in ("student", "teacher"))
    assert figures["distance_to_teacher"] == pytest.approx(float((student - teacher).square().mean()), rel=1e-3)


def test_scores_of_a_teacher_are_stored_for_students(models, tmp_path):
    score(models, model="teacher", show=0, scores=str(tmp_path / "s"))
    stored = TeacherScores.open(tmp_path / "s")
    expected = artefact.load_pair_scorer(models / "teacher").score(PAIRS)
    assert_close(torch.from_numpy(stored.of(PAIRS).copy()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"shortlist": 6}, {"both_orders": True}])
def test_the_best_candidates_of_a_query(models, settings):
    made = score(models, "texts.txt", query="what is it", k=3, **settings)
    texts = [f"candidate {i}" for i in range(6)]
    scorer = artefact.pair_scorer_of(
        artefact.load_model(models / "student"), both_orders=settings.get("both_orders", False)
    )
    order = scorer.score([("what is it", text) for text in texts])[:, 0].argsort(descending=True)
    assert [row["text"] for row in made.rows] == [texts[place] for place in order[:3].tolist()]
    assert [row["rank"] for row in made.rows] == [1, 2, 3]
    assert (made.figures["index_encoder_passes"], made.figures["encoder_passes"]) == (6, 1)


def test_a_teacher_ranks_too_with_a_pass_for_every_candidate(models):
    made = score(models, "texts.txt", model="teacher", query="what", k=2)
    assert made.figures["encoder_passes"] == 6
    compared = score(models, "texts.txt", query="what", k=6, teacher=str(models / "teacher")).figures
    assert compared["teacher_encoder_passes"] == compared["found_by_both"] == 6
    with pytest.raises(InputError, match="no vectors to draw up a shortlist by"):
        score(models, "texts.txt", model="teacher", query="what", k=2, shortlist=3)


def test_the_command_line_renames_columns_and_shows_figures(models, tmp_path, capsys):
    from likewise.cli import main

    data = tmp_path / "questions.csv"
    data.write_text("question,answer\nwhat is it,a thing\nwho,nobody\n")
    with pytest.raises(SystemExit) as end:
        main(["use", str(models / "student"), "score", str(data), "--columns", "a=question", "--columns", "b=answer",
              "--json"])  # fmt: skip
    assert end.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["pairs"] == 2
    assert [row["a"] for row in found["rows"]] == ["what is it", "who"]
    assert "spearman" not in found["figures"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"k": 0}, "k is 0"),
        ({"by": "yes"}, "--by and --shortlist rank candidates beside a query"),
        ({"query": "x", "out": "y.jsonl"}, "--out is for the scores of pairs"),
        ({"out": "scored.csv"}, "has to be a new file that ends in .jsonl"),
        ({"kk": 3}, "unknown setting of score 'kk': did you mean 'k'"),
        ({"query": "x", "data": ""}, "no file of pairs is given"),
    ],
)
def test_settings_that_cannot_be_are_refused(models, settings, says):
    with pytest.raises(InputError, match=says):
        likewise.use(models / "student", "score", **{"data": str(models / "texts.txt"), **settings})
