"""Temperatures of rows by hand, at their ends, and what is remembered of a visit."""

import math

import pytest
import torch
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.memory import GlobalContrastState, RobustTemperature

ROBUST = RobustTemperature(rho=0.3, rate=0.01, gradient_weight=0.9)


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


@pytest.mark.parametrize(
    ("temperature", "divergence", "momentum", "after"),
    [(0.1, 1.14207, -0.757863, 0.107579), (0.5, 0.112439, 0.168805, 0.498312)],
)
def test_a_step_of_a_temperature_by_hand(temperature, divergence, momentum, after):
    """The specification's checks 1 and 2: it rises where negatives are more peaked than rho, and falls otherwise."""
    found, running = ROBUST.step(one(temperature), one(0.0), one(divergence))
    assert_close(running, one(momentum), rtol=0, atol=1e-6)
    assert_close(found, one(after), rtol=0, atol=1e-6)


def test_the_gradient_is_clipped_and_the_temperature_stays_between_its_ends():
    robust = RobustTemperature(rho=0.3, rate=1.0, gradient_weight=1.0, lowest=0.05, highest=0.9, gradient_clip=3.0)
    temperature, momentum = robust.step(torch.tensor([0.1, 0.1]), torch.zeros(2), torch.tensor([50.0, -50.0]))
    assert momentum.tolist() == [-3.0, 3.0]
    assert_close(temperature, torch.tensor([0.9, 0.05]))


@pytest.mark.parametrize(("rho", "falls"), [(math.log(6) + 1e-9, True), (0.0, False)])
def test_a_rho_above_the_largest_divergence_lets_every_temperature_fall_and_none_lets_it_rise_at_rho_0(rho, falls):
    divergences = torch.linspace(0.0, math.log(6), 20, dtype=torch.float64)
    robust = RobustTemperature(rho=rho)
    start = torch.full_like(divergences, 0.5)
    after, _ = robust.step(start, torch.zeros_like(start), divergences)
    assert bool((after < start if falls else after >= start).all())


def test_a_visit_is_remembered_and_other_rows_are_bit_identical():
    state = GlobalContrastState(5, temperature=0.1, robust=ROBUST)
    rows = torch.tensor([3, 0])
    state.update(rows, torch.tensor([1.5, 2.5]), torch.tensor([1.14207, 0.1]))
    temperature, log_average = state.read(torch.tensor([0, 3, 1]))
    assert torch.equal(log_average, torch.tensor([2.5, 1.5, -torch.inf]))
    assert_close(temperature[1], torch.tensor(0.107579), rtol=0, atol=1e-6)
    before = {name: value.clone() for name, value in state.state_dict().items()}
    state.update(rows, torch.tensor([9.0, 9.0]), torch.tensor([0.0, 2.0]))
    others = torch.tensor([1, 2, 4])
    for name, value in state.state_dict().items():
        assert torch.equal(value[others], before[name][others])
        assert not torch.equal(value[rows], before[name][rows]) or name == "rows.seen"


def test_one_temperature_for_all_is_no_state():
    state = GlobalContrastState(3, temperature=0.25, robust=None)
    state.update(torch.tensor([1]), torch.tensor([1.0]), torch.tensor([5.0]))
    assert sorted(state.state_dict()) == ["rows.field_log_average", "rows.seen"]
    assert state.read(torch.tensor([1]))[0].item() == 0.25
    assert state.temperatures.tolist() == [0.25] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rho": -0.1}, "rho .* >= 0"),
        ({"rate": -1.0}, "rate .* >= 0"),
        ({"gradient_weight": 0.0}, r"gradient_weight .* in \(0, 1\]"),
        ({"gradient_weight": 1.5}, r"gradient_weight .* in \(0, 1\]"),
        ({"gradient_clip": 0.0}, "gradient_clip .* > 0"),
        ({"rho": math.nan}, "rho"),
        ({"lowest": 0.0}, "the lowest is > 0"),
        ({"lowest": 0.8, "highest": 0.5}, "no higher than the highest"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        RobustTemperature(**settings)


def test_a_first_temperature_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"temperature is 0.0; it is > 0"):
        GlobalContrastState(3, temperature=0.0, robust=None)
    with pytest.raises(InputError, match=r"go from 0\.05 to 1\.0"):
        GlobalContrastState(3, temperature=2.0, robust=RobustTemperature())
