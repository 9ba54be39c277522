"""Gates of pairs of classes: symmetric, between 0 and 1, and one model for each form."""

import pytest
import torch

from likewise.heads import PairGate

ONE, OTHER = torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0])


def gate(**settings):
    torch.manual_seed(0)
    return PairGate(3, 4, embedding_size=8, hidden=16, **settings).eval()


@pytest.mark.parametrize("form", ["fused", "product"])
def test_a_gate_is_symmetric_and_between_zero_and_one(form):
    made = gate(form=form)
    assert torch.equal(made(ONE, OTHER), made(OTHER, ONE))
    assert ((made(ONE, OTHER) > 0) & (made(ONE, OTHER) < 1)).all()


def test_embeddings_are_averaged_before_the_net_and_gates_multiplied_behind_it():
    fused, product = gate(), gate(form="product")
    middle = (fused.table.weight[ONE] + fused.table.weight[OTHER]) / 2
    torch.testing.assert_close(fused(ONE, OTHER), torch.sigmoid(fused.net(middle)))
    torch.testing.assert_close(product(ONE, OTHER), product(ONE, ONE).sqrt() * product(OTHER, OTHER).sqrt())


def test_an_open_gate_has_no_weights():
    made = gate(form="open")
    assert torch.equal(made(ONE, OTHER), torch.ones(3, 4))
    assert not list(made.parameters())


def test_what_it_cannot_take_is_said():
    with pytest.raises(ValueError, match="each is 1 or more"):
        PairGate(0, 4)
    for labels in (torch.tensor([0, 3, 1]), torch.tensor([-1, 0, 0]), torch.ones(3)):
        with pytest.raises(ValueError, match="integers from 0 to 2"):
            gate()(ONE, labels)
    with pytest.raises(ValueError, match=r"more than 1 value|a variance takes 2"):
        gate().train()(ONE[:1], OTHER[:1])
