"""The contrast with the hardest negatives only, against hand-worked rows and plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from likewise import pairwise
from likewise.losses import hard_contrast, hardest_threshold, simple_contrast

ROW = [0.8, 0.6, 0.5, 0.1, -0.3]
OTHER = [0.4, 0.6, 0.5, 0.1, -0.3]


def of_similarities(row, keep=None, loss=hard_contrast, **options):
    """The loss of one row with these similarities, its own first, and its gradient in each of them."""
    query = torch.tensor([row], dtype=torch.float64, requires_grad=True)
    axes, own = torch.eye(len(row), dtype=torch.float64), torch.tensor([0])
    threshold = None if keep is None else hardest_threshold(query, axes, keep, own=own)
    value = loss(query, axes[:1], axes, own=own, threshold=threshold, **options).mean()
    value.backward()
    return value.item(), query.grad[0].tolist()


def unit(*shape, seed):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=-1)


def by_loops(query, key, negatives, own, temperature, keep, weight=None, simple=False):
    found = []
    for i in range(len(query)):
        others = [float(query[i] @ negatives[j]) for j in range(len(negatives)) if own is None or j != own[i]]
        least = sorted(others, reverse=True)[(keep or len(others)) - 1]
        kept = [s for s in others if s >= least]
        positive = float(query[i] @ key[i])
        if simple:
            found.append(-positive + (1 / len(kept) if weight is None else weight) * sum(kept))
        else:
            total = sum(math.exp(s / temperature) for s in [positive, *kept])
            found.append(math.log(total) - positive / temperature)
    return found


@pytest.mark.parametrize(
    ("temperature", "loss", "gradient"),
    [
        (0.1, 0.170629, [-1.568659, 1.141058, 0.419772, 0.007688, 0.000141]),
        (0.5, 0.946444, [-1.223763, 0.520327, 0.426008, 0.191418, 0.08601]),
    ],
)
def test_a_row_by_hand(temperature, loss, gradient):
    for keep in (None, 4):  # all of them
        value, found = of_similarities(ROW, keep, temperature=temperature)
        assert value == pytest.approx(loss, abs=5e-7)
        assert found == pytest.approx(gradient, abs=1e-6)


def test_the_relative_penalty_is_a_distribution_over_the_negatives():
    for temperature, entropy in ((0.1, 0.611179), (0.5, 1.207777)):
        _, gradient = of_similarities(ROW, temperature=temperature)
        share = np.array(gradient[1:]) / -gradient[0]
        assert share.sum() == pytest.approx(1, abs=1e-12)
        assert -(share * np.log(share)).sum() == pytest.approx(entropy, abs=1e-6)
        assert share == pytest.approx(
            np.exp(np.array(ROW[1:]) / temperature) / np.exp(np.array(ROW[1:]) / temperature).sum()
        )


@pytest.mark.parametrize(("temperature", "loss"), [(0.1, 0.169846), (0.5, 0.797116)])
def test_the_two_hardest_by_hand(temperature, loss):
    value, gradient = of_similarities(ROW, 2, temperature=temperature)
    assert value == pytest.approx(loss, abs=5e-7)
    assert gradient[3:] == [0.0, 0.0]  # exactly
    assert sum(gradient[1:]) == pytest.approx(-gradient[0], abs=1e-12)


def test_at_a_low_temperature_only_the_hardest_negative_counts():
    for temperature, scaled in ((0.1, 0.241216), (0.01, 0.2)):
        value, _ = of_similarities(OTHER, temperature=temperature)
        assert temperature * value == pytest.approx(scaled, abs=5e-7)


def test_at_a_high_temperature_it_is_linear_with_the_gradient_of_the_simple_loss():
    value, gradient = of_similarities(OTHER, temperature=100.0)
    assert value == pytest.approx(1.608043, abs=5e-7)
    taylor = math.log(5) - 4 / 500 * 0.4 + sum(OTHER[1:]) / 500
    assert taylor == pytest.approx(1.608038, abs=5e-7)
    assert value - taylor == pytest.approx(5.3e-6, abs=1e-7)
    _, linear = of_similarities(OTHER, loss=simple_contrast)
    assert linear == pytest.approx([-1, 0.25, 0.25, 0.25, 0.25])
    assert [500 / 4 * one for one in gradient] == pytest.approx(linear, rel=1e-2)


def test_the_simple_loss_of_a_row_by_hand():
    assert of_similarities(ROW, loss=simple_contrast)[0] == pytest.approx(-0.8 + 0.9 / 4)
    value, gradient = of_similarities(ROW, 2, loss=simple_contrast)
    assert value == pytest.approx(-0.8 + 1.1 / 2)
    assert gradient == pytest.approx([-1, 0.5, 0.5, 0, 0])
    assert gradient[3:] == [0.0, 0.0]
    assert of_similarities(ROW, 2, loss=simple_contrast, weight=1.0)[0] == pytest.approx(-0.8 + 1.1)
    assert of_similarities(ROW, loss=simple_contrast, weight=0.0)[0] == pytest.approx(-0.8)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_rows_equal_a_plain_loop(data):
    size, total, dim = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 30)), data.draw(st.integers(2, 5))
    seed = data.draw(st.integers(0, 2**16))
    query, key, negatives = (unit(n, dim, seed=seed + i) for i, n in enumerate((size, size, total)))
    own = data.draw(st.sampled_from([None, torch.arange(size) % total]))
    keep = data.draw(st.one_of(st.none(), st.integers(1, total - (own is not None))))
    tile = data.draw(st.one_of(st.none(), st.integers(1, 30)))
    threshold = None if keep is None else hardest_threshold(query, negatives, keep, own=own, tile=tile)
    options = {"own": own, "threshold": threshold, "tile": tile}
    rows = hard_contrast(query, key, negatives, temperature=0.2, **options)
    assert rows.counted.all()
    assert rows.values.tolist() == pytest.approx(by_loops(query, key, negatives, own, 0.2, keep), rel=1e-9)
    for weight in (None, 0.3):
        rows = simple_contrast(query, key, negatives, weight=weight, **options)
        expected = by_loops(query, key, negatives, own, 0.2, keep, weight, simple=True)
        assert rows.values.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", [hard_contrast, simple_contrast])
@pytest.mark.parametrize("keep", [None, 5])
def test_the_gradient_is_that_of_finite_differences(loss, keep):
    query, key, negatives = (unit(n, 3, seed=i).requires_grad_() for i, n in enumerate((4, 4, 11)))
    own, more = torch.tensor([0, 3, 10, 2]), {"temperature": 0.3} if loss is hard_contrast else {}
    # A little lower, so that small changes leave what is kept as it is.
    threshold = None if keep is None else hardest_threshold(query, negatives, keep, own=own) - 1e-3

    def of(*operands):
        return loss(*operands, own=own, threshold=threshold, **more).mean()

    assert torch.autograd.gradcheck(of, (query, key, negatives))


def test_the_pushes_sum_to_the_pull_at_any_temperature_and_threshold():
    query, negatives, own = unit(6, 4, seed=0), unit(40, 4, seed=1), torch.arange(6)
    for temperature in (0.02, 0.3, 20.0):
        for keep in (1, 7, 39):
            threshold = hardest_threshold(query, negatives, keep, own=own)
            logits = (query @ negatives.T).requires_grad_()  # as similarities, through axes
            axes = torch.eye(40, dtype=torch.float64)
            hard_contrast(
                logits, axes[own], axes, temperature=temperature, own=own, threshold=threshold
            ).values.sum().backward()
            pull = logits.grad[own, own]
            pushes = logits.grad.clone()
            pushes[own, own] = 0
            assert_close(pushes.sum(1), -pull, rtol=0, atol=1e-12)
            assert ((pushes != 0).sum(1) <= keep).all()


def test_equal_embeddings_lose_the_logarithm_of_what_is_kept_and_all_ties_are_kept():
    query, negatives, own = torch.ones(3, 1), torch.ones(9, 1), torch.arange(3)
    threshold = hardest_threshold(query, negatives, 2, own=own)
    rows = hard_contrast(query, query, negatives, temperature=0.3, own=own, threshold=threshold)
    assert_close(rows.values, torch.full((3,), math.log(9)))
    assert_close(simple_contrast(query, query, negatives, own=own, threshold=threshold).values, torch.zeros(3))


def test_order_of_the_bank_rotations_and_scale_do_not_matter():
    query, negatives, own = unit(5, 4, seed=0), unit(30, 4, seed=1), torch.arange(5)

    def loss(query, negatives, own, temperature=0.2, size=1.0):
        threshold = hardest_threshold(query, negatives * size, 8, own=own)
        return hard_contrast(
            query, negatives[own] * size, negatives * size, temperature=temperature, own=own, threshold=threshold
        ).values

    whole = loss(query, negatives, own)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    assert_close(loss(query, negatives[order], order.argsort()[own]), whole, rtol=1e-12, atol=0)
    turn = torch.linalg.qr(unit(4, 4, seed=5)).Q
    assert_close(loss(query @ turn, negatives @ turn, own), whole, rtol=1e-9, atol=0)
    assert_close(loss(query, negatives, own, temperature=0.6, size=3.0), whole, rtol=1e-9, atol=0)


def test_single_precision_is_near_double_and_keeps_as_many():
    query, negatives, own = unit(20, 16, seed=0), unit(500, 16, seed=1), torch.arange(20)
    found = []
    for dtype in (torch.float64, torch.float32):
        q, n = query.to(dtype), negatives.to(dtype)
        threshold = hardest_threshold(q, n, 41, own=own)
        kept = pairwise.sum(
            q, n, value=lambda s: (s > 0).to(s.dtype), score_mod=lambda s, r, c: s - r[0],
            mask_mod=lambda r, c: r[1] != c.index, rows=(threshold, own),
        )  # fmt: skip
        assert kept.tolist() == [41.0] * 20
        values = [
            loss(q, n[own], n, own=own, threshold=threshold, **more).values
            for loss, more in ((hard_contrast, {"temperature": 0.1}), (simple_contrast, {}))
        ]
        found.append(torch.stack(values).double())
    assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_a_row_without_a_negative_is_counted_out():
    one = torch.ones(1, 1, requires_grad=True)
    for rows in (
        hard_contrast(one, one, torch.ones(1, 1), temperature=0.3, own=torch.tensor([0])),
        simple_contrast(one, one, torch.ones(1, 1), own=torch.tensor([0])),
        hard_contrast(one, one, torch.ones(0, 1), temperature=0.3),
    ):
        assert rows.counted.tolist() == [False]
        assert rows.values.tolist() == [0.0]


def test_the_pass_for_the_threshold_and_the_loss_hold_no_matrix(monkeypatch):
    """Buffers of the engine are tiles: none is as large as all pairs."""
    largest, empty = [0], torch.empty

    def watched(*shape, **options):
        made = empty(*shape, **options)
        largest[0] = max(largest[0], made.numel())
        return made

    monkeypatch.setattr(torch, "empty", watched)
    query, negatives = unit(40, 2, seed=0).requires_grad_(), unit(3000, 2, seed=1)
    own = torch.arange(40)
    threshold = hardest_threshold(query, negatives, 1500, own=own, tile=(8, 64))
    hard_contrast(
        query, negatives[own], negatives, temperature=0.3, own=own, threshold=threshold, tile=(8, 64)
    ).mean().backward()
    simple_contrast(query, negatives[own], negatives, own=own, threshold=threshold, tile=(8, 64)).mean().backward()
    assert 0 < largest[0] < 40 * 3000 / 10


def test_what_cannot_be_is_refused():
    query, negatives, own = unit(3, 2, seed=0), unit(8, 2, seed=1), torch.arange(3)
    for temperature in (0.0, -0.1, math.inf):
        with pytest.raises(ValueError, match=f"temperature is {temperature}"):
            hard_contrast(query, query, negatives, temperature=temperature)
    for number in (0, 8):
        with pytest.raises(ValueError, match=f"{number} negatives are to be kept of 7"):
            hardest_threshold(query, negatives, number, own=own)
    assert hardest_threshold(query, negatives, 8).shape == (3,)
    with pytest.raises(ValueError, match="own names rows from 0 to 8; negatives have 8"):
        simple_contrast(query, query, negatives, own=torch.tensor([0, 8, 1]))
    with pytest.raises(ValueError, match=r"own is torch.float32 \[3\]"):
        hard_contrast(query, query, negatives, temperature=0.3, own=torch.ones(3))
    with pytest.raises(ValueError, match=r"query is \[3, 2\] but key is \[2, 2\]"):
        simple_contrast(query, query[:2], negatives)
    with pytest.raises(ValueError, match="weight is -1"):
        simple_contrast(query, query, negatives, weight=-1.0)
