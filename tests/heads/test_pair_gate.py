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


OFFICIAL = {
    "train": [0.7220375064, 0.3076483738, 0.6772754831, 0.7300161805, 0.3111105327, 0.6640896975, 0.7514763826,
              0.286688967, 0.6705650526, 0.7497547575, 0.3376074786, 0.6065234438, 0.7464048179, 0.379986841,
              0.5566494147],
    "fused": [0.7406904402, 0.3237859966, 0.6355213989, 0.7406424598, 0.3238663987, 0.6354764183, 0.7405820232,
              0.3239676751, 0.6354197645, 0.7407971955, 0.3236071062, 0.6356214908, 0.740171954, 0.3246548773,
              0.6350354895],
    "product": [0.5485867896, 0.1048634047, 0.4038588623, 0.5485512533, 0.1048894442, 0.4038302782, 0.5483559922,
                0.1049885724, 0.4037822663, 0.5488196189, 0.1046928547, 0.4040461782, 0.5481233596, 0.1051596041,
                0.4035950728],
}  # fmt: skip
"""By BasicGate(3, num_classes=4, in_dim=5, mlp_dim=6) of erow/vitookit at f6a80579, evaluation/simlap.py: in training,
and then, with what its batch norm has learned of that batch, in evaluation mode, fused and not."""


def test_gates_are_those_of_the_official_code():
    made = {form: PairGate(4, 3, embedding_size=5, hidden=6, form=form).double() for form in ("fused", "product")}
    with torch.no_grad():
        for i, weight in enumerate([*made["fused"].net.parameters(), made["fused"].table.weight]):
            wave = torch.cos(torch.arange(weight.numel(), dtype=torch.float64) * 0.37 + i)
            weight.copy_(0.5 * wave.view_as(weight))
    labels = torch.tensor([0, 1, 2, 3, 1]), torch.tensor([1, 1, 3, 0, 2])
    assert made["fused"].train()(*labels).flatten().tolist() == pytest.approx(OFFICIAL["train"], abs=2e-9)
    made["product"].load_state_dict(made["fused"].state_dict())
    for form, gate_of in made.items():
        assert gate_of.eval()(*labels).flatten().tolist() == pytest.approx(OFFICIAL[form], abs=2e-9)


def test_what_it_cannot_take_is_said():
    with pytest.raises(ValueError, match="each is 1 or more"):
        PairGate(0, 4)
    for labels in (torch.tensor([0, 3, 1]), torch.tensor([-1, 0, 0]), torch.ones(3)):
        with pytest.raises(ValueError, match="integers from 0 to 2"):
            gate()(ONE, labels)
    with pytest.raises(ValueError, match=r"more than 1 value|a variance takes 2"):
        gate().train()(ONE[:1], OTHER[:1])
