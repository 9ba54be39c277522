"""Every task from the command line: a small file, a typo, a broken row."""

import csv
import json

import pytest

from cli.test_bad_input import refused
from likewise.evaluation import TASKS

MODEL = "all-MiniLM-L6-v2"
FOOD = ["fresh bread", "tomato soup", "apple pie", "grilled fish", "hot coffee", "green salad"]
SPACE = ["a rocket launch", "the moon", "a mars rover", "a space station", "a solar flare", "a comet"]
LABELLED = [*((text, "food") for text in FOOD), *((text, "space") for text in SPACE)]
FILES = {
    "labelled": [("text", "label"), *LABELLED],
    "numbered": [("text", "label"), *((text, len(label)) for text, label in LABELLED)],
    "valued": [("text", "value"), *((text, i) for i, (text, _) in enumerate(LABELLED))],
    "log": [("user", "item"), *((user, item) for user in (1, 2, 3) for item in FOOD[user:]), (9, "fresh bread")],
    "bitext": [("source", "target"), *((text, f"{text}!") for text in FOOD)],
    "pairs": [("query", "positive"), *((f"what is {text}", text) for text in FOOD)],
    "told": [
        ("label", "sentence1", "sentence2"),
        (1, *FOOD[:2]),
        (0, FOOD[0], SPACE[0]),
        (1, FOOD[1], FOOD[4]),
        (0, FOOD[2], SPACE[1]),
    ],
    "scored": [("score", "sentence1", "sentence2"), (5, *FOOD[:2]), (0, FOOD[0], SPACE[0]), (3, FOOD[1], FOOD[4])],
}
RUNS = {
    "retrieval": ("pairs", "--metric", "hit@1"),
    "similarity": ("scored",),
    "probe": ("labelled",),
    "regression": ("valued", "--bin-width", 4),
    "knn": ("labelled", "--k", 3),
    "zero_shot": ("labelled", "--template", "{}", "--template", "about {}"),
    "clustering": ("numbered",),
    "few_shot": ("labelled", "--ways", 2, "--shots", 1, "--queries", 4, "--episodes", 30),
    "ranking": ("log", "--metric", "hit@3", "--no-exclude-seen"),
    "bitext": ("bitext", "--scoring", "margin"),
    "pair_classification": ("told",),
}


@pytest.fixture
def files(tmp_path):
    for name, rows in FILES.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)


def test_every_task_is_run():
    assert set(RUNS) == set(TASKS)


@pytest.mark.parametrize("task", RUNS)
def test_a_small_file_is_measured(likewise, files, task):
    file, *options = RUNS[task]
    words = ("evaluate", MODEL, "--task", task, "--data", f"{file}.csv", "--bootstrap", 20, *options)
    measured = likewise(*words, "--json")
    assert measured.code == 0, measured.err
    assert measured.json["task"] == task
    for metric, value in measured.json["metrics"].items():
        low, high = measured.json["intervals"][metric]
        assert low is None or low <= high
        assert value is not None
    for flag, value in zip(options[::2], options[1::2], strict=False):
        name = str(flag).removeprefix("--").replace("-", "_")
        assert measured.json["settings"].get(name, value) == value or name == "metric"


def test_a_table_shows_the_figures_and_what_was_done(likewise, files):
    shown = likewise("evaluate", MODEL, "--task", "knn", "--data", "labelled.csv", "--k", 3)
    assert shown.code == 0, shown.err
    text = " ".join(shown.out.split())
    for words in ("accuracy", "macro_f1", "Settings: split held out", "k 3", "train rows 10, test rows 2"):
        assert words in text


def test_a_train_file_and_renamed_columns(likewise, files, tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"body": "cold milk", "topic": "food"}))
    (tmp_path / "train.jsonl").write_text(
        "\n".join(json.dumps({"body": text, "topic": label}) for text, label in LABELLED)
    )
    measured = likewise("evaluate", MODEL, "--task", "probe", "--data", "test.jsonl", "--train", "train.jsonl",
                        "--columns", "text=body", "label=topic", "--json")  # fmt: skip
    assert measured.code == 0, measured.err
    assert measured.json["metrics"]["accuracy"] == 1.0
    assert (measured.json["settings"]["split"], measured.json["settings"]["train"]) == ("given", "train.jsonl")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--task", "knnn", "--k", 5), "did you mean 'knn'?"),
        (("--task", "few_shot", "--shot", 5), "--shots"),
        (("--task", "knn", "--vote", "majorty"), "'majority'"),
        (("--k", 5), "Missing option '--task'"),
        (("--task", "clustering", "--train", "x.csv"), "No such option: --train"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(likewise, words, says):
    refused(likewise("evaluate", MODEL, "--data", "x.csv", *words), says, code=2)


@pytest.mark.parametrize(
    ("task", "options", "says"),
    [
        ("knn", ("--k", 99), "k is 99"),
        ("few_shot", (), "has 2 classes, fewer than the 5 ways"),
        ("zero_shot", ("--template", "about"), "has no {}"),
        ("zero_shot", ("--classes", "labelled.csv"), "is none of the classes"),
        ("probe", ("--test-share", 2), "test_share is 2.0"),
        ("regression", (), "no column 'value'"),
        ("ranking", (), "no column 'user'"),
        ("bitext", ("--columns", "source=text", "target=labl"), "did you mean 'label'"),
        ("mteb:STSBenchmrk", None, "unknown task of mteb 'STSBenchmrk'"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(likewise, files, task, options, says):
    data = ("--data", "labelled.csv", *options) if options is not None else ()
    refused(likewise("evaluate", MODEL, "--task", task, *data), says)


def test_a_broken_row_is_named_or_left_out(likewise, files, tmp_path):
    with (tmp_path / "labelled.csv").open("a") as file:
        file.write("no label,\n")
    words = ("evaluate", MODEL, "--task", "clustering", "--data", "labelled.csv")
    refused(likewise(*words), "labelled.csv, row 13: column 'label' is empty", "--bad-rows skip")
    skipped = likewise(*words, "--bad-rows", "skip", "--json")
    assert skipped.json["num_items"] == 12


def test_a_task_of_mteb_is_one_json_document_too(likewise, monkeypatch):
    import mteb

    from evaluation.test_mteb_tasks import TinySTS

    monkeypatch.setattr(mteb, "get_task", lambda name: TinySTS())
    measured = likewise("evaluate", MODEL, "--task", "mteb:TinySTS", "--json")
    assert measured.code == 0, measured.err
    assert measured.json["task"] == "mteb:TinySTS"
    assert 0.5 < measured.json["metrics"]["main_score"] <= 1
    refused(likewise("evaluate", MODEL, "--task", "mteb:TinySTS", "--data", "x.csv"), "--data", code=2)


def test_data_that_mteb_cannot_fetch_are_said(likewise, monkeypatch):
    import mteb

    from evaluation.test_mteb_tasks import TinySTS

    class Offline(TinySTS):
        def load_data(self, **_):
            raise ConnectionError("the hub cannot be reached")

    monkeypatch.setattr(mteb, "get_task", lambda name: Offline())
    refused(likewise("evaluate", MODEL, "--task", "mteb:TinySTS"), "mteb could not read its data (the hub cannot be")
