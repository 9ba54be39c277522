"""What a worker sends arrives bit by bit, whichever way it takes."""

from dataclasses import dataclass

import pytest
import torch

from likewise.sampling.parcel import LARGEST, Parcel, pack
from likewise.views.base import Batch


@dataclass
class Tokens:
    ids: torch.Tensor
    lengths: torch.Tensor


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).view(2, 3).T,
        torch.tensor(1.5),
        torch.empty(0, 3),
        torch.tensor([True, False]),
        torch.randn(4).bfloat16(),
        torch.randn(3).half(),
        torch.randn(2, dtype=torch.complex64),
        torch.eye(3).to_sparse(),
        torch.randn(3, requires_grad=True),
    ],
)
def test_every_kind_of_tensor_arrives(tensor):
    arrived = pack({"x": tensor}).unpack()["x"]
    assert arrived.dtype == tensor.dtype
    assert arrived.requires_grad == tensor.requires_grad
    assert torch.equal(arrived.to_dense(), tensor.to_dense())


def test_a_batch_arrives_whole_and_can_be_changed_in_place():
    batch = Batch({"query": Tokens(torch.arange(4), torch.tensor([2, 2])), "text": ["a", "b"]}, torch.tensor([7, 9]))
    arrived = pack(batch).unpack()
    assert torch.equal(arrived["query"].ids, torch.arange(4))
    assert (arrived["text"], arrived.row_index.tolist()) == (["a", "b"], [7, 9])
    arrived["query"].ids.add_(1)


def test_large_tensors_are_left_to_shared_memory():
    batch = {"image": torch.zeros(LARGEST // 4 + 1)}
    assert pack(batch) is batch
    assert isinstance(pack({"image": torch.zeros(LARGEST // 4)}), Parcel)
