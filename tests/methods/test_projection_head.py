"""Losses behind any head, what a run keeps, and the product that tells which layer to use."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import likewise
from likewise.artefact import load_model
from likewise.encoders import ImageEncoderConfig, load_image_encoder
from likewise.errors import InputError
from likewise.heads import FixedReweight, SymmetricReLU, TappedHead
from likewise.losses import info_nce, spectral
from likewise.methods.vision import simclr, supcon
from likewise.methods.vision.projection_head import Config, ProjectionHead
from likewise.views import ReplacedViews
from methods.table_tower import TEMPERATURE, Reads, batch_of, table, without_head

SMALL = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 16, "precision": "fp32"}


def on_table(size=5, dim=4, **settings):
    torch.manual_seed(0)
    return ProjectionHead(Config(temperature=TEMPERATURE, **settings), Reads(table(size, dim))).double()


def test_without_a_head_it_is_simclr_and_with_classes_supcon():
    labels = [0, 1, 0, 2, 0]
    ours = on_table(head="none")(batch_of(5)).loss
    assert ours.item() == pytest.approx(without_head(simclr, table(5))(batch_of(5)).loss.item(), rel=1e-12)
    ours = on_table(head="none", loss="supcon")(batch_of(5, labels)).loss
    assert ours.item() == pytest.approx(without_head(supcon, table(5))(batch_of(5, labels)).loss.item(), rel=1e-12)


def test_supcon_with_a_class_for_each_picture_is_nt_xent_behind_any_head():
    for head in ("mlp", "reweight", "symrelu"):
        alone = on_table(head=head, loss="supcon")(batch_of(5, [4, 2, 0, 1, 3])).loss
        assert alone.item() == pytest.approx(on_table(head=head)(batch_of(5)).loss.item(), rel=1e-12)


def test_one_view_of_a_class_of_its_own_is_counted_out():
    rows = info_nce(torch.eye(3), None, labels=torch.tensor([0, 0, 7]), temperature=0.5)
    assert rows.counted.tolist() == [True, True, False]
    with pytest.raises(ValueError, match="none of the 3 rows counts"):
        info_nce(torch.eye(3), None, labels=torch.arange(3), temperature=0.5).mean()


def test_the_spectral_loss_sees_lengths_and_the_classifier_the_head():
    method = on_table(head="linear", loss="spectral")
    first, second = (method.head(method.encoder(torch.arange(i, i + 5))) for i in (0, 100))
    assert method(batch_of(5)).loss.item() == pytest.approx(spectral(first, second).mean().item(), rel=1e-12)
    method = on_table(head="mlp", loss="cross-entropy", classes=("a", "b", "c"))
    labels = torch.tensor([0, 1, 2, 1, 0])
    logits = method.classifier(method.head(method.encoder(torch.arange(5))))
    output = method(batch_of(5, labels.tolist()))
    assert output.loss.item() == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-12)


def test_the_order_of_dimensions_matters_to_the_fixed_head_alone():
    order = torch.tensor([2, 0, 3, 1])
    for head, changes in (("reweight", True), ("mlp", False)):
        how = {"kappa": 1.5} if head == "reweight" else {}
        method, other = on_table(head=head, **how), on_table(head=head, **how)
        with torch.no_grad():
            other.encoder.table.copy_(method.encoder.table[:, order])
            if head == "mlp":
                first = other.head.layers["layer1"][0].weight
                first.copy_(first[:, order])
        difference = abs(method(batch_of(5)).loss.item() - other(batch_of(5)).loss.item())
        assert (difference > 1e-3) == changes
        assert changes or difference < 1e-12


@pytest.mark.parametrize("head", ["symrelu", "reweight"])
def test_the_gradient_is_that_of_finite_differences(head):
    method = on_table(3, dim=2, head=head)
    if head == "symrelu":  # at 0 its two sides meet
        with torch.no_grad():
            method.head.layers["layer1"][1].threshold.fill_(0.05)

    def of_table(values):
        return torch.func.functional_call(method, {"encoder.table": values}, (batch_of(3),)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


OFFICIAL_REWEIGHTED = [0.1257302211, -0.0880699115, 0.2846322912, 0.0310815164, -0.105811235]
OFFICIAL_CUT = [0.061595043, 1.0040000332, 0.6470809512, -0.4037352239, -0.9654214591]
"""Of row 0, and of row 1 at threshold 0.3, by jiayini1119/projection-head-experiments at a145e06d,
models/spuco_model.py, in which numbers are float32. Weights of boboxa2010/ssl-projection-head-study at e6d19cc3 are the
same."""


def test_heads_without_layers_are_those_of_the_official_code():
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5))).requires_grad_()
    assert FixedReweight(5, 1.5)(features)[0].tolist() == pytest.approx(OFFICIAL_REWEIGHTED, abs=5e-8)
    cut = SymmetricReLU(0.3).double()
    found = cut(features)
    assert found[1].tolist() == pytest.approx(OFFICIAL_CUT, abs=5e-8)
    found.square().sum().backward()
    assert cut.threshold.grad.item() == pytest.approx(-13.9042817177, abs=1e-6)
    assert features.grad[0].tolist() == pytest.approx([0, 0, 0.680845277, 0, -0.4713387225], abs=5e-7)


def test_losses_behind_a_head_are_those_of_the_official_code():
    # SupCon of both repositories above, and NT-Xent of the second one, alone and behind its fixed weights.
    views = torch.cat([torch.from_numpy(np.random.default_rng(seed).normal(size=(4, 3))) for seed in (1, 2)])
    views.requires_grad_()
    for labels, official in (([0, 1, 0, 1], 2.4783230841), ([0, 1, 2, 3], 2.346173677)):
        unit = torch.nn.functional.normalize(views, dim=1)
        found = info_nce(unit, None, labels=torch.tensor(labels * 2), temperature=0.5).mean()
        assert found.item() == pytest.approx(official, abs=2e-9)
        if labels[2] == 0:
            found.backward()
            assert views.grad[2].tolist() == pytest.approx([-0.0637391674, -0.0489102676, -0.0159153853], abs=2e-9)
    method = on_table(head="reweight", kappa=1.5)
    loss = method(batch_of(5)).loss
    loss.backward()
    assert loss.item() == pytest.approx(3.1526393809, abs=5e-8)
    assert method.encoder.table.grad[1].tolist() == pytest.approx(
        [-0.3705473289, -0.2019836072, -0.1142484298, 0.0248398783], abs=5e-8
    )


def test_the_first_view_shows_the_picture_without_its_subject_so_often():
    full, empty = np.full((8, 8), 255, np.uint8), np.zeros((8, 8), np.uint8)
    encoder = load_image_encoder(ImageEncoderConfig(encoder="mlp-4", image_size=8, channels=1))
    views = ProjectionHead(Config(drop=0.75, augment="none"), encoder).views()
    assert isinstance(views, ReplacedViews)
    row = {"image": full, "without": empty}
    made = [views(row, np.random.default_rng([0, i])) for i in range(400)]
    assert all(one["second"].min() > 250 for one in made)
    assert np.mean([one["first"].max() == 0 for one in made]) == pytest.approx(0.75, abs=0.07)


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A small model on digits in which a stripe goes with being odd."""
    folder = tmp_path_factory.mktemp("trained")
    rows = []
    for i, row in enumerate(digits[:240]):
        odd = row["label"] % 2
        stripe = odd if i % 5 else 1 - odd
        image = row["image"].copy()
        image[0] = 255 * stripe
        rows.append({"image": image, "label": "odd" if odd else "even", "group": f"stripe {stripe}"})
    settings = {"loss": "supcon", "head": "mlp", "head_size": 8, "steps": 20, "progress": False}
    likewise.train("projection-head", rows[:160], out=folder / "run", keep="layer1", **settings, **SMALL)
    return folder / "run", rows


def test_a_tap_is_kept_as_a_model_and_the_rest_of_the_head_beside_it(trained):
    run, rows = trained
    model = load_model(run)
    assert model.image_encoder.tap == "layer1"
    assert model.kept["classes"] == ["even", "odd"]
    pictures = [row["image"] for row in rows[:4]]
    features = model.image_encoder.without_head().features(pictures, precision="fp32")
    head = TappedHead.of(model.kept["head"])
    torch.testing.assert_close(model.image_encoder.features(pictures, precision="fp32"), head(features, "layer1"))
    vectors = model.embedder.encode(pictures, precision="fp32")
    torch.testing.assert_close(vectors, torch.nn.functional.normalize(head(features, "layer1"), dim=1))
    prints = {model.image_encoder.with_head(head, tap).fingerprint for tap in head.tap_names}
    assert len(prints | {model.image_encoder.without_head().fingerprint}) == 4


def test_the_layers_are_compared_and_the_best_is_saved(trained, tmp_path, capfd, browse):
    from likewise.cli import main

    run, rows = trained
    found = likewise.use(run, "layers", data=rows[160:], train=rows[:160], bootstrap=50, out=str(tmp_path / "cut"),
                         page=str(tmp_path / "report" / "layers.html"))  # fmt: skip
    seen = browse(tmp_path / "report" / "layers.html")
    seen.assert_sound()
    assert f"{found.figures['best']} is best of pre, layer1, post" in seen.page.inner_text("body")
    assert [row["tap"] for row in found.rows] == ["pre", "layer1", "post"]
    assert [row["dims"] for row in found.rows] == [16, 16, 8]
    for row in found.rows:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert max(row["label_weight"], row["group_weight"]) == 1.0
        assert row["effective_rank"] > 1
    assert found.figures["best"] == max(found.rows, key=lambda row: (row["balanced_worst"], row["accuracy"]))["tap"]
    assert found.figures["robust"] in (True, False)
    assert found.figures["gap_low"] <= found.figures["gap_pre_post"] <= found.figures["gap_high"]
    cut = load_model(tmp_path / "cut")
    assert (cut.image_encoder.tap or "pre") == found.figures["kept"] == found.figures["best"]
    likewise.use(tmp_path / "cut", "layers", data=rows, keep="post", bootstrap=5, out=str(tmp_path / "post"))
    assert likewise.load(tmp_path / "post").dim == 8
    with pytest.raises(SystemExit):
        main(["use", str(run), "layers", "--help"])
    assert "--keep" in capfd.readouterr().out


def test_what_cannot_be_used_is_said_in_a_sentence(trained, digits, tmp_path):
    run, rows = trained
    for settings, message in (
        ({}, "no data given"),
        ({"data": rows, "keep": "post"}, "no folder is given"),
        ({"data": rows, "keep": "layer7", "out": str(tmp_path / "x")}, "unknown tap of a head 'mlp' 'layer7'"),
        ({"data": rows, "bootstrap": 0}, "bootstrap is 0"),
    ):
        with pytest.raises(InputError, match=message):
            likewise.use(run, "layers", **settings)
    assert not (tmp_path / "x").exists()
    for settings, message in (
        ({"kappa": 0.5}, r"kappa is 0\.5"),
        ({"kappa": float("nan")}, "kappa is nan"),
        ({"head": "mlp", "kappa": 1.5}, "kappa is of the head 'reweight'"),
        ({"drop": 2.0}, r"drop is 2\.0"),
        ({"head": "reweight", "head_size": 8}, "keeps the features' length"),
        ({"head": "symrelu", "hidden": 3}, "keeps the features' length"),
        ({"hidden": 0}, "hidden is 0"),
        ({"keep": "layer2"}, "unknown tap of a head 'mlp' 'layer2'"),
        ({"loss": "supcon"}, "at least 2 classes"),
        ({"drop": 0.5}, "no column 'without'"),
    ):
        one_class = [{"image": row["image"], "label": 1} for row in digits[:20]]
        with pytest.raises(InputError, match=message):
            likewise.train("projection-head", one_class, out=tmp_path / "run", progress=False, **settings, **SMALL)
