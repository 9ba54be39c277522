"""Whole studies with real runs: what they find is what training and measuring by hand find."""

import csv
import json
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest
import torch
import yaml
from pyarrow import parquet

import likewise
import small_minilm
from likewise.errors import InputError, RunError
from likewise.evaluation import similarity
from likewise.studies import read_study, study
from studies.conftest import content

PARTS = (
    "a <b>small</b> study",
    "The short answer",
    "What was compared",
    "4 optimiser steps",
    "Results",
    "Learning curves",
    "The space before and after",
    "Where the methods disagree",
    "What it cost",
    "To repeat it",
)


def value(found, arm, seed):
    return next(
        row["value"] for row in found.results if (row["arm"], row["seed"], row["metric"]) == (arm, seed, "spearman")
    )


def read(folder, **changes):
    return read_study(content(**changes), folder=folder)


def test_a_run_of_a_study_is_the_run_that_train_does(made, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    settings = {**content()["shared"], "temperature": 0.2, "steps": 4, "seed": 1}
    torch.set_num_threads(
        os.cpu_count() or 1
    )  # as many as the study's one worker has: sums depend on it in their last bit
    model = likewise.train("simcse", folder / "notes.txt", out=tmp_path / "run", progress=False, **settings)
    by_hand = similarity(model, folder / "sts.jsonl", precision="fp32", bootstrap=0).metrics["spearman"]
    torch.set_num_threads(1)
    assert value(made.found, "warm", 1) == by_hand
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    curve = [
        row["value"] for row in made.found.curves if (row["arm"], row["seed"], row["figure"]) == ("warm", 1, "loss")
    ]
    assert curve == losses


def test_the_untrained_encoder_is_the_same_under_every_seed(made, folder):
    from likewise.encoders import TextEncoderConfig, load_text_encoder

    start = load_text_encoder(TextEncoderConfig(str(small_minilm.folder()), encoder_layers=1, max_tokens=24)).served()
    by_hand = similarity(start, folder / "sts.jsonl", precision="fp32", bootstrap=0).metrics["spearman"]
    assert {value(made.found, "untrained", seed) for seed in (0, 1)} == {by_hand}
    assert made.found.plan.start["fingerprint"] == start.fingerprint


def test_curves_of_loss_validation_and_geometry_are_kept(made):
    steps = defaultdict(list)
    for row in made.found.curves:
        if (row["arm"], row["seed"]) == ("cold", 0):
            steps[row["source"], row["figure"]].append(row["step"])
    assert steps["metrics", "loss"] == [1, 2, 3, 4]
    assert steps["validation", "spearman"] == [2, 4]
    assert steps["geometry", "uniformity"] == [2, 4]


def test_costs_are_counted(made):
    trained = [row for row in made.found.runs if row["arm"] != "untrained"]
    assert {row["encoded"] for row in trained} == {4 * 8 * 2}
    assert all(row["seconds"] > 0 for row in trained)
    # A layer and 6,500 tokens are 18 MB of weights; gradients and two moments of each come on top.
    assert all(row["peak_memory_mb"] is None or row["peak_memory_mb"] > 40 for row in trained)


def test_weights_go_once_they_are_measured_and_curves_stay(made):
    for (arm, _), request in made.found.plan.runs.items():
        if arm != "untrained":
            assert (request.model / "metrics.csv").exists()
            assert not list(request.model.rglob("*.safetensors"))


def test_every_table_is_there_and_the_json_is_whole(made):
    for name, rows in (("runs", 6), ("results", 12), ("differences", 6)):
        assert parquet.read_table(made.folder / f"{name}.parquet").num_rows == rows
    assert "| warm |" in made.table.read_text()
    document = json.loads(json.dumps(made.as_dict(), allow_nan=False))
    assert [one["verdict"] for one in document["measured"] if one["arm"] == "cold"] == ["baseline", "baseline"]


def test_a_study_that_is_done_is_not_run_again(made, folder):
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "study-runs").rglob("*") if path.is_file()}
    again = study(read(folder), folder / "out", progress=False)
    assert again.as_dict() == made.as_dict()
    after = {path: path.stat().st_mtime_ns for path in (folder / "study-runs").rglob("*") if path.is_file()}
    assert after == stamps


def test_another_study_uses_the_runs_that_both_have_and_keeps_its_own_model(made, folder):
    arms = {"frosty": {"method": "simcse"}, "hot": {"method": "simcse", "temperature": 1.0}}
    other = study(read(folder, arms=arms, seeds=1), folder / "other", progress=False)
    assert value(other.found, "frosty", 0) == value(made.found, "cold", 0)
    ours = {request.key for request in made.found.plan.runs.values()}
    assert [arm for (arm, _), request in other.found.plan.runs.items() if request.key in ours] == [
        "untrained",
        "frosty",
    ]


def test_a_folder_with_another_study_is_left_alone(made, folder):
    with pytest.raises(InputError, match=r"holds another study .*--overwrite"):
        study(read(folder, seeds=1), folder / "out", progress=False)
    (folder / "mine").mkdir(exist_ok=True)
    (folder / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(InputError, match="holds something else"):
        study(read(folder, seeds=1), folder / "mine", progress=False)


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        ({"a": {"method": "simcse"}, "b": {"method": "simcse", "encoder_layers": 2}}, "encoder_layers is 1 and 2"),
        ({"a": {"method": "simcse"}, "b": {"method": "simcse", "max_tokens": 9}}, "max_tokens is 24 and 9"),
    ],
)
def test_arms_that_start_from_different_encoders_are_refused(folder, tmp_path, arms, says):
    with pytest.raises(InputError, match=f"start from different encoders .*{says}"):
        study(read(folder, arms=arms), tmp_path / "out", progress=False)


def test_arms_that_can_use_different_rows_are_refused(tmp_path):
    rows = [{"query": f"what is {i}", "positive": f"it is {i}" if i % 5 else ""} for i in range(30)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    scored = [{"score": i, "sentence1": f"a {i}", "sentence2": f"b {i}"} for i in range(12)]
    (tmp_path / "sts.jsonl").write_text("\n".join(map(json.dumps, scored)))
    arms = {"a": {"method": "simcse", "columns": {"text": "query"}}, "b": {"method": "pairs"}}
    shared = {**content()["shared"], "bad_rows": "skip"}
    config = read_study(
        content(
            data="pairs.jsonl", arms=arms, shared=shared, space={"data": "sts.jsonl", "columns": {"text": "sentence1"}}
        ),
        folder=tmp_path,
    )
    with pytest.raises(InputError, match="train on 30 and 24 rows"):
        study(config, tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"evaluate": [{"task": "similarity", "data": "notes.txt"}]}, "evaluation 'notes': .*score"),
        ({"space": {"data": "sts.jsonl"}}, "space: .*has the columns score, sentence1, sentence2"),
        ({"data": "nots.txt"}, "nots.txt"),
        ({"budget": {"passes": 3}}, "more than the budget"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_trained(folder, tmp_path, changes, says):
    changes = {"space": {"data": "notes.txt"}, **changes}
    with pytest.raises(InputError, match=says):
        study(read(folder, **changes), tmp_path / "out", runs=tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()


def test_equal_passes_mean_fewer_steps_of_larger_batches(folder, tmp_path):
    from likewise.studies.plan import make_plan

    arms = {"sweep": {"method": "simcse", "grid": {"batch_size": [4, 8, 16]}}}
    plan = make_plan(read(folder, arms=arms, budget={"passes": 96}, baseline="untrained"), tmp_path, {}, lambda _: None)
    assert list(plan.steps.values()) == [12, 6, 3]
    assert list(plan.passes.values()) == [8, 16, 32]


def test_seconds_become_steps_once(folder, tmp_path):
    from likewise.studies.plan import make_plan

    config = read(folder, budget={"seconds": 0.5}, seeds=1)
    plan = make_plan(config, tmp_path, {}, lambda _: None)
    assert all(steps >= 1 for steps in plan.steps.values())
    known = {"cold": 77, "warm": 78}
    assert dict(make_plan(config, tmp_path, known, lambda _: None).steps) == known


def test_a_run_that_fails_is_named_and_the_others_are_reported(folder, tmp_path):
    arms = {"cold": {"method": "simcse"}, "wild": {"method": "simcse", "lr": 1e30, "warmup": 0.0, "clip_norm": 0.0}}
    config = read(folder, arms=arms, seeds=1)
    with pytest.raises(RunError, match=r"every run of 'wild' failed: .*not finite"):
        study(config, tmp_path / "out", runs=folder / "study-runs", progress=False)


def test_a_kept_model_can_be_measured_by_another_task_without_training_again(folder, tmp_path):
    arms = {"kept": {"method": "simcse", "temperature": 0.5}}
    first = study(read(folder, arms=arms, seeds=1, keep_models=True), tmp_path / "one", progress=False)
    request = first.found.plan.runs["kept", 0]
    assert likewise.load(request.model).dim == 384
    stamp = (request.folder / "training.json").stat().st_mtime_ns
    two = [{"task": "similarity", "data": "sts.jsonl", "name": name} for name in ("one", "two")]
    (folder / "more.jsonl").write_text(
        (folder / "sts.jsonl").read_text() + '\n{"score": 5, "sentence1": "a sea", "sentence2": "the sea"}'
    )
    two[1]["data"] = "more.jsonl"
    config = read(folder, arms=arms, seeds=1, keep_models=True, evaluate=two)
    second = study(config, tmp_path / "two", progress=False)
    assert (request.folder / "training.json").stat().st_mtime_ns == stamp
    assert value(second.found, "kept", 0) == value(first.found, "kept", 0)
    assert {row["evaluation"] for row in second.found.results} == {"one", "two"}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_report_is_sound_in_a_browser(made, browse, dark, width):
    view = browse(made.report, dark=dark, width=width)
    view.assert_sound()
    text = view.page.inner_text("body")
    for part in PARTS:
        assert part in text


def test_the_report_shows_rows_on_which_the_arms_disagree(made, browse):
    view = browse(made.report)
    view.page.locator("summary", has_text="warm against cold").click()
    assert view.page.locator("details[open] table").count() >= 1
    assert Path(made.report).stat().st_size < 12_000_000


def blocks(language):
    page = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_studies_of_the_page_can_be_read():
    whole, grid = (yaml.safe_load(block) for block in blocks("yaml"))
    assert [arm.name for arm in read_study(whole).arms] == ["cold", "warm"]
    config = read_study({**whole, **grid})
    assert len(config.arms) == 6
    assert config.baseline == config.arms[0].name


def test_the_python_of_the_page_runs(made, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    Path("study.yaml").write_text(yaml.safe_dump(content()))
    (code,) = blocks("python")
    exec(compile(code, "docs/studies.md", "exec"), {})  # noqa: S102 - the page is our own
    assert "warm sts spearman" in capsys.readouterr().out


def test_the_command_line_shows_the_tables_and_writes_one_document(made, folder, monkeypatch, capfd):
    from likewise.cli import main

    monkeypatch.chdir(folder)
    Path("study.yaml").write_text(yaml.safe_dump(content()))
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as end:
            main(["study", "study.yaml", "--out", "by-command", *more])
        assert not end.value.code
        shown = capfd.readouterr()
        if more:
            assert json.loads(shown.out)["baseline"] == "cold"
        else:
            assert "sts: spearman" in shown.out
            assert "report.html" in shown.out
    with pytest.raises(SystemExit):
        main(["study", "study.yml", "--out", "x"])
    assert "study.yml does not exist" in capfd.readouterr().err
