"""Layers of a head are probed alike; factors, worst groups and the balanced probe on made data."""

import numpy as np
import pytest
import torch

from evaluation.labelled import labelled_rows, reader
from likewise.errors import InputError
from likewise.evaluation import feature_weights, layerwise_probe, probe
from likewise.evaluation.linear import standardised
from likewise.evaluation.tasks.probe import open_labelled_split


def made(seed, rows, together):
    """A label in the first number, weakly, and a group in the second, strongly, which goes with the label so often."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, rows)
    group = np.where(random.random(rows) < together, label, 1 - label)
    x = random.normal(size=(rows, 4))
    x[:, 0] += 2.0 * (2 * label - 1)
    x[:, 1] = 3.0 * (2 * group - 1) + 0.3 * x[:, 1]
    return x, label, [f"g{one}" for one in group]


TRAIN, TEST = made(0, 400, 0.95), made(1, 300, 0.5)
SPLIT = open_labelled_split(labelled_rows(*TEST[:2]), train=labelled_rows(*TRAIN[:2]))
GROUPS = (TRAIN[2], TEST[2])


def layers(*scales):
    return {
        f"by {scale}": tuple(torch.tensor(x, dtype=torch.float32) * torch.tensor([scale, 1.0, 1.0, 1.0])
                             for x in (TRAIN[0], TEST[0]))
        for scale in scales
    }  # fmt: skip


def test_a_number_that_is_small_is_read_as_well_as_a_large_one_once_standardised():
    found = layerwise_probe(layers(1.0, 1e-6), SPLIT, bootstrap=20)
    first, second = (found[name].result.metrics["accuracy"] for name in ("by 1.0", "by 1e-06"))
    assert first == pytest.approx(second, abs=0.05)
    assert second > 0.9
    plain = probe(reader(4), SPLIT, bootstrap=0).settings
    assert (plain["standardise"], found["by 1.0"].result.settings["standardise"]) == (False, True)
    assert found["by 1.0"].effective_rank > found["by 1e-06"].effective_rank
    assert found["by 1.0"].worst is None


def test_a_probe_that_is_led_by_the_group_is_told_and_balancing_helps():
    report = layerwise_probe(layers(0.4), SPLIT, groups=GROUPS, bootstrap=20)["by 0.4"]
    assert report.worst.accuracy < report.result.metrics["accuracy"]
    assert report.balanced.accuracy > report.worst.accuracy
    assert report.balanced_accuracy >= report.balanced.accuracy
    low, high = report.worst.interval
    assert low <= report.worst.accuracy <= high
    assert report.worst.rows >= 5
    assert report.weights["group"] == 1.0
    assert 0.0 < report.weights["label"] < 1.0


def test_equal_layers_have_equal_results():
    one = layers(1.0)["by 1.0"]
    found = layerwise_probe({"a": one, "b": one}, SPLIT, groups=GROUPS, bootstrap=10)
    assert found["a"].result.metrics == found["b"].result.metrics
    assert found["a"].balanced == found["b"].balanced


def test_the_weight_of_a_factor_is_the_length_of_what_it_adds():
    random = np.random.default_rng(0)
    u, v = random.normal(size=(2, 5000))
    u, v = ((one - one.mean()) / one.std() for one in (u, v))
    x = np.outer(u, [3.0, 4.0, 0.0]) + np.outer(v, [0.0, 0.0, 0.5]) + 0.1 * random.normal(size=(5000, 3))
    found = feature_weights(x, {"u": u, "v": v})
    assert found == pytest.approx({"u": 5.0, "v": 0.5}, rel=0.02)
    sign = np.where(u > 0, 1.0, -1.0)
    by_name = feature_weights(np.outer(sign, [0.0, 2.0]), {"sign": np.where(u > 0, "plus", "minus")})
    # Rows of a and b shares: the centred part has the variance 4 * 4 a b.
    share = (u > 0).mean()
    assert by_name["sign"] == pytest.approx(4 * np.sqrt(share * (1 - share)))
    with pytest.raises(ValueError, match="factor 'u' has the shape"):
        feature_weights(x, {"u": u[:5]})


def test_what_cannot_be_probed_is_said():
    equal = {"dead": (torch.ones(400, 3), torch.ones(300, 3))}
    with pytest.raises(InputError, match="all vectors of the 400 rows to fit on are equal"):
        layerwise_probe(equal, SPLIT)
    with pytest.raises(InputError, match="no class has 500 rows"):
        layerwise_probe(layers(1.0), SPLIT, groups=GROUPS, least=500)


def test_dimensions_that_do_not_vary_become_zero():
    x = np.array([[1.0, 0.1], [1.0, 0.3]])
    fitted, other = standardised(x, np.array([[5.0, 0.2]]), name="data")
    np.testing.assert_allclose(fitted, [[0.0, -1.0], [0.0, 1.0]])
    np.testing.assert_allclose(other, [[0.0, 0.0]], atol=1e-12)
