"""A study's file: everything that is wrong with it is said before anything is run."""

from pathlib import Path

import pytest

from likewise.errors import InputError
from likewise.studies import Budget, read_study

STUDY = {
    "data": "notes.txt",
    "shared": {"encoder_layers": 1, "batch_size": 8},
    "arms": {"cold": {"method": "simcse"}, "warm": {"method": "simcse", "temperature": 0.2}},
    "budget": {"steps": 4},
    "seeds": 2,
    "evaluate": [{"task": "similarity", "data": "sts.tsv"}],
}


def study(**changes):
    return {key: value for key, value in {**STUDY, **changes}.items() if value is not None}


def test_what_is_not_said_has_a_default():
    config = read_study(study(seeds=None))
    assert config.baseline == "cold"
    assert config.seeds == (0, 1, 2)
    assert config.space.data == "notes.txt"
    assert config.evaluate[0].name == "sts"
    assert not config.keep_models


def test_relative_paths_start_from_the_folder_of_the_file(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "study.yaml").write_text(
        "data: notes.txt\narms: {a: {method: simcse}}\nbudget: {steps: 1}\n"
        "evaluate: [{task: similarity, data: /elsewhere/sts.tsv}]\nshared: {eval_data: dev.tsv}\n"
        "space: {data: 'demo:wordnet:dev'}\n"
    )
    config = read_study(folder / "study.yaml")
    assert config.data == str(folder / "notes.txt")
    assert config.evaluate[0].data == "/elsewhere/sts.tsv"
    assert config.arms[0].settings["eval_data"] == str(folder / "dev.tsv")
    assert config.space.data == "demo:wordnet:dev"


def test_a_grid_becomes_an_arm_for_every_combination():
    grid = {"temperature": [0.05, 0.5], "batch_size": [8, 16]}
    config = read_study(
        study(arms={"sweep": {"method": "simcse", "grid": grid}}, baseline="sweep: temperature 0.05, batch_size 16")
    )
    assert [arm.name for arm in config.arms] == [
        "sweep: temperature 0.05, batch_size 8",
        "sweep: temperature 0.05, batch_size 16",
        "sweep: temperature 0.5, batch_size 8",
        "sweep: temperature 0.5, batch_size 16",
    ]
    assert config.arms[2].varied == {"temperature": 0.5, "batch_size": 8}
    assert config.run_config(config.arms[3], seed=7, steps=3).training.batch_size == 16
    assert config.run_config(config.arms[3], seed=7, steps=3).training.seed == 7


def test_an_arm_wins_over_what_is_shared_and_columns_may_be_its_own():
    arms = {
        "pairs": {"method": "pairs", "columns": {"query": "question", "positive": "answer"}, "batch_size": 4},
        "alone": {"method": "simcse"},
    }
    config = read_study(study(arms=arms, columns={"text": "question"}))
    assert config.arms[0].settings["batch_size"] == 4
    assert config.run_config(config.arms[0], seed=0, steps=1).data.columns == ("query=question", "positive=answer")
    assert config.run_config(config.arms[1], seed=0, steps=1).data.columns == ("text=question",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arms": None}, "has no 'arms'"),
        ({"bugdet": {"steps": 3}}, "unknown part of a study 'bugdet': did you mean 'budget'"),
        ({"arms": {"a": {"method": "simsce"}}}, "unknown method of arm 'a' 'simsce': did you mean 'simcse'"),
        ({"arms": {"a": {"temperature": 1}}}, "arm 'a' names no method"),
        ({"arms": {"a": {"method": "simcse", "temprature": 1}}}, "arm 'a': unknown setting of simcse 'temprature'"),
        ({"arms": {"a": {"method": "simcse", "batch_size": 0}}}, "arm 'a': batch_size is 0"),
        ({"arms": {"a": {"method": "simcse", "data": "x.txt"}}}, "read different data cannot be compared"),
        ({"arms": {"a": {"method": "simcse", "bad_rows": "skip"}}}, "arm 'a' sets bad_rows"),
        ({"arms": {"a": {"method": "simcse", "seed": 3}}}, "say it under 'seeds'"),
        ({"arms": {"a": {"method": "simcse", "grid": {"steps": [1, 2]}}}}, "say it under 'budget'"),
        ({"arms": {"a": {"method": "simcse", "grid": {"temperature": 0.1}}}}, "a list of values for each setting"),
        ({"arms": {"a": {"method": "simcse"}, "b": {"method": "simcse"}}}, "'a' and 'b' are the same thing"),
        ({"arms": {"untrained": {"method": "simcse"}}}, "the encoder as it comes"),
        ({"arms": ["simcse"]}, "arms is a list"),
        ({"baseline": "colt"}, "unknown arm as baseline 'colt': did you mean 'cold'"),
        ({"budget": {"step": 3}}, "unknown kind of budget 'step': did you mean 'steps'"),
        ({"budget": {"steps": 0}}, "above 0"),
        ({"budget": {"steps": 2.5}}, "Say what every arm gets alike"),
        ({"budget": {"steps": 2, "passes": 3}}, "it is one of"),
        ({"seeds": 0}, "a number of seeds"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"evaluate": [{"task": "similarty", "data": "x.tsv"}]}, "unknown task 'similarty': did you mean 'similarity'"),
        ({"evaluate": ["similarity"]}, "an entry is"),
        ({"evaluate": [{"task": "similarity"}]}, "names no data"),
        (
            {"evaluate": [{"task": "similarity", "data": "a/x.tsv"}, {"task": "similarity", "data": "b/x.tsv"}]},
            "called 'x'",
        ),
        ({"space": {"file": "x"}}, "unknown part of space 'file'"),
        ({"columns": "text=a"}, "a mapping from our name"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(changes, says):
    with pytest.raises(InputError) as error:
        read_study(study(**changes))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_study(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"steps": 60}, "60 optimiser steps"),
        ({"passes": 7680}, "7,680 encoder passes"),
        ({"seconds": 1.5}, "1.5 seconds of training"),
    ],
)
def test_a_budget_is_said_with_its_unit(given, shown):
    assert str(Budget.of(given)) == shown


def test_the_working_folder_is_where_a_mapping_starts_from():
    assert Path(read_study(study()).data) == Path("notes.txt")
