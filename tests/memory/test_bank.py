"""A queue for each group: what one holds is nobody else's, and all of it is saved."""

import copy

import pytest
import torch

from likewise.errors import InputError
from likewise.memory import KeyBank, KeyQueue


def filled():
    bank = KeyBank(3, 2, columns={"text": torch.int64})
    bank.push("de", torch.tensor([[1.0, 0.0], [2.0, 0.0]]), text=torch.tensor([7, 8]))
    bank.push("zh.hans", torch.tensor([[5.0, 5.0]]), text=torch.tensor([9]))
    bank.push("de", torch.tensor([[3.0, 0.0], [4.0, 0.0]]), text=torch.tensor([1, 2]))
    return bank


def test_each_group_has_a_queue_of_its_own():
    bank, queue = filled(), KeyQueue(3, 2)
    for keys in ([[1.0, 0.0], [2.0, 0.0]], [[3.0, 0.0], [4.0, 0.0]]):
        queue.push(torch.tensor(keys))
    assert torch.equal(bank.keys("de"), queue.keys)
    assert bank.column("text", "de").tolist() == [2, 8, 1]
    assert bank.keys("zh.hans").tolist() == [[5.0, 5.0]]
    assert bank.keys("fr").shape == (0, 2)
    assert bank.column("text", "fr").tolist() == []
    assert bank.groups == ("de", "zh.hans")


def test_state_comes_back_whole_into_a_bank_that_knows_other_groups():
    bank, other = filled(), KeyBank(3, 2, columns={"text": torch.int64})
    other.push("fr", torch.ones(3, 2), text=torch.arange(3))
    other.load_state_dict(bank.state_dict())
    assert other.groups == bank.groups
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in bank.state_dict().items())
    for one in (bank, other):  # and goes on alike
        one.push("de", torch.tensor([[6.0, 6.0]]), text=torch.tensor([3]))
        one.push("fr", torch.tensor([[0.0, 1.0]]), text=torch.tensor([4]))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in bank.state_dict().items())
    assert bank.state_dict().keys() == other.state_dict().keys() == copy.deepcopy(bank).state_dict().keys()


def test_new_queues_are_where_the_bank_is():
    bank = KeyBank(2, 1).to("meta")
    bank._add("de")
    assert bank._queues["0"].stored.device.type == "meta"


def test_a_wrong_size_is_refused_before_anything_is_pushed():
    with pytest.raises(InputError, match=r"the size of the queue is -1"):
        KeyBank(-1, 2)
