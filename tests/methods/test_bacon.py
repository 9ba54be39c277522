"""Two branches that do not see each other's gradient, what takes part, state, and the product."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import likewise
from likewise.errors import InputError
from likewise.losses import info_nce, prior_matching, soft_positives
from likewise.methods.vision.bacon import BaCon, Config
from likewise.views import Batch
from methods.table_tower import Reads, table

SMALL = {
    "encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 16, "precision": "fp32",
    "hidden": 16, "head_size": 8,
}  # fmt: skip
LABELS = [0, 1, -1, -1, 0, -1]


def on_table(size=6, epochs=0.0, **settings):
    torch.manual_seed(0)
    config = Config(num_classes=4, classes=("a", "b"), **settings)
    made = BaCon(config, Reads(table(size, 4))).double()
    made.head = nn.Identity()
    made.counts.copy_(torch.tensor([3.0, 2.0, 6.0, 1.0]))
    made._labels, made.rows_seen = np.zeros(100), torch.tensor(round(100 * epochs))
    return made


def batch_of(labels):
    numbers = torch.arange(len(labels))
    return Batch({"first": numbers, "second": numbers + 100, "label": torch.tensor(labels)}, numbers)


def views_of(method):
    rows = torch.cat([torch.arange(6), torch.arange(100, 106)])
    return F.normalize(method.encoder.table[rows], dim=1), method.classifier(method.class_encoder.table[rows])


def test_the_terms_are_those_of_the_paper():
    method = on_table(epochs=15.0, rate_power=0.0)  # all rows are kept; the teacher's temperature is half way
    terms = method(batch_of(LABELS)).terms
    z, o = views_of(method)
    label = torch.tensor(LABELS).repeat(2)
    has = label >= 0
    swapped = o.roll(6, 0).detach()
    distilled = -((swapped / 0.055).softmax(1) * (o / 0.1).log_softmax(1)).sum(1).mean()
    shares = (o / 0.1 - 0.5 * (method.counts / method.counts.sum()).log()).softmax(1)
    shares = (shares[:6] + shares[6:]) / 2
    expected = {
        "distillation": 0.65 * distilled,
        "prior": 0.65 * prior_matching(o, method.counts, temperature=0.1, power=1.1),
        "labels": 0.35 * F.cross_entropy(o[has] / 0.1, label[has]),
        "views": 0.65 * info_nce(z, None, labels=torch.arange(6).repeat(2), temperature=1.0).mean(),
        "classes": 0.175 * info_nce(z[has], None, labels=label[has], temperature=0.07).mean(),
        "soft": 0.175 * soft_positives(z[:6], z[6:], shares, temperature=0.07).mean(),
    }
    torch.testing.assert_close(dict(terms), expected, rtol=1e-9, atol=1e-12)


OFFICIAL = {
    "distillation": 4.6060697816, "prior": 0.2863109252, "labels": 2.1622229073,
    "views": 1.8389659402, "classes": 2.3431188026, "soft": 1.9053764669,
}  # fmt: skip
OFFICIAL_GRADIENTS = {
    "classify": [0.195770658, -0.1776821165, 0.1749582192, 0.53174626],
    "contrast": [0.0663355252, 0.0030462602, -0.0996696462, -0.2803102506],
}
"""By JianhongBai/BaCon at f602de5a (model/loss.py, reg_loss.py, softconloss.py), put together as its train_dual does,
where all rows are kept and the teacher is half way. Gradients are those of one row of cosines and of one unit vector,
without what points along the vector itself."""


def test_terms_and_gradients_are_those_of_the_official_code():
    method = on_table(epochs=15.0, rate_power=0.0)
    method.classifier = nn.Identity()  # the table's unit rows are the cosines
    for tower in (method.encoder, method.class_encoder):
        tower.table.data = F.normalize(tower.table.data, dim=1)
    terms = method(batch_of(LABELS)).terms
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(OFFICIAL, abs=2e-9)
    sum(terms.values()).backward()
    for tower, name in ((method.class_encoder, "classify"), (method.encoder, "contrast")):
        row, gradient = tower.table.data[2], tower.table.grad[2]
        along = gradient - (gradient @ row) * row
        assert along.tolist() == pytest.approx(OFFICIAL_GRADIENTS[name], abs=2e-9)


def test_no_gradient_goes_between_the_branches():
    method = on_table(epochs=2.0)
    terms = method(batch_of(LABELS)).terms
    for names, own, other in (
        (("distillation", "prior", "labels"), method.class_encoder.table, method.encoder.table),
        (("views", "classes", "soft"), method.encoder.table, method.class_encoder.table),
    ):
        total = sum(terms[name] for name in names)
        found = torch.autograd.grad(total, (own, other), retain_graph=True, allow_unused=True)
        assert found[0].any()
        assert found[1] is None


def test_before_the_warm_up_ends_there_is_no_soft_part_and_labels_have_all_of_their_weight():
    before, after = on_table(epochs=0.5)(batch_of(LABELS)).terms, on_table(epochs=1.0)(batch_of(LABELS)).terms
    assert "soft" not in before
    assert "soft" in after
    assert before["classes"].item() == pytest.approx(2 * after["classes"].item(), rel=1e-12)


@pytest.mark.parametrize("labels", [[-1] * 6, [0, 1, 0, 1, 1, 0]])
def test_a_batch_with_or_without_labels_alone_is_finite(labels):
    terms = on_table(epochs=2.0)(batch_of(labels)).terms
    assert all(torch.isfinite(term) for term in terms.values())


def test_labelled_rows_take_part_always_and_frequent_classes_seldom():
    method = on_table(epochs=2.0, rate_power=50.0)
    shares = torch.eye(4, dtype=torch.float64)[[2, 2, 2, 3, 3, 0]]  # class 3 is the smallest
    chosen = method._chosen(shares, torch.tensor([-1, -1, 0, -1, -1, 1]))
    assert chosen.tolist() == [False, False, True, True, True, True]


def test_what_takes_part_is_drawn_by_seed_and_step():
    method, shares = on_table(rate_power=1.0), torch.full((200, 4), 0.25, dtype=torch.float64)
    shares[:, 2] += torch.linspace(0.1, 0.2, 200)
    labels = torch.full((200,), -1)
    first = method._chosen(shares, labels)
    assert torch.equal(method._chosen(shares, labels), first)
    method.after_step()
    assert not torch.equal(method._chosen(shares, labels), first)


def rows_of(digits, count=60):
    return [
        {"image": row["image"], "label": row["label"] if row["label"] < 3 and i % 2 else None}
        for i, row in enumerate([row for row in digits if row["label"] < 5][:count])
    ]


def test_a_run_estimates_goes_on_to_the_bit_and_its_classes_are_found(digits, tmp_path, browse):
    rows = rows_of(digits)
    settings = {**SMALL, "num_classes": 5, "estimate_every": 1, "warmup_epochs": 0.5, "seed": 3, "checkpoint_every": 5}
    model = likewise.train("bacon", rows, out=tmp_path / "whole", steps=10, progress=False, **settings)
    kept = likewise.artefact.load_model(tmp_path / "whole").kept
    assert kept["classes"] == ["0", "1", "2"]
    assert kept["counts"].sum() == 60
    assert kept["means"].shape == (3, 16)

    import shutil

    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    for path in [*(tmp_path / "part" / "checkpoints").glob("*10"), tmp_path / "part" / "likewise.json"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = likewise.train("bacon", rows, out=tmp_path / "part", steps=10, progress=False, resume=True, **settings)
    assert again.fingerprint == model.fingerprint
    resumed = likewise.artefact.load_model(tmp_path / "part").kept
    assert torch.equal(resumed["counts"], kept["counts"])

    others = [{"image": row["image"], "digit": row["label"]} for row in digits[300:500] if row["label"] < 5]
    out = tmp_path / "found"
    found = likewise.use(tmp_path / "whole", "discover", data=others, truth="digit", out=str(out), pictures=2)
    assert [row["class"] for row in found.rows] == ["0", "1", "2", "new 1", "new 2"]
    assert sum(row["pictures"] for row in found.rows) == len(others)
    assert found.rows[3]["pictures"] >= found.rows[4]["pictures"]
    assert {"all", "old", "new_accuracy"} <= set(found.figures)
    listed = [json.loads(line) for line in (out / "classes.jsonl").read_text().splitlines()]
    assert len(listed) == len(others)
    browse(out / "classes.html").assert_sound()
    page = (out / "classes.html").read_text()
    assert page.count("data:image/png") == sum(min(2, row["pictures"]) for row in found.rows)


def test_what_cannot_be_used_is_said(digits, tmp_path):
    for settings, message in (
        ({"num_classes": 1}, "num_classes is 1"),
        ({"estimate_every": 0}, "estimate_every is 0"),
        ({"label_weight": 1.0}, "label_weight is 1"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"rate_power": -1.0}, "rate_power is -1"),
    ):
        with pytest.raises(InputError, match=message):
            Config(**settings)
    rows = rows_of(digits, 16)
    labelled = [{**row, "label": i % 2} for i, row in enumerate(rows)]
    for run, (data, settings, message) in enumerate(
        (
            (rows, {}, "say it with --num-classes"),
            (rows, {"num_classes": 2}, "3 classes have labels"),
            (rows, {"num_classes": 17}, "16 rows for 17 classes"),
            (rows, {"num_classes": 5, "classes": ("0", "1", "2", "7")}, "no row has the label '7'"),
            (rows, {"num_classes": 5, "classes": ("0", "1")}, "none of the classes"),
            (labelled, {"num_classes": 3}, "every row has a label"),
            ([{**row, "label": None} for row in rows], {"num_classes": 3}, "no row has a label"),
        )
    ):
        with pytest.raises(InputError, match=message):
            likewise.train("bacon", data, out=tmp_path / f"run-{run}", steps=1, progress=False, **SMALL, **settings)
