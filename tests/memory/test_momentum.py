"""A momentum tower is a moving average, without gradient, and all of it is in its state."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from likewise.encoders import TextEncoder
from likewise.errors import InputError
from likewise.memory import MomentumTower


def constant(value: float) -> nn.Linear:
    linear = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(linear.weight, value)
    return linear


def slow(momentum: float, value: float = 0.0, **options) -> MomentumTower:
    return MomentumTower(constant(value), momentum, **options)


def test_it_starts_as_a_copy_and_shares_nothing():
    online = nn.Linear(3, 2)
    tower = MomentumTower(online, 0.9)
    assert torch.equal(tower.tower.weight, online.weight)
    nn.init.zeros_(online.weight)
    assert tower.tower.weight.any()


def test_following_a_constant_worked_out_by_hand():
    tower, online = slow(0.995), constant(1.0)
    tower.follow(online)
    assert tower.tower.weight.item() == pytest.approx(0.005, rel=1e-9)
    for _ in range(99):
        tower.follow(online)
    assert tower.tower.weight.item() == pytest.approx(0.39422956, abs=1e-8)
    assert tower.tower.weight.item() == pytest.approx(1 - 0.995**100, rel=1e-9)
    moved = slow(0.9995, 1.0)
    moved.follow(constant(3.0))
    assert moved.tower.weight.item() == pytest.approx(1.001, rel=1e-9)


def test_every_weight_follows_as_a_plain_loop_says():
    torch.manual_seed(0)
    online = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).double()
    online[0].bias.requires_grad_(False)  # a frozen weight is followed too
    tower = MomentumTower(online, 0.7)
    expected = {name: p.tolist() for name, p in online.named_parameters()}

    def mix(old, new):
        return [mix(a, b) for a, b in zip(old, new, strict=True)] if isinstance(old, list) else 0.7 * old + 0.3 * new

    for _ in range(3):
        with torch.no_grad():
            for parameter in online.parameters():
                parameter += torch.randn_like(parameter)
        tower.follow(online)
        expected = {name: mix(expected[name], p.tolist()) for name, p in online.named_parameters()}
    for name, parameter in tower.tower.named_parameters():
        assert_close(parameter, torch.tensor(expected[name], dtype=torch.float64), rtol=1e-9, atol=1e-12)


def test_momentum_0_is_the_online_tower_to_the_bit_and_a_schedule_may_end_at_1():
    torch.manual_seed(1)
    online, tower = nn.Linear(50, 50), MomentumTower(nn.Linear(50, 50), 0.0)
    tower.follow(online)
    assert torch.equal(tower.tower.weight, online.weight)
    other = nn.Linear(50, 50)
    tower.follow(other, momentum=1.0)
    assert torch.equal(tower.tower.weight, online.weight)
    tower.follow(other, momentum=0.25)
    assert_close(tower.tower.weight, 0.25 * online.weight + 0.75 * other.weight)


def test_no_gradient_reaches_it_and_no_optimiser_sees_it():
    online = nn.Linear(3, 2)
    online(torch.ones(1, 3)).sum().backward()
    tower = MomentumTower(online, 0.9)
    assert not any(p.requires_grad or p.grad is not None for p in tower.parameters())
    x = torch.ones(1, 3, requires_grad=True)
    made = tower(x)
    assert not made.requires_grad
    (online(x) * made).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in tower.parameters())
    assert all(p.requires_grad for p in online.parameters())


def test_dropout_is_off_whatever_the_mode_and_the_online_tower_keeps_its_own():
    online = nn.Sequential(nn.Linear(3, 64), nn.Dropout(0.5)).train()
    whole = nn.ModuleDict({"online": online, "slow": MomentumTower(online, 0.9)}).train()
    x = torch.ones(1, 3)
    state = torch.get_rng_state()
    assert torch.equal(whole["slow"](x), whole["slow"](x))
    assert torch.equal(torch.get_rng_state(), state)
    assert whole["online"].training
    assert not any(module.training for module in whole["slow"].modules())
    assert not torch.equal(online(x), online(x))


def test_it_can_go_with_the_mode_of_the_rest_and_have_statistics_of_its_own():
    online = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    tower = MomentumTower(online, 0.9, always_eval=False)
    assert tower.tower[1].training
    tower(torch.arange(8.0).reshape(4, 2))
    seen = tower.tower[0].running_mean.clone()
    assert not torch.equal(seen, online[0].running_mean)
    tower.follow(online)
    assert torch.equal(tower.tower[0].running_mean, seen)
    assert not tower.eval().tower[1].training
    assert tower.train().tower[1].training


def test_in_evaluation_mode_running_statistics_are_those_of_the_online_tower():
    online = nn.BatchNorm1d(2).train()
    tower = MomentumTower(online, 0.9)
    online(torch.arange(8.0).reshape(4, 2))
    assert not torch.equal(tower.tower.running_mean, online.running_mean)
    tower.follow(online)
    assert torch.equal(tower.tower.running_mean, online.running_mean)
    assert torch.equal(tower.tower.num_batches_tracked, online.num_batches_tracked)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_averaged_in_float32(dtype):
    online = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(online.weight)
    tower = MomentumTower(online.to(dtype), 0.9999)
    assert tower.tower.weight.dtype == torch.float32
    nn.init.ones_(online.weight)
    for _ in range(100):
        tower.follow(online)
    assert tower.tower.weight.item() == pytest.approx(1 - 0.9999**100, rel=1e-4)


def test_all_of_it_is_in_its_state_and_in_a_copy():
    torch.manual_seed(2)
    online = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    tower = MomentumTower(online, 0.8)
    nn.init.normal_(online[0].weight)
    tower.follow(online)
    other = MomentumTower(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), 0.8)
    other.load_state_dict(tower.state_dict())
    twin = copy.deepcopy(tower)
    nn.init.normal_(online[0].weight)
    for one in (tower, other, twin):
        one.follow(online)
    for one in (other, twin):
        assert all(torch.equal(value, one.state_dict()[key]) for key, value in tower.state_dict().items())


def test_a_text_tower_goes_in_chunks_and_its_passes_are_counted(tiny_tower: TextEncoder, sentences):
    tower = MomentumTower(tiny_tower, 0.9).train()
    tokens = tiny_tower.tokenizer(sentences)
    whole = tower(tokens)
    assert_close(whole, tiny_tower.eval()(tokens).detach())
    tower.tower.micro_batch = 3
    assert_close(tower(tokens), whole, rtol=1e-5, atol=1e-6)
    assert tower.tower.encoded == 2 * len(sentences)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_a_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(
        InputError, match=r"momentum is .*; it is the weight of the old value, 0 or more and less than 1"
    ):
        slow(momentum)


def test_a_step_with_a_momentum_out_of_range_or_of_another_tower_is_refused():
    tower = slow(0.9)
    with pytest.raises(InputError, match=r"momentum is 1\.5"):
        tower.follow(constant(1.0), momentum=1.5)
    with pytest.raises(ValueError, match=r"the two towers differ in 1 weights, such as 'bias'"):
        tower.follow(nn.Linear(1, 1))


def test_running_statistics_can_follow_as_weights_do_and_are_a_plain_mean_at_first():
    online = nn.BatchNorm1d(1)
    tower = MomentumTower(online, 0.75, average_buffers=True)
    expected, kept = 0.0, [0.0, 1 / 2, 2 / 3, 0.75, 0.75]
    for step, keep in enumerate(kept):
        online.running_mean.fill_(step + 1.0)
        online.num_batches_tracked.fill_(step)
        tower.follow(online)
        expected = keep * expected + (1 - keep) * (step + 1.0)
        assert tower.tower.running_mean.item() == pytest.approx(expected, rel=1e-6)
        assert tower.tower.num_batches_tracked.item() == step
    again = MomentumTower(online, 0.75, average_buffers=True)
    again.load_state_dict(tower.state_dict())
    assert int(again.followed) == 5
