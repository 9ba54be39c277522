"""What every task of the registry promises, found from the list."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from evaluation.rule_embedder import random_embedder
from likewise.errors import InputError
from likewise.evaluation import TASKS, Validation, get_task
from likewise.evaluation.bootstrap import interval, mean_replicates
from likewise.run_config import RunConfig
from likewise.settings import settings_of

LABELLED = [{"text": f"text {i}", "label": f"c{i % 3}"} for i in range(36)]
ROWS = {
    "retrieval": [{"query": f"query {i}", "positive": f"answer {i}"} for i in range(20)],
    "similarity": [{"score": i % 5, "sentence1": f"a{i}", "sentence2": f"b{i}"} for i in range(20)],
    "probe": LABELLED,
    "knn": LABELLED,
    "zero_shot": LABELLED,
    "clustering": LABELLED,
    "few_shot": LABELLED,
    "regression": [{"text": f"text {i}", "value": i % 7} for i in range(36)],
    "ranking": [{"user": i % 6, "item": f"item {i * 7 % 20}"} for i in range(40)],
    "pair_classification": [{"sentence1": f"a{i}", "sentence2": f"b{i}", "label": i % 2} for i in range(40)],
    "bitext": [{"source": f"source {i}", "target": f"target {i}"} for i in range(20)],
}
SETTINGS = {"few_shot": {"ways": 3, "shots": 2, "queries": 3, "episodes": 20}, "knn": {"k": 5}}


def measured(name, embedder=None, **more):
    task = get_task(name)
    return task.measure(
        embedder or random_embedder(), task.open(ROWS[name]), **{"bootstrap": 50, **SETTINGS.get(name, {}), **more}
    )


def test_every_task_is_tried():
    assert set(ROWS) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_a_result_says_what_was_measured_on_what_and_how(name):
    task, opened = get_task(name), get_task(name).open(ROWS[name])
    result = measured(name)
    assert result.task == name
    assert list(result.metrics)[: len(task.metrics)] == list(task.metrics)
    assert task.main_metric == task.metrics[0]
    assert (result.data, result.data_fingerprint) == (opened.name, opened.fingerprint)
    assert (result.model, result.model_fingerprint) == ("by rule", "0123abcd")
    assert {"precision", "bootstrap", "level", "seed"} <= result.settings.keys()
    assert result.versions.keys() >= {"likewise", "torch", "numpy"}
    for setting in task.options()["settings"]:
        if setting.name not in ("metrics", "temperature", "k"):
            assert setting.name in result.settings
    json.dumps(result.as_dict(), allow_nan=False)
    assert set(result.intervals) == set(result.replicates) == set(result.metrics)
    for metric, replicates in result.replicates.items():
        assert replicates.dtype == np.float64
        assert replicates.shape == (50,)
        np.testing.assert_array_equal(result.intervals[metric], interval(replicates))
    assert measured(name) == result


@pytest.mark.parametrize("name", TASKS)
def test_all_models_share_the_draws(name):
    a, b = measured(name, random_embedder(8)), measured(name, random_embedder(5))
    for metric, values in a.per_item.items():
        assert values.shape == (a.num_items,)
        assert a.metrics[metric] == pytest.approx(values.mean())
        paired = mean_replicates((b.per_item[metric] - values)[:, None], 50, 0)[:, 0]
        np.testing.assert_allclose(b.replicates[metric] - a.replicates[metric], paired, rtol=1e-9, atol=1e-12)
    assert a.data_fingerprint == b.data_fingerprint


@pytest.mark.parametrize("name", TASKS)
def test_without_a_bootstrap_the_values_are_the_same(name):
    result, without = measured(name), measured(name, bootstrap=0)
    assert without.metrics == result.metrics
    assert (without.intervals, without.replicates) == ({}, {})


@pytest.mark.parametrize("name", TASKS)
def test_the_batch_size_changes_nothing(name, tiny_tower):
    whole = measured(name, tiny_tower.served(), precision="fp32", bootstrap=0)
    parts = measured(name, tiny_tower.served(), precision="fp32", bootstrap=0, batch_size=7)
    assert parts.metrics == pytest.approx(whole.metrics, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", TASKS)
def test_every_setting_is_documented_and_a_misspelt_one_names_the_nearest(name):
    task = get_task(name)
    for settings in (task.definition.opening, task.definition.settings):
        assert all(setting.help.endswith(".") for setting in settings_of(settings))
        assert dataclasses.is_dataclass(settings)
    names = [setting.name for settings in task.options().values() for setting in settings]
    assert len(names) == len(set(names))
    for setting in task.options()["settings"]:
        with pytest.raises(InputError, match=f"unknown setting of {name} '{setting.name}x': did you mean"):
            task.measure(random_embedder(), task.open(ROWS[name]), **{f"{setting.name}x": 1})
    with pytest.raises(InputError, match=f"unknown setting of {name} 'spllit'"):
        task.open(ROWS[name], spllit=1)
    with pytest.raises(InputError, match="was given no data"):
        task.open()


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_repeated_while_training(name):
    options = SETTINGS.get(name, {})
    validation = Validation.of(name, ROWS[name], **options)
    figures = validation(random_embedder())
    assert next(iter(figures)) == get_task(name).best_metric not in get_task(name).lower_is_better
    assert figures == validation(random_embedder())
    assert RunConfig.resolve("pairs", {"data": "x", "eval_task": name}).data.eval_task == name


@pytest.mark.parametrize("name", TASKS)
def test_a_column_that_is_missing_is_said(name):
    needed = [column.name for column in get_task(name).columns if column.required and not column.instead_of]
    with pytest.raises(InputError, match=f"has no column '{needed[-1]}'"):
        get_task(name).open([{one: row[one] for one in needed[:-1]} for row in ROWS[name]])


@pytest.mark.parametrize("name", [name for name in TASKS if name != "retrieval"])
def test_a_vector_that_is_not_finite_is_said(name, by_rule):
    with pytest.raises(InputError, match="zero or not finite"):
        measured(name, by_rule(2, lambda text: [float("nan"), 1.0]))


def test_a_validation_of_what_is_not_measured_is_refused():
    with pytest.raises(ValueError, match="a lower mae is better"):
        Validation.of("regression", ROWS["regression"], best="mae")
    with pytest.raises(ValueError, match="knn does not measure 'f1'"):
        Validation.of("knn", LABELLED, best="f1", k=3)(random_embedder())
    with pytest.raises(InputError, match="unknown task 'kn': did you mean 'knn'"):
        Validation.of("kn", LABELLED)
    with pytest.raises(InputError, match="unknown task 'retreival': did you mean 'retrieval'"):
        RunConfig.resolve("pairs", {"data": "x", "eval_task": "retreival"})


def test_the_list_of_tasks_loads_nothing_heavy():
    code = "import sys; from likewise.evaluation import TASKS; assert TASKS['knn'].summary; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "sklearn", "datasets", "pyarrow"} & set(loaded)


def test_the_room_names_what_exists():
    import likewise.evaluation as room

    for name in room.__all__:
        assert getattr(room, name) is not None
    assert dir(room) == sorted(room.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = room.nothing
