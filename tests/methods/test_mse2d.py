"""The checks of the paper's specification, on the method as it trains; those of the loss are in tests/losses."""

import csv

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError
from likewise.losses import InfoNCE, other_texts
from likewise.methods.text.mse2d import MSE2D, Config
from likewise.run_config import RunConfig

PAIRS = [{"query": f"what is number {i}", "positive": f"it is the number {i * i}"} for i in range(12)]
SMALL = {"encoder_layers": 2, "max_tokens": 16, "batch_size": 4, "precision": "fp32", "warmup": 0.0, "progress": False}


def method_on(rows, layers=3, **settings):
    """A method without dropout on few layers, and a batch of all rows."""
    torch.manual_seed(2)
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=layers, max_tokens=32, dropout=0.0))
    method = MSE2D(Config(**settings), tower)
    views = method.views()
    made = [views(row, np.random.default_rng(i)) for i, row in enumerate(rows)]
    return method, views.collate(made, list(range(len(rows))))


def cut(vectors, width):
    return torch.nn.functional.normalize(vectors[:, :width], dim=-1)


def test_a_step_on_pairs_is_the_objective_at_two_depths_and_two_widths_of_smaller_towers():
    rows = [dict(row) for row in PAIRS[:5]]
    rows[1]["negative"] = [rows[0]["positive"], "it is none"]  # a hard negative that is another row's positive
    method, batch = method_on(rows, temperature=0.1)
    draw = method.nested.draw()
    with torch.no_grad():
        output = method(batch)
        expected = {}
        for lower, layers in zip(("lower", ""), draw.layers, strict=True):
            tower = method.encoder.truncated(layers=layers)
            query, key, negatives = (tower(batch[name]) for name in ("query", "positive", "negative"))
            for width, name in ((384, lower or "whole"), (draw.width, f"{lower}_narrow".strip("_"))):
                options = other_texts(batch.row_index, batch["positive_id"], batch["negative_id"])
                vectors = [cut(x, width) for x in (query, key, negatives)]
                expected[name] = InfoNCE(0.1)(vectors[0], vectors[1], negatives=vectors[2], **options).mean()
    assert output.terms.keys() == {*expected, "kl"}
    for name, term in expected.items():
        assert_close(output.terms[name], term, rtol=1e-4, atol=1e-5)
    assert output.metrics == {"width": draw.width, "layer": draw.below[0]}


def test_a_step_on_bare_sentences_tells_two_dropout_masks_apart():
    method, batch = method_on([{"text": row["query"]} for row in PAIRS], objective="dropout")
    for module in method.encoder.tower.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
    assert method.columns_for(method.config)[0].required
    torch.manual_seed(0)
    contrast = method.train()(batch).contrast
    assert contrast.query.shape == contrast.key.shape == (12, 384)
    alike = (contrast.query * contrast.key).sum(1)
    assert (alike < 0.9999).all()
    assert (alike > 0.5).all()
    assert_close(method.eval()(batch).contrast.query, method(batch).contrast.key, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("detach", [False, True])
def test_upper_layers_learn_from_the_divergence_only_where_the_teacher_is_not_detached(detach):
    method, batch = method_on(PAIRS[:4], layers=2, detach_teacher=detach)
    terms = method(batch).terms
    upper = list(method.encoder.transformer.encoder.layer[1].parameters())

    def reached(name):
        gradients = torch.autograd.grad(terms[name], upper, retain_graph=True, allow_unused=True)
        return any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)

    assert not reached("lower")
    assert not reached("lower_narrow")
    assert reached("whole")
    assert reached("kl") != detach


def test_every_variant_takes_its_own_terms_and_all_layers_for_espresso():
    names = {}
    for variant in ("paper", "improved", "sbert", "ese"):
        method, batch = method_on(PAIRS[:4], variant=variant)
        output = method(batch)
        names[variant] = set(output.terms)
        output.loss.backward()
    assert names["paper"] == names["improved"] == {"whole", "narrow", "lower", "lower_narrow", "kl"}
    assert names["sbert"] == {"narrow", "lower_narrow", "kl"}
    assert names["ese"] == {"whole", "narrow", "lower_narrow", "compression"}
    assert method.nested.draw().layers == (0, 1, 3)


def test_widths_alone_need_no_second_layer():
    method, batch = method_on(PAIRS[:4], layers=1, layer_weight=0.0, kl_weight=0.0)
    assert method(batch).terms.keys() == {"whole", "narrow"}


def drawn(out):
    with (out / "metrics.csv").open(newline="") as file:
        return [(row["loss"], row["width"], row["layer"]) for row in csv.DictReader(file)]


def test_an_interrupted_run_goes_on_to_the_bit_with_the_draws_it_would_have_had(tmp_path, monkeypatch):
    settings = {**SMALL, "encoder_layers": 3, "steps": 5, "checkpoint_every": 2}
    likewise.train("2dmse", PAIRS, out=tmp_path / "whole", **settings)
    after_step = MSE2D.after_step

    def stopped(method):
        after_step(method)
        if int(method.nested.step) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(MSE2D, "after_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        likewise.train("2dmse", PAIRS, out=tmp_path / "stopped", **settings)
    monkeypatch.setattr(MSE2D, "after_step", after_step)
    resumed = likewise.train("2dmse", PAIRS, out=tmp_path / "stopped", resume=True, **settings)
    assert drawn(tmp_path / "stopped") == drawn(tmp_path / "whole")
    assert len({row[1:] for row in drawn(tmp_path / "whole")}) > 2
    assert resumed.fingerprint == likewise.load(tmp_path / "whole").fingerprint


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dims": (512,)}, "dims has 512, but an embedding of .* has 384 numbers; give 1 to 384"),
        ({"dims": (0,)}, r"dims is \(0,\)"),
        ({"dims": (64, 64)}, r"dims is \(64, 64\)"),
        ({"layers": (2,)}, "the encoder 'all-MiniLM-L6-v2' has 2, so 1 to 1 lie below the last"),
        ({"layers": (0,)}, "layers is"),
        ({"variant": "sbert", "layers": (-1,)}, "so 0 to 1 lie below"),
        ({"kl_temperature": 0.0}, "kl_temperature is 0.0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"encoder_layers": 1}, "needs at least two layers; use a deeper encoder, or --layer-weight 0 --kl-weight 0"),
        ({"pooling": "first_last"}, "mixes several layers"),
    ],
)
def test_what_cannot_be_is_refused_before_training(settings, says):
    config = RunConfig.resolve("2dmse", {"encoder_layers": 2, **settings})
    with pytest.raises(ValueError, match=says):
        MSE2D.build(config.settings, config.encoder)


def test_an_unknown_variant_or_objective_is_refused():
    for name, value in (("variant", "papr"), ("objective", "simcse")):
        with pytest.raises(InputError, match=f"{name} is '{value}'"):
            RunConfig.resolve("2dmse", {name: value})
