"""Every layer of a head can be read, and heads that start as the identity are it."""

import math

import pytest
import torch
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.heads import FixedReweight, MLPProjector, SymmetricReLU, TappedHead


def test_the_fixed_head_multiplies_by_powers_and_has_nothing_to_train():
    head = FixedReweight(3, kappa=2.0)
    features = torch.tensor([[1.0, 2.0, 4.0]], requires_grad=True)
    given = head(features)
    assert torch.equal(given, torch.ones(1, 3))
    given.sum().backward()
    assert torch.equal(features.grad, torch.tensor([[1.0, 0.5, 0.25]]))
    assert not list(head.parameters())
    assert torch.equal(FixedReweight(3, kappa=1.0)(features), features)


def test_the_last_weights_of_a_long_head_are_still_numbers():
    weight = FixedReweight(1024, kappa=1.2).weight
    assert weight.min() == torch.finfo(torch.float32).tiny
    assert weight[100] == pytest.approx(1.2**-100, rel=1e-6)
    half = math.log(2) / math.log(1.05)
    assert half == pytest.approx(14.2, abs=0.01)


def test_the_symmetric_relu_cuts_small_values_on_both_sides():
    x = torch.tensor([-2.0, -0.3, 0.0, 0.4, 1.5])
    cut = SymmetricReLU(0.5)
    assert torch.equal(cut(x), torch.tensor([-1.5, 0.0, 0.0, 0.0, 1.0]))
    assert torch.equal(cut(-x), -cut(x))
    assert torch.equal(SymmetricReLU()(x), x)


def test_a_threshold_that_a_step_took_below_zero_counts_as_zero_and_comes_back():
    cut = SymmetricReLU(0.1)
    with torch.no_grad():
        cut.threshold.fill_(-0.2)
    x = torch.tensor([1.0, -0.1])
    assert torch.equal(cut(x), x)
    cut.project()
    assert float(cut.threshold.detach()) == 0.0
    cut(x).sum().backward()
    assert cut.threshold.grad is not None


def test_a_head_that_starts_as_the_identity_gives_what_it_gets():
    features = torch.randn(5, 6)
    taps = TappedHead("symrelu", 6).taps(features)
    assert list(taps) == ["pre", "layer1", "post"]
    assert all(torch.equal(tap, features) for tap in taps.values())


def test_without_a_head_both_taps_are_the_features_themselves():
    features = torch.randn(5, 6)
    taps = TappedHead("none", 6).taps(features)
    assert list(taps) == ["pre", "post"]
    assert taps["pre"] is taps["post"] is features


@pytest.mark.parametrize(
    ("kind", "widths"),
    [
        ("linear", {"pre": 6, "post": 3}),
        ("mlp", {"pre": 6, "layer1": 5, "post": 3}),
        ("mlp3", {"pre": 6, "layer1": 5, "layer2": 5, "post": 3}),
        ("reweight", {"pre": 6, "post": 6}),
    ],
)
def test_taps_are_what_the_layers_give_one_after_the_other(kind, widths):
    torch.manual_seed(0)
    sizes = {} if kind == "reweight" else {"hidden": None if kind == "linear" else 5, "out_features": 3}
    head = TappedHead(kind, 6, **sizes)
    features = torch.randn(4, 6)
    taps = head.taps(features)
    assert {name: tap.shape[1] for name, tap in taps.items()} == widths
    assert {name: head.width(name) for name in head.tap_names} == widths
    assert torch.equal(head(features), taps["post"])
    if kind == "mlp":
        assert torch.equal(head(features, "layer1"), torch.relu(head.layers["layer1"][0](features)))
        assert torch.equal(head.layers["post"](taps["layer1"]), taps["post"])


@pytest.mark.parametrize("kind", ["none", "linear", "mlp", "mlp3", "symrelu", "reweight"])
def test_a_head_is_rebuilt_from_what_is_kept_of_it(kind):
    head, features = TappedHead(kind, 4, kappa=1.3), torch.randn(3, 4)
    again = TappedHead.of(head.kept())
    assert again.settings == head.settings
    assert_close(again.taps(features), head.taps(features), rtol=0, atol=0)


def test_with_batch_norm_it_is_the_projector_and_is_rebuilt_with_its_statistics():
    torch.manual_seed(0)
    head = TappedHead("mlp", 4, hidden=5, out_features=3, batch_norm=True, last_norm=True)
    plain = MLPProjector(4, 5, 3, last_norm=True)
    weights = [*head.parameters()]
    assert [p.shape for p in weights] == [p.shape for p in plain.parameters()]
    with torch.no_grad():
        for own, other in zip(plain.parameters(), weights, strict=True):
            own.copy_(other)
    features = torch.randn(9, 4)
    given = head(features)
    assert torch.equal(given, plain(features))
    assert_close(given.mean(0), torch.zeros(3), rtol=0, atol=1e-6)
    assert_close(given.var(0, correction=0), torch.ones(3), rtol=0, atol=1e-3)
    again = TappedHead.of(head.kept())
    assert again.settings == head.settings
    assert torch.equal(again(features), head.eval()(features))
    with pytest.raises(ValueError, match="a head 'none' has no layers for batch norm"):
        TappedHead("none", 4, last_norm=True)


def test_what_a_head_cannot_be_is_said():
    with pytest.raises(ValueError, match=r"kappa is 0\.9"):
        FixedReweight(3, kappa=0.9)
    with pytest.raises(ValueError, match="kappa is inf"):
        FixedReweight(3, kappa=math.inf)
    with pytest.raises(ValueError, match="dim is 0"):
        FixedReweight(0, kappa=1.1)
    with pytest.raises(ValueError, match=r"threshold is -0\.1"):
        SymmetricReLU(-0.1)
    with pytest.raises(ValueError, match="keeps the 4 numbers"):
        TappedHead("symrelu", 4, hidden=5)
    with pytest.raises(ValueError, match="each is 1 or more"):
        TappedHead("mlp", 4, hidden=-1)
    with pytest.raises(InputError, match="unknown tap of a head 'mlp' 'layer3'"):
        TappedHead("mlp", 4)(torch.zeros(1, 4), "layer3")
    with pytest.raises(InputError, match="unknown head 'mpl': did you mean 'mlp'"):
        TappedHead("mpl", 4)
