"""What every method promises, over every method of the public list."""

import copy
import csv
import dataclasses
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

import likewise
from checks.rows import LOWERED_SETTINGS, OPTIONAL_SETTINGS, SMALL_SETTINGS, rows
from likewise.data import Stages
from likewise.encoders import ImageEncoder, ImageEncoderConfig, TextEncoderConfig
from likewise.errors import InputError
from likewise.methods import METHODS, get_method
from likewise.methods.base import Method
from likewise.run_config import RunConfig
from likewise.sampling import Grouping
from likewise.settings import settings_of
from likewise.training import StepOutput

REPOSITORY = Path(__file__).parents[2]
SMALL = {"batch_size": 4, "precision": "fp32", "warmup": 0.0, "lr": 1e-3}
SMALL_ENCODERS: dict[type, dict[str, Any]] = {
    TextEncoderConfig: {"encoder_layers": 1, "max_tokens": 24},
    ImageEncoderConfig: {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph"},
}


def small(name: str) -> dict[str, Any]:
    return {**SMALL, **SMALL_ENCODERS[get_method(name).encoder_config_type], **SMALL_SETTINGS.get(name, {})}


pytestmark = pytest.mark.parametrize("name", sorted(METHODS))


@pytest.fixture(autouse=True)
def _a_small_encoder(monkeypatch, small_encoder):
    monkeypatch.setitem(SMALL_ENCODERS[TextEncoderConfig], "encoder", str(small_encoder))


@pytest.fixture(autouse=True)
def _folders_of_the_test(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("prepared")))


def build(name: str, **settings) -> tuple[Method, RunConfig]:
    config = RunConfig.resolve(name, {"data": "rows", **small(name), **settings})
    config = config.completed(likewise.open_table(rows(name), columns=get_method(name).columns_for(config.settings)))
    torch.manual_seed(config.training.seed)
    return get_method(name).build(config.settings, config.encoder), config


def trained_rows(method: Method, name: str, count: int = 6) -> list[dict[str, object]]:
    """The first rows that training would see together, made from rows of a user."""
    grouping = method.grouping()
    brought = rows(name, 4 * count if isinstance(grouping, Grouping) else 2 * count)
    table = likewise.open_table(brought, columns=type(method).columns_for(method.config))
    # In the test's own folder, where it stays: views may read what was prepared.
    prepared = method.prepare(table, Stages(Path(tempfile.mkdtemp())))
    if not isinstance(grouping, Grouping):
        return prepared.rows(range(count))
    return [row for row in prepared if row[grouping.column] == prepared[0][grouping.column]][:count]


def examples_of(views, made: list[dict[str, object]]) -> list[dict[str, object]]:
    import numpy as np

    return [views(row, np.random.default_rng([0, i])) for i, row in enumerate(made)]


def batch_of(method: Method, name: str, count: int = 6):
    made = trained_rows(method, name, count)
    views, grouping = method.views(), method.grouping()
    batch = views.collate(examples_of(views, made), list(range(count)))
    return dataclasses.replace(batch, group=made[0][grouping.column]) if isinstance(grouping, Grouping) else batch


def same(one: Any, other: Any) -> bool:
    """Whether two nests of values and tensors are equal."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def losses(out: Path) -> list[float]:
    with (out / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_it_builds_from_its_defaults_and_its_settings_are_documented(name):
    kind = get_method(name)
    config = RunConfig.resolve(name, {})
    assert config.settings == kind.config_type()
    assert all(setting.help.endswith(".") for setting in settings_of(kind.config_type))
    assert str(kind.paper)
    assert METHODS[name].summary[0].isupper()
    assert isinstance(kind.build(config.settings, config.encoder), Method)


def test_no_setting_of_it_hides_a_shared_one(name):
    groups = RunConfig.groups(get_method(name))
    names = [setting.name for config in groups.values() for setting in settings_of(config)]
    assert len(names) == len(set(names))


def test_its_settings_survive_a_round_trip(name):
    config = RunConfig.resolve(name, {"data": "x.txt", "columns": ("text=a",), "seed": 3})
    assert RunConfig.from_tree(config.as_tree()) == config


def test_what_a_step_told_apart_can_be_looked_at_and_holds_no_graph(name):
    method, _ = build(name)
    contrast = method(batch_of(method, name)).contrast
    assert (contrast is not None) == method.in_batch
    if contrast is None:
        return
    assert contrast.query.shape == contrast.key.shape == (6, contrast.query.shape[1])
    assert not contrast.query.requires_grad
    assert not contrast.key.requires_grad
    for side in (contrast.query, contrast.key):
        torch.testing.assert_close(side.norm(dim=1), torch.ones(6))
    assert float(contrast.temperature) == pytest.approx(getattr(method.config, "temperature", 0.05))


def test_a_step_gives_named_finite_terms_and_every_weight_in_use_a_gradient(name):
    method, _ = build(name)
    output = method(batch_of(method, name))
    assert isinstance(output, StepOutput)
    assert output.terms
    assert all(term.ndim == 0 and torch.isfinite(term) for term in output.terms.values())
    output.loss.backward()
    missing = [key for key, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing


def test_it_lowers_its_loss(name, tmp_path):
    settings = {**small(name), **LOWERED_SETTINGS.get(name, {})}
    likewise.train(name, rows(name, 24), out=tmp_path / "run", steps=30, progress=False, **settings)
    course = losses(tmp_path / "run")
    assert sum(course[-5:]) < 0.8 * sum(course[:5])


def test_it_is_deterministic_from_the_seed_whatever_the_number_of_workers(name, tmp_path):
    for run, how in (("a", {"seed": 1}), ("b", {"seed": 1, "workers": 2}), ("c", {"seed": 2})):
        likewise.train(name, rows(name), out=tmp_path / run, steps=4, progress=False, **{**small(name), **how})
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert losses(tmp_path / "a") != losses(tmp_path / "c")


def test_all_that_changes_is_in_its_state(name):
    method, _ = build(name)
    other, _ = build(name, seed=5)
    batch, _ = batch_of(method, name), batch_of(other, name)  # rows are prepared anew on resuming, then state is read
    other.load_state_dict(method.state_dict())
    for one in (method, other):
        one.train()
        torch.manual_seed(0)
        output = one(batch)
        output.loss.backward()
        with torch.no_grad():
            for parameter in one.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
        one.after_step()
    assert method.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in method.state_dict().items())


def test_it_can_be_copied_and_its_views_go_to_workers(name):
    method, _ = build(name)
    batch = batch_of(method, name)
    copied = copy.deepcopy(method).eval()
    method.eval()
    assert torch.equal(method(batch).loss, copied(batch).loss)
    made = trained_rows(method, name)
    torch.manual_seed(1)  # what is drawn comes from the row's own generator
    from_worker = examples_of(pickle.loads(pickle.dumps(method.views())), made)
    assert same(from_worker, examples_of(method.views(), made))


def test_what_is_kept_embeds_the_same_every_time_and_after_loading(name, tmp_path):
    model = likewise.train(name, rows(name), out=tmp_path / "run", steps=2, progress=False, **small(name))
    loaded = likewise.load(tmp_path / "run")
    assert loaded.fingerprint == model.fingerprint
    if getattr(model, "needs_domain", False):
        model, loaded = (one.for_domain(next(iter(one.domains))) for one in (model, loaded))
    inputs = ["a dog", "a river that is long", "a dog"]
    if isinstance(model, ImageEncoder):
        inputs = [row["image"] for row in rows(name)[:3]]
    vectors = model.encode(inputs, precision="fp32")
    assert torch.equal(vectors, model.encode(inputs, precision="fp32"))
    assert torch.allclose(loaded.encode(inputs, precision="fp32"), vectors, rtol=1e-4, atol=1e-5)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3))


def test_it_trains_on_the_columns_it_may_have_too(name, tmp_path):
    settings = OPTIONAL_SETTINGS.get(name, {})
    data = rows(name, optional=True)
    likewise.train(name, data, out=tmp_path / "run", steps=2, progress=False, **small(name), **settings)
    assert len(losses(tmp_path / "run")) == 2


def test_a_bad_row_is_named(name, tmp_path):
    column = next(c.name for c in get_method(name).columns if c.required)
    data = rows(name)
    data[3][column] = "   "
    with pytest.raises(InputError, match=rf"rows\[3\]: column '{column}' is (empty|missing)"):
        likewise.train(name, data, out=tmp_path / "run", progress=False, **small(name))
    assert not (tmp_path / "run").exists()


def test_one_row_at_a_time_is_refused_where_rows_are_told_apart(name, tmp_path):
    settings = {**small(name), "batch_size": 1, "steps": 1}
    if not get_method(name).in_batch:
        likewise.train(name, rows(name), out=tmp_path / "run", progress=False, **settings)
        return
    with pytest.raises(InputError, match="batch_size is 1"):
        likewise.train(name, rows(name), out=tmp_path / "run", progress=False, **settings)


def test_it_has_a_page_and_an_example(name):
    assert (REPOSITORY / "docs" / "methods" / f"{name}.md").exists()
    field, module = METHODS[name].where.partition(":")[0].split(".")[-2:]
    assert (REPOSITORY / "examples" / field / f"{module}.py").exists()
