"""Terms against plain arithmetic, which tower each term moves, the variant with attributes, and the product."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import likewise
from likewise.errors import InputError
from likewise.losses import gaussian_uniformity, joint_entropy
from likewise.methods.vision.sepclr import Config, SepCLR
from likewise.views import Batch
from methods.table_tower import Reads, table

SMALL = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 8, "precision": "fp32"}
NAMES = ("common", "salient", "background", "leakage")


def on_tables(size=6, **settings):
    """Codes are rows of two tables, without layers and heads."""
    torch.manual_seed(0)
    made = SepCLR(Config(**settings), Reads(table(size, 3)), Reads(table(size, 2, seed=1))).double()
    for name in ("common_code", "salient_code", "common_head", "salient_head"):
        setattr(made, name, nn.Identity())
    return made


def batch_of(target, attributes=None):
    numbers = torch.arange(len(target))
    inputs = {"first": numbers, "second": numbers + 100, "target": torch.tensor(target, dtype=torch.bool)}
    return Batch(inputs if attributes is None else {**inputs, "attributes": torch.tensor(attributes)}, numbers)


def codes_of(method, size):
    common = [F.normalize(method.encoder.table[i : i + size], dim=1) for i in (0, 100)]
    return common, [method.salient.table[i : i + size] for i in (0, 100)]


def test_the_terms_are_those_of_the_paper():
    method = on_tables(salient_weight=3.0, background_weight=5.0, leakage_weight=7.0)
    target = torch.tensor([1, 1, 0, 1, 0, 0], dtype=torch.bool)
    output = method(batch_of(target.tolist()))
    c, s = codes_of(method, 6)
    pinned = [torch.where(target[:, None], one, 0.0) for one in s]
    apart = [sum(gaussian_uniformity(one, temperature=0.5) for one in of) / 2 for of in (c, pinned)]
    squares = [(a - b).square().sum(1) for a, b in ((c[0], c[1]), (s[0], s[1]))]
    away = sum(one[~target].square().sum(1).mean() for one in s) / 2
    known = sum(joint_entropy(*two, temperature=0.5).mean() for two in zip(c, pinned, strict=True)) / 2
    expected = {
        "common": squares[0].mean() + 2 * apart[0],
        "salient": 3 * (squares[1][target].mean() + 2 * apart[1]),
        "background": 5 * away,
        "leakage": 7 * known,
    }
    torch.testing.assert_close(dict(output.terms), expected, rtol=1e-9, atol=1e-12)


def test_terms_and_gradients_are_those_of_the_official_code():
    # neurospin-projects/2024_rlouiset_sep_clr at 0e40bff4: losses.py, put together as cifar_mnist/sep_clr_k-jem.py.
    method = on_tables(salient_weight=3.0, background_weight=5.0, leakage_weight=7.0)
    output = method(batch_of([1, 1, 0, 1, 0, 0]))
    official = {"common": -1.7131164565, "salient": 1.1964475511, "background": 0.7315460719, "leakage": -1.3436158243}
    weights = dict(zip(NAMES, (1, 3, 5, 7), strict=True))
    assert {name: term.item() / weights[name] for name, term in output.terms.items()} == pytest.approx(
        official, abs=2e-9
    )
    output.loss.backward()
    assert method.encoder.table.grad[0].tolist() == pytest.approx(
        [-0.4178633938, -0.8883511708, -0.101210432], abs=2e-9
    )
    assert method.salient.table.grad[[0, 2]].flatten().tolist() == pytest.approx(
        [1.3011337596, 0.729065907, 1.5089264445, 0.7439576206], abs=2e-9
    )


def test_the_background_is_moved_by_its_own_term_alone_and_that_draws_it_to_zero():
    method = on_tables(salient_weight=1.0, background_weight=1.0, leakage_weight=1.0)
    terms = method(batch_of([1, 1, 0, 1, 0, 0])).terms
    table_of = method.salient.table
    for name in ("salient", "leakage"):
        (gradient,) = torch.autograd.grad(terms[name], table_of, retain_graph=True)
        assert not gradient[[2, 4, 5, 102, 104, 105]].any()
        assert gradient[[0, 1, 3]].any()
    (gradient,) = torch.autograd.grad(terms["background"], table_of)
    torch.testing.assert_close(gradient[2], table_of[2].detach() / (0.5 * 3) / 2)
    assert not gradient[[0, 1, 3]].any()


def test_without_weights_only_the_common_tower_learns():
    method = on_tables(salient_weight=0.0, background_weight=0.0, leakage_weight=0.0)
    output = method(batch_of([1, 0, 1, 0, 1, 0]))
    output.loss.backward()
    assert output.loss.item() == pytest.approx(output.terms["common"].item(), rel=1e-12)
    assert not method.salient.table.grad.any()
    assert method.encoder.table.grad.any()


@pytest.mark.parametrize("target", [[0] * 6, [1] * 6])
def test_one_kind_alone_is_finite(target):
    terms = on_tables(salient_weight=1.0)(batch_of(target)).terms
    assert all(torch.isfinite(term) for term in terms.values())
    assert terms["salient" if not target[0] else "background"].item() == pytest.approx(0, abs=1e-12)


def test_turning_a_code_changes_nothing_and_moving_the_salient_one_does_not_change_its_alignment():
    method, target = on_tables(salient_weight=1.0, background_weight=1.0), [1, 1, 0, 1, 0, 0]
    before = method(batch_of(target)).terms
    with torch.no_grad():
        method.salient.table.copy_(method.salient.table @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64))
    turned = method(batch_of(target)).terms
    for name in NAMES:
        assert turned[name].item() == pytest.approx(before[name].item(), rel=1e-9)
    with torch.no_grad():
        method.salient.table.add_(2)
    assert method(batch_of(target)).terms["background"].item() > 2 * before["background"].item()


def test_attributes_pull_their_numbers_of_the_code():
    values = [[0.0, 1.0], [0.0, 2.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    target = torch.tensor([1, 1, 0, 1, 0, 0], dtype=torch.bool)
    method = on_tables(attributes="discrete", num_attributes=2, salient_weight=1.0, leakage_weight=0.0)
    terms = method(batch_of(target.tolist(), values)).terms
    assert set(terms) == {"common", "salient", "leakage"}
    _, s = codes_of(method, 6)
    expected = 0.0
    for one in s:
        for k, (i, j) in enumerate(((0, 1), (0, 3))):  # the only pair of targets that are equal in attribute k
            apart = gaussian_uniformity(torch.where(target, one[:, k], 0.0)[:, None], temperature=0.5)
            pulled = (one[i, k] - one[j, k]) ** 2 / 3
            expected = expected + (apart + (pulled + one[~target, k].square().mean()) / 2) / 4
    assert terms["salient"].item() == pytest.approx(expected.item(), rel=1e-9)


def pictures(digits, count=24):
    return [{"image": row["image"], "target": i % 2, "digit": i // 2 % 2} for i, row in enumerate(digits[:count])]


def test_a_second_source_is_the_background_and_both_spaces_are_asked_for(digits, tmp_path, browse):
    from likewise.artefact import load_model

    for name, rows in (("patients", digits[:12]), ("controls", digits[12:24])):
        (tmp_path / name).mkdir()
        from PIL import Image

        for i, row in enumerate(rows):
            Image.fromarray(row["image"]).save(tmp_path / name / f"{i}.png")
    sources = {"data": str(tmp_path / "patients"), "background": str(tmp_path / "controls")}
    settings = {**SMALL, "steps": 3, "common_size": 5, "salient_size": 3}
    model = likewise.train("sepclr", out=tmp_path / "run", progress=False, **sources, **settings)
    assert model.dim == 3
    run = str(tmp_path / "run")
    assert likewise.load(run, space="salient").fingerprint == likewise.load(run).fingerprint == model.fingerprint
    common = likewise.load(run, space="common")
    assert common.dim == 5
    assert load_model(run).about["model"]["spaces"] == ["salient", "common"]
    with pytest.raises(InputError, match="'comon'"):
        likewise.load(run, space="comon")
    found = likewise.use(run, "salient", out=str(tmp_path / "found"), pictures=4, **sources)
    assert found.figures["rows"] == 24
    assert found.figures["targets"] == found.figures["background"] == 12
    lengths = [row["salient"] for row in found.rows]
    assert lengths == sorted(lengths, reverse=True)
    assert len((tmp_path / "found" / "salient.jsonl").read_text().splitlines()) == 24
    seen = browse(tmp_path / "found" / "salient.html")
    seen.assert_sound()
    assert seen.page.locator("img").count() == 16  # both ends of both kinds


def test_labels_are_probed_on_targets_and_the_background_comes_near_zero(digits, tmp_path):
    settings = {**SMALL, "steps": 60, "lr": 1e-2, "common_size": 4, "salient_size": 4}
    likewise.train("sepclr", pictures(digits), out=tmp_path / "run", progress=False, **settings)
    how = {"data": pictures(digits), "labels": ("digit",), "out": str(tmp_path / "found")}
    figures = likewise.use(tmp_path / "run", "salient", **how).figures
    assert "nearest other target" in (tmp_path / "found" / "salient.html").read_text()
    assert 0 <= figures["background_share"] < 1
    assert figures["auc"] > 0.5
    assert figures["digit chance"] == 0.5
    for space in ("salient", "common"):
        assert 0 <= figures[f"digit on {space}"] <= 1
        assert 0 <= figures[f"digit by neighbour on {space}"] <= 1


def test_what_cannot_be_used_is_said(digits, tmp_path):
    for settings, message in (
        ({"common_size": 0}, "common_size is 0"),
        ({"leakage_weight": -1.0}, "leakage_weight is -1"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"attributes": "discrete", "background_weight": 1.0}, "leave background_weight out"),
    ):
        with pytest.raises(InputError, match=message):
            Config(**settings)
    rows = [{"image": row["image"], "target": "perhaps"} for row in digits[:8]]
    for run, (changed, message) in enumerate(
        (
            (rows, "says 'perhaps'"),
            ([{**row, "target": 1} for row in rows], "'target' alone"),
            ([{**row, "target": int(i > 0)} for i, row in enumerate(rows)], "has 1 row"),
        )
    ):
        with pytest.raises(InputError, match=message):
            likewise.train("sepclr", changed, out=tmp_path / f"run-{run}", progress=False, steps=1, **SMALL)
    described = [{**row, "target": i % 2, "attributes": [1.0]} for i, row in enumerate(rows)]
    described[3]["attributes"] = [1.0, 2.0]
    with pytest.raises(InputError, match=r"rows\[3\]: the target has 2 attributes"):
        likewise.train(
            "sepclr", described, out=tmp_path / "run", progress=False, steps=1, attributes="continuous", **SMALL
        )


def test_both_heads_have_the_width_of_their_codes():
    from likewise.encoders import ImageEncoderConfig

    method = SepCLR.build(Config(common_size=6, salient_size=3), ImageEncoderConfig("mlp-16", image_size=8, channels=1))
    views = torch.tensor(np.zeros((4, 1, 8, 8), dtype=np.uint8))
    assert method.common_head(method.common_code(method.encoder(views))).shape == (4, 6)
    assert method.salient_head(method.salient_code(method.salient(views))).shape == (4, 3)
