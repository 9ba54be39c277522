"""The head of two layers."""

import torch
from torch.testing import assert_close

from likewise.heads import MLPProjection


def test_two_layers_without_biases_and_nothing_below_zero_between():
    head = MLPProjection(2, 1)
    assert {name: tuple(weight.shape) for name, weight in head.named_parameters()} == {
        "hidden.weight": (2, 2),
        "out.weight": (1, 2),
    }
    head.hidden.weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    head.out.weight.data = torch.tensor([[2.0, 3.0]])
    assert_close(head(torch.tensor([[1.0, 1.0], [-1.0, -2.0]])), torch.tensor([[2.0], [6.0]]))
