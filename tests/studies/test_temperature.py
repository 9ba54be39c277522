"""``likewise use MODEL temperature``: what each temperature does, by training anew and without."""

import math
import sys

import pytest
import torch
from PIL import Image

import likewise
from likewise.artefact import load
from likewise.data import open_table
from likewise.errors import InputError
from likewise.evaluation import get_task
from likewise.geometry import penalty_entropy, same_label_push, tolerance, uniformity
from likewise.studies import study
from likewise.studies.runs import execute

TINY = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 10, "head_size": 8,
        "precision": "fp32", "progress": False}  # fmt: skip


@pytest.fixture(autouse=True)
def _runs_in_this_process(monkeypatch):
    """A worker imports everything anew, which is most of the time of so small a study."""

    def one_after_the_other(jobs, **_):
        for job in jobs:
            execute(job.request)
        return {}

    monkeypatch.setattr(sys.modules["likewise.studies.study"], "run_all", one_after_the_other)


@pytest.fixture(scope="module")
def data(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    chosen = [row for row in digits if row["label"] < 4][:60]
    for number, row in enumerate(chosen):
        (folder / str(row["label"])).mkdir(exist_ok=True)
        Image.fromarray(row["image"]).save(folder / str(row["label"]) / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "run"
    likewise.train("contrastive-behaviour", data, out=out, steps=4, **TINY)
    return out


def vectors(model, data, space):
    table = open_table(data, columns=get_task("knn").columns)
    return load(model, space=space).encode(table.values("image"), precision="fp32"), table.values("label")


def test_without_training_it_tells_who_would_be_pushed_in_the_space_as_it_is(model, data, tmp_path):
    found = likewise.use(model, "temperature", data=str(data), retrain=False, temperatures=(0.1, 1.0))
    projected, labels = vectors(model, data, "projection")
    assert [row["temperature"] for row in found.rows] == [0.1, 0.3, 1.0]  # with that of the model
    for row in found.rows:
        entropy = float(penalty_entropy(projected, temperature=row["temperature"]).mean())
        assert row["penalty_entropy"] == pytest.approx(entropy, abs=1e-4)
        assert row["effective_negatives"] == pytest.approx(math.exp(entropy), abs=0.06)
        push = same_label_push(projected, labels, temperature=row["temperature"])
        assert row["same_label_push"] == pytest.approx(push, abs=1e-4)
    assert found.rows[0]["same_label_push"] > found.rows[-1]["same_label_push"]  # the nearest are of the own kind
    assert found.figures == {"rows": 60, "trained_at": 0.3}
    assert found.files == ()
    options = {"retrain": False, "out": str(tmp_path / "out")}
    assert [path.name for path in likewise.use(model, "temperature", data=str(data), **options).files] == [
        "temperature.html"
    ]


def test_a_sweep_is_the_model_s_own_training_at_each_temperature(model, data, tmp_path, browse):
    options = {"temperatures": (1.0,), "hard": 0.1, "out": str(tmp_path / "out")}
    found = likewise.use(model, "temperature", data=str(data), **options)
    assert [(row["arm"], row["temperature"]) for row in found.rows] == [
        ("as trained", 0.3),
        ("as trained", 1.0),
        ("hardest 10 %", 0.3),
        ("hardest 10 %", 1.0),
    ]
    by_hand = tmp_path / "by-hand"
    likewise.train("contrastive-behaviour", data, out=by_hand, steps=4, temperature=1.0, keep_fraction=0.1, **TINY)
    projected, labels = vectors(by_hand, data, "projection")
    row = found.rows[3]
    assert row["uniformity"] == pytest.approx(uniformity(projected), abs=1e-3)
    assert row["tolerance"] == pytest.approx(tolerance(projected, labels), abs=1e-3)
    entropy = float(penalty_entropy(projected, temperature=1.0).mean())
    assert row["penalty_entropy"] == pytest.approx(entropy, abs=1e-3)
    knn = get_task("knn")
    result = knn.measure(load(by_hand), knn.open(data), precision="fp32", bootstrap=0, k=10)
    assert row["neighbours"] == pytest.approx(result.metrics["accuracy"], abs=0.09)  # one of the twelve held out
    assert 0 <= row["probe"] <= 1
    assert [row["verdict"] for row in found.rows].count("baseline") == 1
    assert found.rows[0]["verdict"] == "baseline"
    best = max(found.rows, key=lambda one: one["neighbours"])
    assert found.figures["best"] == f"{best['temperature']:g} ({best['arm']})"
    assert (found.figures["trained_at"], found.figures["steps"], found.figures["seeds"]) == (0.3, 4, 1)
    page, report = found.files
    assert (page.name, report.name) == ("temperature.html", "report.html")
    view = browse(page)
    view.assert_sound()
    text = view.page.inner_text("body")
    assert found.figures["advice"] in text
    assert view.page.locator(".plot").count() == 5
    again = likewise.use(model, "temperature", data=str(data), **options)  # the runs are there
    assert again.rows == found.rows


def test_without_labels_it_tells_the_dilemma_and_not_what_is_best(model, data, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(data.rglob("*.png")):
        (flat / path.name).write_bytes(path.read_bytes())
    found = likewise.use(model, "temperature", data=str(flat), temperatures=(1.0,), steps=2, out=str(tmp_path / "out"))
    assert {"uniformity", "penalty_entropy", "effective_negatives"} <= found.rows[0].keys()
    assert not {"neighbours", "probe", "tolerance", "verdict"} & found.rows[0].keys()
    assert found.figures == {"trained_at": 0.3, "steps": 2, "seeds": 1}
    assert "nothing here says which temperature is best" in found.files[0].read_text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data": ""}, "no data given"),
        ({"out": ""}, "say where they go with --out, or give --no-retrain"),
        ({"temperatures": (0.1, 0.0)}, r"a temperature is 0\.0"),
        ({"hard": 1.5}, r"hard is 1\.5"),
        ({"seeds": 0}, "seeds is 0"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(model, data, tmp_path, settings, says):
    with pytest.raises(InputError, match=says):
        likewise.use(model, "temperature", **{"data": str(data), "out": str(tmp_path / "out"), **settings})
    assert not (tmp_path / "out").exists()


def test_a_loss_without_a_temperature_and_a_space_that_is_not_there_are_refused(data, tmp_path):
    likewise.train("contrastive-behaviour", data, out=tmp_path / "run", steps=1, loss="simple", **TINY)
    with pytest.raises(InputError, match="contrastive-behaviour with --loss simple has no temperature"):
        likewise.use(tmp_path / "run", "temperature", data=str(data), out=str(tmp_path / "out"))
    shared = {name: value for name, value in TINY.items() if name != "progress"}
    content = {
        "data": str(data),
        "shared": shared,
        "arms": {"a": {"method": "contrastive-behaviour"}},
        "budget": {"steps": 1},
        "evaluate": [{"task": "knn", "data": str(data), "space": "projektion"}],
    }
    with pytest.raises(InputError, match=r"unknown space \(evaluation 'pictures.*'\) 'projektion': did you mean 'proj"):
        study(content, tmp_path / "study", progress=False)
    content["arms"] = {"a": {"method": "isogclr"}}
    with pytest.raises(InputError, match="asks for the space 'projektion', but its models have one space"):
        study(content, tmp_path / "study", progress=False)


def test_the_share_of_the_push_on_the_own_class_is_a_plain_loop():
    rows = torch.nn.functional.normalize(torch.randn(9, 3, generator=torch.Generator().manual_seed(0)).double(), dim=1)
    labels, shares = [0, 1, 2] * 3, []
    for i in range(9):
        weights = [math.exp(float(rows[i] @ rows[j]) / 0.2) if j != i else 0.0 for j in range(9)]
        own = sum(weight for weight, label in zip(weights, labels, strict=True) if label == labels[i])
        shares.append(own / sum(weights))
    assert same_label_push(rows, labels, temperature=0.2) == pytest.approx(sum(shares) / 9, rel=1e-9)
    assert same_label_push(rows, range(9), temperature=0.2) == 0.0
    with pytest.raises(ValueError, match="same_label_push: temperature is 0"):
        same_label_push(rows, labels, temperature=0.0)
