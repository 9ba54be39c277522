"""NT-Xent and SupCon against plain loops, their limits, and what is kept of them."""

import math

import numpy as np
import pytest
import torch

import likewise
from likewise.encoders import ImageEncoderConfig, load_image_encoder
from likewise.errors import InputError
from likewise.methods.vision import simclr, supcon
from likewise.views import Batch, view_names
from methods.table_tower import TEMPERATURE, batch_of, table, without_head


def by_loops(values, labels, temperature=TEMPERATURE, views=2):
    """Mean over all views of: mean over their positives of -log softmax among all other views."""
    size = len(labels)
    chosen = [values[100 * view + row] for view in range(views) for row in range(size)]
    z = [v / math.sqrt(sum(x * x for x in v)) for v in chosen]
    whose, losses = [*labels] * views, []
    for i in range(views * size):
        others = [k for k in range(views * size) if k != i]
        logits = {k: sum(a * b for a, b in zip(z[i], z[k], strict=True)) / temperature for k in others}
        total = math.log(sum(math.exp(one) for one in logits.values()))
        positives = [k for k in others if whose[k] == whose[i]]
        losses.append(sum(total - logits[k] for k in positives) / len(positives))
    return sum(losses) / len(losses)


def test_nt_xent_equals_a_plain_loop():
    method = without_head(simclr, table(5))
    assert method(batch_of(5)).loss.item() == pytest.approx(by_loops(table(5), range(5)), rel=1e-9)


def test_more_views_of_a_picture_are_all_its_positives():
    values = np.random.default_rng(1).normal(size=(400, 4))
    method = without_head(simclr, values, num_views=4)
    numbers = torch.arange(5)
    batch = Batch({name: numbers + 100 * place for place, name in enumerate(view_names(4))}, numbers)
    assert list(method.views().inputs) == list(batch.inputs)
    assert method(batch).loss.item() == pytest.approx(by_loops(values, range(5), views=4), rel=1e-9)


def test_supcon_equals_a_plain_loop_and_with_different_labels_nt_xent():
    labels = [0, 1, 0, 2, 0]
    method = without_head(supcon, table(5))
    assert method(batch_of(5, labels)).loss.item() == pytest.approx(by_loops(table(5), labels), rel=1e-9)
    alone = method(batch_of(5, [4, 2, 0, 1, 3])).loss.item()
    assert alone == pytest.approx(without_head(simclr, table(5))(batch_of(5)).loss.item(), rel=1e-12)


def test_equal_views_alone_lose_the_logarithm_of_the_other_views():
    same = np.zeros((104, 3))
    same[:4] = same[100:] = [0.6, 0.8, 0.0]
    assert without_head(simclr, same)(batch_of(4)).loss.item() == pytest.approx(math.log(7), rel=1e-12)


@pytest.mark.parametrize("labels", [None, [0, 1, 0]])
def test_the_gradient_is_that_of_finite_differences(labels):
    method = without_head(simclr if labels is None else supcon, table(3, dim=2))

    def of_table(values):
        return torch.func.functional_call(method, {"encoder.table": values}, (batch_of(3, labels),)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


def test_the_head_is_no_part_of_the_model_and_classes_are_kept(digits, tmp_path):
    settings = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 16}
    for name in ("simclr", "supcon"):
        model = likewise.train(name, digits[:40], out=tmp_path / name, steps=3, progress=False, **settings)
        again = likewise.artefact.load_model(tmp_path / name)
        pictures = [row["image"] for row in digits[:5]]
        assert torch.equal(again.embedder.encode(pictures), model.encode(pictures))
        assert model.dim == 16
        seen = likewise.load(tmp_path / name, space="projection")
        assert seen.dim == 128
        weights = tmp_path / name / "model.safetensors"
        assert weights.samefile(tmp_path / name / "spaces" / "projection" / weights.name)  # takes its room once
    assert again.kept["classes"] == sorted({str(row["label"]) for row in digits[:40]})


def test_bad_input_is_said_in_a_sentence(digits, tmp_path):
    encoder = load_image_encoder(ImageEncoderConfig(encoder="mlp-8", image_size=8, channels=1))
    with pytest.raises(ValueError, match="temperature"):
        simclr.SimCLR(simclr.Config(temperature=0.0), encoder)
    one_class = [{**row, "label": 3} for row in digits[:20]]
    with pytest.raises(InputError, match="num_views is 1"):
        simclr.Config(num_views=1)
    with pytest.raises(InputError, match="head_size is 0"):
        supcon.Config(head_size=0)
    with pytest.raises(InputError, match="at least 2 classes"):
        likewise.train("supcon", one_class, out=tmp_path / "a", steps=1, batch_size=8, image_size=8, progress=False)
    with pytest.raises(InputError, match="batch norm takes the whole"):
        likewise.train("simclr", digits[:20], out=tmp_path / "b", steps=1, batch_size=8, micro_batch=4, progress=False)
