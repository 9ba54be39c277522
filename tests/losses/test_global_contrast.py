"""The global contrastive loss against loops, numbers by hand, and the official code; its limits and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from likewise.losses import global_contrast, info_nce, paired_global_contrast
from likewise.memory import GlobalContrastState, RobustTemperature

NEGATIVES = [0.5, 0.2, -0.1, 0.0]
POSITIVE = 0.9
SHARES = [0.944284, 0.047013, 0.002341, 0.006363]
A, B = math.sqrt(0.95), math.sqrt(0.05)  # both views of row 0 have the cosines above: A^2 - B^2 = 0.9
IDS = torch.tensor([3, 0, 5, 2])


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def unit(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1).to(dtype)


def never(size: int) -> torch.Tensor:
    return torch.full((size,), -math.inf, dtype=torch.float64)


def by_hand() -> tuple[torch.Tensor, torch.Tensor]:
    """Three rows; the four views of the last two have the cosines of NEGATIVES with both views of the first."""
    others = [[c / A, 0.0, math.sqrt(1 - (c / A) ** 2)] for c in NEGATIVES]
    return double([[A, B, 0.0], *others[:2]]).requires_grad_(), double([[A, -B, 0.0], *others[2:]]).requires_grad_()


def dot(x, y) -> float:
    return math.fsum(a * b for a, b in zip(x, y, strict=True))


def by_loop(first, second, ids, temperature, average, gamma):
    """Loss, new average and divergence of each row, from the definition; averages are no logarithms (0: none)."""
    found = []
    for i in range(len(ids)):
        loss, averages, divergences = 0.0, [], []
        for view, other in ((first, second), (second, first)):
            exponents = [dot(view[i], z[j]) for z in (first, second) for j in range(len(ids)) if ids[j] != ids[i]]
            c, t = len(exponents), temperature[i]
            g = math.fsum(math.exp(z / t) for z in exponents) / c
            s = (1 - gamma) * average[i] + gamma * g if average[i] else g
            weights = [math.exp(z / t) / s for z in exponents]
            loss += math.fsum(w * z for w, z in zip(weights, exponents, strict=True)) / c - dot(view[i], other[i])
            averages.append(s)
            divergences.append(math.fsum(w * z / t for w, z in zip(weights, exponents, strict=True)) / c - math.log(s))
        found.append((loss, sum(averages) / 2, sum(divergences) / 2))
    return [list(each) for each in zip(*found, strict=True)]


@pytest.mark.parametrize(
    ("temperature", "normaliser", "divergence"), [(0.1, 39.292524, 1.14207), (0.5, 1.507209, 0.112439)]
)
def test_a_row_by_hand(temperature, normaliser, divergence):
    """The specification's checks 1 and 2."""
    first, second = by_hand()
    found = global_contrast(first, second, torch.arange(3), temperature=temperature, log_average=never(3), gamma=1.0)
    assert_close(found.log_average[0].exp(), double(normaliser), rtol=0, atol=5e-7)
    assert_close(found.divergence[0], double(divergence), rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    ("temperature", "normaliser", "loss", "share", "gradient"),
    [(0.1, 31.834019, -0.305922, 1.234294, -2.180248), (0.5, 1.605767, -0.654692, 0.938622, 0.282985)],
)
def test_a_row_with_an_old_average_by_hand(temperature, normaliser, loss, share, gradient):
    """The specification's check 3; the share of a row is the sum of its weights over c."""
    first, second = by_hand()
    old = torch.full((3,), math.log(2), dtype=torch.float64)
    found = global_contrast(first, second, torch.arange(3), temperature=temperature, log_average=old, gamma=0.8)
    assert_close(found.log_average[0].exp(), double(normaliser), rtol=0, atol=5e-7)
    assert_close(found.rows.values[0] / 2, double(loss), rtol=0, atol=5e-7)
    assert_close(0.3 - found.divergence[0], double(gradient), rtol=0, atol=5e-7)
    found.rows.values[0].backward()
    pushed = (first.grad[1:, 0].sum() + second.grad[1:, 0].sum()) / (2 * A)  # each weight times the two views' sum
    assert_close(pushed, double(share), rtol=0, atol=5e-7)


def test_only_cosines_carry_a_gradient_and_the_positive_gets_minus_one():
    first, second = by_hand()
    found = global_contrast(first, second, torch.arange(3), temperature=0.1, log_average=never(3), gamma=1.0)
    found.rows.values[0].backward()
    shares = torch.cat([first.grad[1:, 0], second.grad[1:, 0]]) / (2 * A)
    assert_close(shares, double(SHARES), rtol=0, atol=5e-7)
    pushed = (shares[:, None] * torch.cat([first[1:], second[1:]])).sum(0)
    assert_close(first.grad[0], (pushed - 2 * second[0]).detach(), rtol=1e-9, atol=1e-12)


def test_without_memory_it_is_the_gradient_of_the_decoupled_loss_and_the_objective_its_value():
    """The specification's check 4."""
    first, second = by_hand()
    found = global_contrast(first, second, torch.arange(3), temperature=0.1, log_average=never(3), gamma=1.0)
    assert_close(found.objective[0], double(-0.532897), rtol=0, atol=5e-7)
    gradients = []
    ids = torch.arange(3)
    for loss in (
        lambda x, y: global_contrast(x, y, ids, temperature=0.1, log_average=never(3), gamma=1.0).rows.mean(),
        lambda x, y: decoupled(torch.cat([x, y]), ids.repeat(2), 0.1),
    ):
        x, y = unit(3, 4, seed=1).requires_grad_(), unit(3, 4, seed=2).requires_grad_()
        loss(x, y).backward()
        gradients.append(torch.cat([x.grad, y.grad]))
    assert_close(*gradients, rtol=1e-9, atol=1e-12)


def decoupled(views, ids, temperature):
    rows = info_nce(
        views,
        None,
        labels=ids,
        temperature=temperature,
        mask_mod=lambda row, column: row[0] != column[0],
        rows=(ids,),
        columns=(ids,),
    )
    return 2 * temperature * rows.mean()  # of rows, not of views


@given(size=st.integers(2, 5), seed=st.integers(0, 99), gamma=st.sampled_from([0.3, 0.8, 1.0]), visited=st.booleans())
@settings(max_examples=15, deadline=None)
def test_rows_equal_a_plain_loop(size, seed, gamma, visited):
    first, second = unit(size, 3, seed=seed), unit(size, 3, seed=seed + 1)
    ids = torch.randperm(20, generator=torch.Generator().manual_seed(seed))[:size]
    temperature = [0.07 + 0.1 * i for i in range(size)]
    average = [1.7 * (i + 1) if visited and i % 2 == 0 else 0.0 for i in range(size)]
    loss, new, divergence = by_loop(first.tolist(), second.tolist(), ids.tolist(), temperature, average, gamma)
    found = global_contrast(
        first, second, ids, temperature=double(temperature), log_average=double(average).log(), gamma=gamma, tile=2
    )
    assert_close(found.rows.values, double(loss), rtol=1e-9, atol=1e-9)
    assert_close(found.log_average.exp(), double(new), rtol=1e-9, atol=0)
    assert_close(found.divergence, double(divergence), rtol=1e-9, atol=1e-9)


def test_swapped_views_lose_the_same_and_remember_the_same():
    first, second = unit(4, 3, seed=3), unit(4, 3, seed=4)
    options = {"temperature": double([0.1, 0.2, 0.3, 0.4]), "log_average": double([1.0, 2.0, -math.inf, 0.5])}
    one = global_contrast(first, second, IDS, gamma=0.8, **options)
    other = global_contrast(second, first, IDS, gamma=0.8, **options)
    for name in ("log_average", "divergence", "objective"):
        assert_close(getattr(one, name), getattr(other, name), rtol=1e-12, atol=1e-12)
    assert_close(one.rows.values, other.rows.values, rtol=1e-12, atol=1e-12)


def test_a_constant_on_all_cosines_of_a_row_changes_neither_weights_nor_divergence():
    """The specification's check 7; the first row's views get a coordinate that all others have as 1."""
    gradients, divergences = [], []
    for constant in (0.0, 0.7):
        first, second = (
            torch.cat([x.detach(), double([[constant], [1.0], [1.0]])], dim=1).requires_grad_() for x in by_hand()
        )
        found = global_contrast(first, second, torch.arange(3), temperature=0.1, log_average=never(3), gamma=1.0)
        found.rows.values[0].backward()
        gradients.append(torch.cat([first.grad[1:, :3], second.grad[1:, :3]]))
        divergences.append(found.divergence[0])
    assert_close(*gradients, rtol=1e-9, atol=1e-12)
    assert_close(*divergences, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_tiny_temperature_stays_finite_and_what_is_remembered_is_float32(dtype):
    """The specification's check 9: exp(1 / 0.005) has no place in float32."""
    first, second = unit(6, 3, seed=0), unit(6, 3, seed=1)
    first[1], second[1] = first[0], -first[0]  # cosines of 1 and -1 among negatives
    leaf = first.to(dtype).requires_grad_()
    state = GlobalContrastState(6, temperature=0.005, robust=RobustTemperature(lowest=0.001))
    ids = torch.arange(6)
    for _ in range(3):
        temperature, log_average = state.read(ids)
        found = global_contrast(
            leaf, second.to(dtype), ids, temperature=temperature, log_average=log_average, gamma=0.8
        )
        state.update(ids, found.log_average, found.divergence)
    found.rows.mean().backward()
    assert torch.isfinite(leaf.grad).all()
    assert found.log_average.dtype == torch.float32
    assert torch.isfinite(state.rows.field("log_average")).all()
    assert state.rows.field("log_average").dtype == torch.float32


def held(x, y, weights, positives):
    """The value whose gradient is meant: weights as constants."""
    views = torch.cat([x, y])
    return (weights * (views @ views.T)).sum() - positives * (x * y).sum()


def test_the_gradient_is_that_of_the_loss_with_its_weights_held():
    ids = torch.arange(3)
    temperature, old = double([0.2, 0.3, 0.4]), double([0.4, -math.inf, 1.0])
    x, y = unit(3, 2, seed=5).requires_grad_(), unit(3, 2, seed=6).requires_grad_()
    loss = global_contrast(x, y, ids, temperature=temperature, log_average=old, gamma=0.7).rows.values.sum()
    loss.backward()
    views, t = torch.cat([x, y]).detach(), temperature.repeat(2)[:, None]
    exponentials = (views @ views.T / t).exp() * (ids.repeat(2)[:, None] != ids.repeat(2))
    g = exponentials.sum(1, keepdim=True) / 4
    s = torch.where(old.repeat(2)[:, None] > -math.inf, 0.3 * old.repeat(2)[:, None].exp() + 0.7 * g, g)
    weights = exponentials / s / 4
    a, b = x.detach().clone().requires_grad_(), y.detach().clone().requires_grad_()
    expected = held(a, b, weights, 2)
    assert_close(loss, expected, rtol=1e-9, atol=1e-12)
    expected.backward()
    assert_close(x.grad, a.grad, rtol=1e-9, atol=1e-12)
    assert_close(y.grad, b.grad, rtol=1e-9, atol=1e-12)
    assert torch.autograd.gradcheck(lambda a, b: held(a, b, weights, 2), (a, b))


@pytest.mark.parametrize(("kept", "normaliser"), [(False, 0.0067379), (True, 1.0067379)])
def test_pairs_by_hand(kept, normaliser):
    """The specification's check 5."""
    image, text = double([[0.9, 0.4], [0.3, 0.8]]), torch.eye(2, dtype=torch.float64)
    options = {"temperature": (0.1, 0.1), "log_average": (never(2), never(2)), "positive_in_normaliser": kept}
    images, _ = paired_global_contrast(image, text, torch.arange(2), gamma=0.8, **options)
    assert_close(images.log_average.exp()[0], double(normaliser), rtol=0, atol=5e-8)
    assert_close(images.rows.values[0], double(-0.5 * math.exp(-5) / normaliser), rtol=1e-5, atol=0)


def vectors(seed: int) -> torch.Tensor:
    """Four unit vectors that can be written down (figures agree to 1e-6: states begin as float32)."""
    values = torch.cos(torch.arange(1, 13, dtype=torch.float64) * (1.7 + seed)).view(4, 3)
    return torch.nn.functional.normalize(values, dim=1)


def two_steps(state: GlobalContrastState):
    """Losses and the first gradients of two steps on the views 0, 1 and then 2, 3."""
    losses, gradients = [], []
    for seed in (0, 2):
        first, second = vectors(seed).requires_grad_(), vectors(seed + 1).requires_grad_()
        temperature, log_average = state.read(IDS)
        found = global_contrast(first, second, IDS, temperature=temperature, log_average=log_average, gamma=0.8)
        loss = found.rows.mean()
        loss.backward()
        state.update(IDS, found.log_average, found.divergence)
        losses.append(loss.item())
        gradients.append([first.grad[0].tolist(), second.grad[1].tolist()])
    return losses, gradients


def test_two_steps_with_temperatures_are_those_of_the_official_code():
    """SogCLR_DRO_Loss of zhqiu/contrastive-learning-iSogCLR, unimodal_exps/losses.py at c20903bd, from epoch 0."""
    robust = RobustTemperature(rho=0.3, rate=0.03, gradient_weight=0.5)
    state = GlobalContrastState(6, temperature=0.2, robust=robust).double()
    losses, gradients = two_steps(state)
    assert losses == pytest.approx([1.527636209, 1.544236880], rel=1e-6)
    assert gradients[0][0] == pytest.approx([0.476436365, -0.540745878, 0.482127365], rel=1e-6)
    assert gradients[1][1] == pytest.approx([0.64745286, -0.462703759, 0.1461999], rel=1e-6)
    _, log_average = state.read(IDS)
    assert log_average.exp().tolist() == pytest.approx([7.465467016, 9.776503235, 9.30251492, 5.731773966], rel=1e-6)
    expected = [0.221065196, 0.227896478, 0.227861324, 0.229562958]
    assert state.temperatures[IDS].tolist() == pytest.approx(expected, rel=1e-6)


def test_two_steps_without_temperatures_are_those_of_libauc():
    """GCLoss_v1 of Optimization-AI/LibAUC, libauc/losses/contrastive.py at 812f98f7 (without enable_isogclr)."""
    state = GlobalContrastState(6, temperature=0.2, robust=None).double()
    losses, _ = two_steps(state)
    assert losses == pytest.approx([1.527636209, 1.598469882], rel=1e-6)
    expected = [8.381081019, 11.054412708, 10.707501322, 6.591941473]
    assert state.read(IDS)[1].exp().tolist() == pytest.approx(expected, rel=1e-6)


def two_steps_of_pairs(states, **options):
    losses = []
    for seed in (0, 2):
        read = [state.read(IDS) for state in states]
        temperature, log_average = zip(*read, strict=True)
        found = paired_global_contrast(
            vectors(seed),
            vectors(seed + 1),
            IDS,
            temperature=temperature,
            log_average=log_average,
            gamma=0.8,
            **options,
        )
        for state, terms in zip(states, found, strict=True):
            state.update(IDS, terms.log_average, terms.divergence)
        losses.append(sum(terms.rows.mean().item() for terms in found))
    return losses


def test_two_steps_of_pairs_are_those_of_libauc():
    """GCLoss_v2 of the same file with individual temperatures, whose loss is (N - 1) / 2 of the specification's."""
    robust = RobustTemperature(rho=0.3, rate=0.01, gradient_weight=0.9, lowest=0.005, highest=1.0, gradient_clip=1e9)
    states = [GlobalContrastState(6, temperature=0.05, robust=robust).double() for _ in range(2)]
    losses = two_steps_of_pairs(states)
    assert [loss * 1.5 for loss in losses] == pytest.approx([2.428674054, 1.965463276], rel=1e-6)
    expected = [[0.035180383, 0.07613832, 0.103359753, 0.005], [0.005, 0.088195161, 0.031129893, 0.061016266]]
    for state, temperatures in zip(states, expected, strict=True):
        assert state.temperatures[IDS].tolist() == pytest.approx(temperatures, rel=1e-6)
    averages = [21.550726599, 7.839373698, 17.502730066, 13.906143349]
    assert states[0].read(IDS)[1].tolist() == pytest.approx(averages, rel=1e-6)


def test_two_steps_of_pairs_with_the_positive_kept_are_those_of_the_official_code():
    """SogCLR_DRO_Loss, bimodal_exps/models/losses.py at c20903bd, from averages of 1, with its clip of 5."""
    robust = RobustTemperature(rho=0.3, rate=0.01, gradient_weight=0.9, lowest=0.005, gradient_clip=5.0)
    states = [GlobalContrastState(6, temperature=0.05, robust=robust).double() for _ in range(2)]
    for state in states:
        state.rows.write(IDS, log_average=torch.zeros(4))
    losses = two_steps_of_pairs(states, positive_in_normaliser=True)
    assert losses == pytest.approx([2.023834216, 0.144986633], rel=1e-6)
    expected = [[0.0545, 0.061112862, 0.0545, 0.0545], [0.0545, 0.041422716, 0.052380559, 0.047453204]]
    for state, temperatures in zip(states, expected, strict=True):
        assert state.temperatures[IDS].tolist() == pytest.approx(temperatures, rel=1e-6)
    averages = [22.03632601, 9.432196404, 13.024728388, 10.177959712]
    assert states[1].read(IDS)[1].tolist() == pytest.approx(averages, rel=1e-6)


def test_the_gradient_of_pairs_is_that_of_the_loss_with_its_weights_held():
    image, text = unit(3, 2, seed=7).requires_grad_(), unit(3, 2, seed=8).requires_grad_()
    old = double([0.4, -math.inf, -1.0])
    found = paired_global_contrast(
        image, text, torch.arange(3), temperature=(0.2, 0.3), log_average=(old, never(3)), gamma=0.7
    )
    (found[0].rows.values.sum() + found[1].rows.values.sum()).backward()
    x, y = image.detach().clone().requires_grad_(), text.detach().clone().requires_grad_()
    expected = 0.0
    for similarity, t, before in (((x @ y.T), 0.2, old), ((y @ x.T), 0.3, never(3))):
        h = similarity - similarity.diagonal()[:, None]
        exponentials = (h.detach() / t).exp() * ~torch.eye(3, dtype=torch.bool)
        g = exponentials.sum(1, keepdim=True) / 2
        s = torch.where(before[:, None] > -math.inf, 0.3 * before[:, None].exp() + 0.7 * g, g)
        expected = expected + (exponentials / s * h).sum() / 2
    expected.backward()
    assert_close(image.grad, x.grad, rtol=1e-9, atol=1e-12)
    assert_close(text.grad, y.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "ids", "options", "message"),
    [
        (1, [0], {}, "no negative"),
        (2, [3, 3], {}, "twice"),
        (2, [0], {}, "the number of each row"),
        (2, [0, 1], {"gamma": 0.0}, "gamma is 0.0"),
        (2, [0, 1], {"gamma": 1.1}, "gamma is 1.1"),
        (2, [0, 1], {"temperature": 0.0}, "temperature is not > 0"),
        (2, [0, 1], {"temperature": torch.ones(3)}, r"temperature is \[3\] for 2 rows"),
        (2, [0, 1], {"log_average": torch.zeros(3)}, r"log_average is \[3\] for 2 rows"),
    ],
)
def test_what_does_not_go_together_is_refused(size, ids, options, message):
    chosen = {"temperature": 0.1, "log_average": torch.zeros(size), "gamma": 0.8, **options}
    with pytest.raises(ValueError, match=message):
        global_contrast(unit(size, 3, seed=0), unit(size, 3, seed=1), torch.tensor(ids), **chosen)
