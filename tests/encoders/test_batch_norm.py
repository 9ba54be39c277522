"""Batch norm over all processes: in one process it is PyTorch's; tests/distributed has several."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from likewise.encoders import BatchNorm, has_batch_norm, share_batch_norm

SIZES = {"vectors": (7, 3), "pictures": (7, 3, 4, 5)}


def layer(**settings) -> BatchNorm:
    torch.manual_seed(0)
    made = BatchNorm(3, **settings).double()
    if made.affine:
        nn.init.normal_(made.weight)
        nn.init.normal_(made.bias)
    return made


def rows(size) -> torch.Tensor:
    return 2 + 3 * torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_in_one_process_it_is_the_layer_of_torch(size):
    ours, theirs = layer(), (nn.BatchNorm1d if len(size) == 2 else nn.BatchNorm2d)(3).double()
    theirs.load_state_dict(ours.state_dict())
    for training in (True, False):
        ours.train(training), theirs.train(training)
        assert torch.equal(ours(rows(size)), theirs(rows(size)))
    assert_close(ours.state_dict(), theirs.state_dict())


def test_a_network_shares_its_layers_and_computes_what_it_did():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), nn.BatchNorm2d(4))
    before, names = copy.deepcopy(network), list(network.state_dict())
    shared = share_batch_norm(network)
    assert [type(one).__name__ for one in shared.modules()].count("BatchNorm") == 2
    assert list(shared.state_dict()) == names
    pictures = torch.randn(5, 1, 6, 6)
    assert torch.equal(shared(pictures), before(pictures))
    assert type(share_batch_norm(nn.BatchNorm1d(3))) is BatchNorm
    assert has_batch_norm(shared)
    assert not has_batch_norm(nn.Linear(2, 2))


def test_a_single_value_a_channel_is_refused():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer()(rows((1, 3)))
    with pytest.raises(ValueError, match=r"it is \[B, C\]"):
        layer()(torch.zeros(3, dtype=torch.float64))
