"""A tower for pictures that reads vectors off a table, so that a loss sees what a test has chosen."""

import numpy as np
import torch
from torch import nn

from likewise.methods.vision import simclr
from likewise.views import Batch

TEMPERATURE = 0.3


class Reads(nn.Module):
    """A tower whose pictures say which row of a table their vector is."""

    size, channels = 1, 1

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(table, dtype=torch.float64))
        self.dim = self.table.shape[1]

    def forward(self, numbers):
        return self.table[numbers]


def without_head(kind, table, temperature=TEMPERATURE, **settings):
    method = kind.SimCLR if kind is simclr else kind.SupCon
    made = method(kind.Config(temperature=temperature, **settings), Reads(table)).double()
    made.head = nn.Identity()
    return made


def batch_of(size, labels=None, first=0):
    numbers = torch.arange(first, first + size)
    inputs = {"first": numbers, "second": numbers + 100}
    return Batch(inputs if labels is None else {**inputs, "label": torch.tensor(labels)}, numbers)


def table(size, dim=4, seed=0):
    """Vectors of first views at 0 ..., of second views at 100 ...."""
    values = np.zeros((100 + size, dim))
    values[:size], values[100:] = np.random.default_rng(seed).normal(size=(2, size, dim))
    return values
