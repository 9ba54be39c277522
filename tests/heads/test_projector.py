"""Projectors: which layers, which weights, and what they compute."""

import torch
from torch.testing import assert_close

from likewise.heads import MLPProjector


def test_two_layers_without_biases_and_nothing_below_zero_between():
    head = MLPProjector(2, 2, 1, batch_norm=False, bias=False)
    assert {name: tuple(weight.shape) for name, weight in head.named_parameters()} == {
        "0.weight": (2, 2),
        "2.weight": (1, 2),
    }
    head[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    head[2].weight.data = torch.tensor([[2.0, 3.0]])
    assert_close(head(torch.tensor([[1.0, 1.0], [-1.0, -2.0]])), torch.tensor([[2.0], [6.0]]))


def test_a_layer_has_a_bias_unless_batch_norm_stands_behind_it():
    def biases(**settings):
        head = MLPProjector(3, 4, 2, layers=3, **settings)
        return [part.bias is not None for part in head if isinstance(part, torch.nn.Linear)]

    assert biases() == [False, False, True]
    assert biases(batch_norm=False) == [True, True, True]
    assert biases(last_norm=True) == [False, False, False]
