"""The optimiser: which weights decay, which learn faster, and the course of the learning rate."""

import pytest
import torch
from torch import nn

from likewise.training import TrainingConfig
from likewise.training.optim import adamw, learning_rate_schedule, set_rate


def parts():
    return nn.ModuleDict({"tower": nn.Linear(3, 2), "head": nn.Linear(2, 2), "header": nn.Linear(2, 1)})


def settings(module, optimizer):
    """Learning rate and decay of each parameter by name."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_matrices_decay_and_vectors_do_not():
    module = parts()
    module["header"].requires_grad_(False)
    found = settings(module, adamw(module, TrainingConfig(lr=0.1, weight_decay=0.5)))
    assert found == {f"{name}.{kind}": (0.1, 0.5 if kind == "weight" else 0.0)
                     for name in ("tower", "head") for kind in ("weight", "bias")}  # fmt: skip


def test_parts_learn_at_their_own_rate_and_the_longest_name_counts():
    module = parts()
    optimizer = adamw(module, TrainingConfig(lr=0.1), {"head": 10.0, "head.bias": 0.5, "tower": 2.0})
    rates = {name: rate for name, (rate, _) in settings(module, optimizer).items()}
    assert rates == pytest.approx({
        "tower.weight": 0.2, "tower.bias": 0.2, "head.weight": 1.0, "head.bias": 0.05, "header.weight": 0.1,
        "header.bias": 0.1,
    })  # fmt: skip
    set_rate(optimizer, 0.2)
    assert settings(module, optimizer)["head.weight"][0] == pytest.approx(2.0)


@pytest.mark.parametrize(("schedule", "later"), [
    ("linear", [1.0, 0.75, 0.5, 0.25]), ("cosine", [1.0, 0.85355339, 0.5, 0.14644661]), ("constant", [1.0] * 4)
])  # fmt: skip
def test_the_rate_is_a_function_of_the_step(schedule, later):
    rate = learning_rate_schedule(TrainingConfig(lr=0.2, warmup=1 / 3, schedule=schedule), 6)
    assert [rate(step) for step in range(6)] == pytest.approx([0.2 * share for share in (0.0, 0.5, *later)])


def test_a_factor_is_a_factor_on_the_step():
    steps = {}
    for factor in (1.0, 3.0):
        torch.manual_seed(0)
        module = nn.ModuleDict({"line": nn.Linear(2, 2)})
        before = module["line"].weight.detach().clone()
        optimizer = adamw(module, TrainingConfig(lr=0.01, weight_decay=0.0), {"line": factor})
        module["line"](torch.ones(1, 2)).sum().backward()
        optimizer.step()
        steps[factor] = module["line"].weight.detach() - before
    torch.testing.assert_close(steps[3.0], 3 * steps[1.0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("rates", "says"), [
    ({"haed": 2.0}, "no parameter that trains is in 'haed'"),
    ({"head": 0.0}, "of 'head' must be > 0, got 0"),
])  # fmt: skip
def test_wrong_parts_and_factors_are_refused(rates, says):
    with pytest.raises(ValueError, match=says):
        adamw(parts(), TrainingConfig(), rates)
