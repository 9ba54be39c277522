"""The queue holds the newest keys and nothing else, and all of it is in its state."""

import copy
import logging
from collections import deque

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.losses import info_nce
from likewise.memory import KeyQueue


def numbered(first: int, count: int) -> torch.Tensor:
    """Keys of length 2 that say which they are, from 1 on: a row of zeros is none."""
    return torch.arange(first + 1, first + count + 1).float()[:, None] * torch.tensor([1.0, -1.0])


def held(queue: KeyQueue) -> list[float]:
    return sorted(queue.keys[:, 0].tolist())


@given(capacity=st.integers(1, 9), pushes=st.lists(st.integers(0, 12), max_size=8))
def test_it_holds_the_newest_keys_as_a_plain_list_would(capacity, pushes):
    queue, plain, pushed = KeyQueue(capacity, 2, {"label": torch.int64}), deque(maxlen=capacity), 0
    for count in pushes:
        queue.push(numbered(pushed, count), label=torch.arange(pushed, pushed + count))
        plain.extend(range(pushed, pushed + count))
        pushed += count
        assert len(queue) == len(plain)
        assert queue.keys.shape == (len(plain), 2)
        assert held(queue) == [number + 1.0 for number in plain]
        assert torch.equal(queue.column("label") + 1, queue.keys[:, 0].long())  # they stay with their keys
        assert torch.equal(queue.keys[:, 1], -queue.keys[:, 0])
        oldest_first = [queue.stored[(int(queue.pointer) + i) % capacity, 0].item() for i in range(capacity)]
        if len(queue) == capacity:
            assert oldest_first == [number + 1.0 for number in plain]


def test_a_queue_of_two_and_a_half_batches_fills_and_drops_the_oldest():
    queue, fills = KeyQueue(160, 2), []
    for step in range(5):
        fills.append(len(queue))
        queue.push(numbered(64 * step, 64))
    assert fills == [0, 64, 128, 160, 160]
    after_three = KeyQueue(160, 2)
    for step in range(3):
        after_three.push(numbered(64 * step, 64))
    assert held(after_three) == [float(number) for number in range(33, 193)]  # the first 32 of 192 are gone


def test_places_and_pointer_go_round():
    queue = KeyQueue(8, 2)
    queue.push(numbered(0, 4))
    assert (int(queue.pointer), len(queue)) == (4, 4)
    assert torch.equal(queue.stored[:4], numbered(0, 4))
    queue.push(numbered(4, 4))
    assert (int(queue.pointer), len(queue)) == (0, 8)
    queue.push(numbered(8, 3))
    assert queue.stored[:, 0].tolist() == [9, 10, 11, 4, 5, 6, 7, 8]


def test_a_batch_larger_than_the_queue_leaves_its_newest_keys_and_a_warning_once(caplog):
    queue = KeyQueue(3, 2)
    with caplog.at_level(logging.WARNING, "likewise.memory.queue"):
        queue.push(numbered(0, 2))
        assert not caplog.records
        queue.push(numbered(2, 8))
        queue.push(numbered(10, 8))
    assert [record.getMessage() for record in caplog.records] == [
        "the queue holds 3 keys, fewer than the 8 of a batch: only the newest of each batch are kept"
    ]
    assert held(queue) == [16.0, 17.0, 18.0]


def test_an_empty_queue_adds_nothing_to_a_loss_and_one_of_size_0_stays_empty():
    query, key = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    plain = info_nce(query, key, temperature=0.5).values
    queue = KeyQueue(0, 2)
    queue.push(numbered(0, 5))
    for none in (KeyQueue(7, 2), queue):
        assert none.keys.shape == (0, 2)
        with_queue = info_nce(query, key, temperature=0.5, queue=none.keys).values
        torch.testing.assert_close(with_queue, plain, rtol=1e-6, atol=1e-7)


def test_keys_are_constants_and_keep_their_length():
    features = torch.tensor([[3.0, 4.0]], requires_grad=True)
    queue = KeyQueue(4, 2)
    queue.push(features * 2)
    assert not queue.keys.requires_grad
    assert queue.keys.grad_fn is None
    assert queue.keys.tolist() == [[6.0, 8.0]]
    with torch.no_grad():
        features.zero_()
    assert queue.keys.tolist() == [[6.0, 8.0]]


@pytest.mark.parametrize("num_rows", [2, 3000])
def test_a_push_before_the_backward_pass_is_an_error_and_no_wrong_gradient(num_rows):
    query = torch.nn.functional.normalize(torch.randn(num_rows, 2, generator=torch.manual_seed(0)), dim=1)
    query.requires_grad_()
    queue = KeyQueue(2, 2)
    queue.push(torch.eye(2))
    loss = info_nce(query, query.detach(), temperature=0.5, queue=queue.keys).mean()
    queue.push(numbered(0, 2))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_everything_is_in_its_state():
    queue = KeyQueue(5, 2, {"label": torch.int64})
    queue.push(numbered(0, 4), label=torch.arange(4))
    state = copy.deepcopy(queue.state_dict())
    assert state.keys() == {"stored", "column_label", "pointer", "filled"}
    other = KeyQueue(5, 2, {"label": torch.int64})
    other.load_state_dict(state)
    twin = copy.deepcopy(queue)
    for one in (queue, other, twin):
        one.push(numbered(4, 3), label=torch.arange(4, 7))
    for one in (other, twin):
        assert torch.equal(one.keys, queue.keys)
        assert torch.equal(one.column("label"), queue.column("label"))
        assert torch.equal(one.pointer, queue.pointer)
    assert torch.equal(state["stored"][4], torch.zeros(2))  # the saved state did not change with the queue


def test_a_queue_of_other_precision_takes_keys_in_its_own():
    queue = KeyQueue(4, 2).double()
    queue.push(torch.ones(1, 2, dtype=torch.bfloat16))
    assert queue.keys.dtype == torch.float64


def test_a_negative_size_is_refused():
    with pytest.raises(InputError, match=r"the size of the queue is -1; it is 0 \(no queue\) or more keys"):
        KeyQueue(-1, 2)


@pytest.mark.parametrize(
    ("keys", "columns", "says"),
    [
        (torch.ones(2, 3), {"label": torch.zeros(2)}, r"keys is \[2, 3\]; it is \[rows, 2\]"),
        (torch.ones(2), {"label": torch.zeros(2)}, r"keys is \[2\]"),
        (torch.ones(2, 2), {}, r"brings the columns \[\], but the queue has \['label'\]"),
        (torch.ones(2, 2), {"label": torch.zeros(2), "id": torch.zeros(2)}, r"\['id', 'label'\]"),
        (torch.ones(2, 2), {"label": torch.zeros(3)}, r"the column label is \[3\] for 2 keys"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(keys, columns, says):
    queue = KeyQueue(4, 2, {"label": torch.int64})
    with pytest.raises(ValueError, match=says):
        queue.push(keys, **columns)
    assert len(queue) == 0


def test_it_prints_its_sizes():
    assert repr(KeyQueue(4, 2)) == "KeyQueue(capacity=4, dim=2, filled=0)"


def test_it_can_be_full_from_the_start_of_random_unit_vectors_which_leave_first():
    torch.manual_seed(0)
    queue = KeyQueue(6, 2, {"label": torch.int64})
    queue.fill_at_random()
    assert len(queue) == 6
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(6))
    assert (queue.column("label") == -1).all()
    queue.push(numbered(0, 4), label=torch.arange(4))
    assert torch.equal(queue.keys[:4], numbered(0, 4))
    assert sorted(queue.column("label").tolist()) == [-1, -1, 0, 1, 2, 3]
