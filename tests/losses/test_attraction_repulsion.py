"""Attraction and repulsion against hand-worked rows, plain loops and the official code."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from likewise.losses import (
    attraction,
    info_nce,
    kernel_repulsion,
    positive_weights,
    repulsion,
    weighed_prediction,
)

OFFICIAL = {
    "full": (4.115832594, -0.799649228, -1.245018802,
             [-0.043593671, 0.078869747, 0.203338213, 0.091770097, 0.078145137]),
    "without_w1": (3.181088487, -0.799649228, -1.245018802,
                   [-0.105931073, 0.07660825, 0.15238489, 0.15737946, -0.037220006]),
    "without_w2": (4.115832594, -1.367207473, -1.874333873,
                   [-0.023827145, 0.019787307, 0.177758033, 0.038153358, 0.069966295]),
    "none": (3.181088487, -1.367207473, -1.874333873,
             [-0.086164547, 0.017525811, 0.12680471, 0.103762721, -0.045398849]),
}  # fmt: skip
"""Of ``our_loss1`` (alpha 1.5, t+ 1.3), ``our_loss2`` (beta 0.7, t- 2) with the Euclidean cost and with the kernel, and
of the gradient of the first two in row 2 of view 1, by JegZheng/CACR-SSL at 4dd3ef3a, small_scale_experiments. Norms
and products have another gradient along the vector itself; along the sphere they agree."""


def views(seed, number, size=6, dim=5):
    return F.normalize(torch.tensor(np.random.default_rng(seed).normal(size=(number, size, dim))), dim=-1)


def at_distances(distances):
    """A query, and vectors at these squared distances from it, in axes of their own."""
    query = torch.zeros(1, len(distances) + 1, dtype=torch.float64)
    query[0, 0] = 1.0
    points = torch.zeros(len(distances), 1, len(distances) + 1, dtype=torch.float64)
    for place, distance in enumerate(distances):
        cosine = 1 - distance / 2
        points[place, 0, 0], points[place, 0, place + 1] = cosine, math.sqrt(1 - cosine**2)
    return query, points


def test_a_row_by_hand():
    query, positives = at_distances([0.2, 0.8])
    weights = positive_weights(query, positives, sharpness=1.0)
    assert weights[0].tolist() == pytest.approx([0.354344, 0.645656], abs=1e-6)
    pull = attraction(query, positives, sharpness=1.0).mean().item()
    assert pull == pytest.approx(0.587394, abs=1e-6)
    query, negatives = at_distances([0.5, 2.0, 3.0])
    push = repulsion(query, query, temperature=1 / 4, queue=negatives[:, 0]).mean().item()
    assert push == pytest.approx(-0.586629, abs=1e-6)
    assert pull + push == pytest.approx(0.000765, abs=1.5e-6)


def test_the_ends_of_the_sharpness():
    query, positives = at_distances([0.2, 0.8])
    assert attraction(query, positives, sharpness=1e-7).mean().item() == pytest.approx(0.5, abs=1e-6)
    assert attraction(query, positives, sharpness=1e3).mean().item() == pytest.approx(0.8)
    assert attraction(query, positives, weighted=False).mean().item() == pytest.approx(0.5)
    query, negatives = at_distances([0.5, 2.0, 3.0])
    options = {"queue": negatives[:, 0]}
    assert repulsion(query, query, temperature=1e7, **options).mean().item() == pytest.approx(-1.833333, abs=1e-5)
    assert repulsion(query, query, temperature=1.0, weighted=False, **options).mean().item() == pytest.approx(-11 / 6)
    assert repulsion(query, query, temperature=1e-3, **options).mean().item() == pytest.approx(-0.5)


def push_gradient(detach):
    """Of the repulsion, in the cosines .75, 0 and -.5 with three axes."""
    query = torch.tensor([[0.75, 0.0, -0.5, math.sqrt(0.1875)]], dtype=torch.float64, requires_grad=True)
    axes = torch.eye(4, dtype=torch.float64)[:3]
    repulsion(query, query.detach(), temperature=0.25, queue=axes, detach=detach).mean().backward()
    return query.grad[0, :3].tolist()


def test_the_gradient_of_the_repulsion_by_hand_with_weights_that_are_held_and_that_are_not():
    assert push_gradient(detach=True) == pytest.approx([1.892998, 0.094247, 0.012755], abs=2e-6)
    assert push_gradient(detach=False) == pytest.approx([2.220974, -0.172165, -0.04881], abs=2e-6)


def test_held_weights_have_the_gradient_of_a_soft_maximum():
    points = views(0, 4).requires_grad_()
    attraction(points[0], points[1:], sharpness=1.7, detach=True).mean().backward()
    held, points.grad = points.grad, None
    distances = (points[0] - points[1:]).square().sum(-1).T
    (torch.logsumexp(1.7 * distances, 1) / 1.7).mean().backward()
    assert_close(held, points.grad, rtol=1e-9, atol=1e-12)
    points = views(1, 2).requires_grad_()
    repulsion(points[0], points[1], temperature=0.3, detach=True).mean().backward()
    held, points.grad = points.grad, None
    scores = (points[0] @ points[1].T / 0.3).masked_fill(torch.eye(6, dtype=torch.bool), -math.inf)
    (2 * 0.3 * scores.logsumexp(1)).mean().backward()
    assert_close(held, points.grad, rtol=1e-9, atol=1e-12)


def both_losses(points, *, alpha, sharpness, beta, temperature, choice, kernel=False):
    with_w1, with_w2 = choice not in ("none", "without_w1"), choice not in ("none", "without_w2")
    number = len(points)
    pulls = [
        attraction(
            points[v], points[[u for u in range(number) if u != v]], sharpness=sharpness, weighted=with_w1
        ).mean()
        for v in range(number)
    ]
    pushes = []
    for v in range(number):
        for u in range(v + 1, number):
            if kernel:
                pushes.append(kernel_repulsion(points[v], points[u], temperature=temperature, weighted=with_w2))
            else:
                pushes.append(repulsion(points[v], points[u], temperature=temperature, weighted=with_w2).mean())
    return alpha * torch.stack(pulls).mean(), beta * torch.stack(pushes).mean()


@pytest.mark.parametrize("choice", OFFICIAL)
def test_it_is_what_the_official_code_computes(choice):
    pull, push, kernel, gradient = OFFICIAL[choice]
    points = views(0, 4).requires_grad_()
    how = {"alpha": 1.5, "sharpness": 1.3, "beta": 0.7, "temperature": 0.25, "choice": choice}
    found = both_losses(points, **how)
    assert [one.item() for one in found] == pytest.approx([pull, push], abs=2e-9)
    sum(found).backward()
    at = points[1, 2].detach()
    along = [one - (one @ at) * at for one in (points.grad[1, 2], torch.tensor(gradient, dtype=torch.float64))]
    assert_close(*along, rtol=0, atol=2e-9)
    assert both_losses(points, **how, kernel=True)[1].item() == pytest.approx(kernel, abs=2e-9)


def test_the_queue_form_is_what_the_official_code_computes():
    """By ``large_scale_shift_experiments/imagenet/ours/builder.py`` at 4dd3ef3a: alpha 1.5, t+ 1.1, beta 0.7, t- 2."""
    query, key, queue = views(3, 3, size=4), views(4, 3, size=4), views(5, 1, size=7)[0]
    pull = [attraction(query[v], key[[u for u in range(3) if u != v]], sharpness=1.1, detach=True) for v in range(3)]
    push = [repulsion(query[v], query[v], temperature=0.25, queue=queue, detach=True) for v in range(3)]
    assert 1.5 * sum(rows.mean() for rows in pull).item() / 3 == pytest.approx(3.597088699, abs=2e-9)
    assert 0.7 * sum(rows.mean() for rows in push).item() / 3 == pytest.approx(-0.769142328, abs=2e-9)


def test_predictions_are_what_the_official_code_computes():
    """By ``imagenet_pretraining/moco/builder.py`` at 4dd3ef3a, which takes a mean of rows with rbf, else their sum."""
    predictions, key = list(views(1, 3)), views(2, 1)[0]
    rbf = weighed_prediction(predictions, key, temperature=0.3)
    assert rbf.mean().item() == pytest.approx(2.015411035, abs=2e-9)
    euclidean = weighed_prediction(predictions, key, temperature=0.3, cost="euclidean")
    assert euclidean.values.sum().item() == pytest.approx(3.833581643, abs=2e-9)


def test_two_predictions_by_hand():
    predictions = F.normalize(torch.tensor([[[1.0, 0.2]], [[1.0, 1.0]]], dtype=torch.float64), dim=-1)
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    share = positive_weights(keys[:1], predictions, sharpness=2.0)
    assert share[0].tolist() == pytest.approx([0.250885, 0.749115], abs=1e-6)
    padded = [torch.cat([one, keys[1:]]) for one in predictions]
    rows = weighed_prediction(padded, keys, temperature=0.5)
    assert rows.values[0].item() == pytest.approx(0.592606, abs=1e-6)


def test_one_prediction_is_info_nce_and_one_positive_its_distance():
    query, key = views(0, 2)
    rows = weighed_prediction([query], key, temperature=0.3).values
    assert_close(rows, 0.6 * info_nce(query, key, temperature=0.3).values, rtol=1e-12, atol=0)
    pulled = attraction(query, key[None], sharpness=3.0).values
    assert_close(pulled, (query - key).square().sum(1), rtol=1e-12, atol=0)
    assert (positive_weights(query, key[None], sharpness=3.0) == 1).all()


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_rows_equal_a_plain_loop(data):
    size, dim, held = (data.draw(st.integers(low, 6)) for low in (2, 2, 0))
    points, queue = views(data.draw(st.integers(0, 999)), 2, size, dim), views(7, 1, held, dim)[0]
    weighted, tile = data.draw(st.booleans()), data.draw(st.one_of(st.none(), st.integers(1, 8)))
    expected = []
    for i in range(size):
        others = [points[1, j] for j in range(size) if j != i] + list(queue)
        distances = [float((points[0, i] - other).square().sum()) for other in others]
        weights = [math.exp(-2 * d) if weighted else 1.0 for d in distances]
        expected.append(-sum(w * d for w, d in zip(weights, distances, strict=True)) / sum(weights))
    rows = repulsion(*points, temperature=0.25, queue=queue, weighted=weighted, tile=tile)
    assert rows.values.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("detach", [False, True])
def test_gradients_are_those_of_finite_differences_and_held_weights_of_dense_ones(detach):
    points, queue = views(0, 3, size=4, dim=3).requires_grad_(), views(1, 1, size=5, dim=3)[0]

    def losses(raw, held):
        x = F.normalize(raw, dim=-1)
        yield attraction(x[0], x[1:], detach=held).mean()
        yield repulsion(x[0], x[1], temperature=0.3, queue=queue, detach=held).mean()
        yield kernel_repulsion(x[0], x[1], temperature=0.3, detach=held)

    for number in range(3):

        def of(raw, number=number):
            return list(losses(raw, False))[number]

        assert torch.autograd.gradcheck(of, (points,))
    if not detach:
        return
    x = F.normalize(points, dim=-1)
    found = torch.autograd.grad(list(losses(points, True))[2], points)[0]
    scores = (x[0] @ x[1].T).masked_fill(torch.eye(4, dtype=torch.bool), -math.inf)
    kernel = torch.where(scores > -math.inf, (2 * 2.0 * (scores - 1)).exp(), 0.0)
    dense = ((scores / 0.3).softmax(1).detach() * kernel).sum(1).mean().log()
    assert_close(found, torch.autograd.grad(dense, points)[0], rtol=1e-9, atol=1e-12)


def test_equal_vectors_lose_nothing_and_gradients_are_numbers():
    points = torch.tensor([[[0.6, 0.8]] * 4] * 3, dtype=torch.float64, requires_grad=True)
    found = [
        attraction(points[0], points[1:]).mean(),
        repulsion(points[0], points[1], temperature=0.25).mean(),
        kernel_repulsion(points[0], points[1], temperature=0.25),
    ]
    assert [one.item() for one in found] == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    sum(found).backward()
    assert points.grad.isfinite().all()
    assert_close(attraction(points[0], points[1:]).values, torch.zeros(4, dtype=torch.float64))


def test_a_copy_of_the_query_as_negative_weighs_most_and_gets_a_number_as_gradient():
    query = torch.tensor([[0.6, 0.8]], dtype=torch.float64, requires_grad=True)
    queue = torch.cat([query.detach(), torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)])
    value = repulsion(query, query, temperature=0.01, queue=queue).mean()
    assert value.item() == pytest.approx(0, abs=1e-6)
    value.backward()
    assert query.grad.isfinite().all()


def test_order_of_rows_and_of_views_does_not_matter():
    points, order = views(0, 3), torch.randperm(6, generator=torch.Generator().manual_seed(0))
    how = {"alpha": 1.0, "sharpness": 1.0, "beta": 1.0, "temperature": 0.25, "choice": "full"}
    whole = both_losses(points, **how)
    assert_close(both_losses(points[:, order], **how), whole, rtol=1e-12, atol=1e-12)
    pull, _ = both_losses(points[[2, 0, 1]], **how)
    assert_close(pull, whole[0], rtol=1e-12, atol=0)


def test_bounds_hold():
    points = views(3, 4)
    far = -points[0]
    assert attraction(points[0], points[1:]).values.min() >= 0
    assert attraction(points[0], far[None]).values.max().item() == pytest.approx(4)
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert repulsion(opposite, opposite, temperature=1.0).values.tolist() == pytest.approx([-4, -4])
    assert kernel_repulsion(opposite, opposite, temperature=1.0, width=2.0).item() == pytest.approx(-8, abs=1e-5)


def test_single_and_half_precision_are_near_double():
    points = views(5, 3, size=20, dim=16)
    exact = [rows(points) for rows in LOSSES]
    for dtype, rtol, atol in ((torch.float32, 1e-5, 1e-6), (torch.bfloat16, 2e-2, 2e-2)):
        rounded = points.to(dtype)
        expected = exact if dtype == torch.float32 else [rows(rounded.double()) for rows in LOSSES]
        for found, wanted in zip([rows(rounded) for rows in LOSSES], expected, strict=True):
            assert_close(found.double(), wanted, rtol=rtol, atol=atol)


LOSSES = [
    lambda x: attraction(x[0], x[1:]).mean(),
    lambda x: repulsion(x[0], x[1], temperature=0.25).mean(),
    lambda x: kernel_repulsion(x[0], x[1], temperature=0.25),
    lambda x: weighed_prediction(list(x[:2]), x[2], temperature=0.3).mean(),
]


def test_a_single_row_has_nothing_to_be_pushed_from():
    one = torch.ones(1, 1, requires_grad=True)
    rows = repulsion(one, one, temperature=0.25)
    assert rows.counted.tolist() == [False]
    assert rows.values.tolist() == [0.0]
    with pytest.raises(ValueError, match="there is one row"):
        kernel_repulsion(one, one, temperature=0.25)
    with pytest.raises(ValueError, match="there is one row"):
        weighed_prediction([one], one, temperature=0.3, cost="euclidean")


def test_what_cannot_be_is_refused():
    points = views(0, 3)
    for wrong in (0.0, -1.0, math.inf):
        with pytest.raises(ValueError, match=f"sharpness is {wrong}"):
            attraction(points[0], points[1:], sharpness=wrong)
        with pytest.raises(ValueError, match=f"temperature is {wrong}"):
            repulsion(points[0], points[1], temperature=wrong)
        with pytest.raises(ValueError, match=f"width is {wrong}"):
            kernel_repulsion(points[0], points[1], temperature=0.25, width=wrong)
    with pytest.raises(ValueError, match=r"row 0 of key has length 2; .* Normalise them"):
        repulsion(points[0], 2 * points[1], temperature=0.25)
    with pytest.raises(ValueError, match="row 0 of positives has length 2"):
        attraction(points[0], 2 * points[1:])
    with pytest.raises(ValueError, match=r"positives is \[0, 6, 5\]"):
        attraction(points[0], points[:0])
    with pytest.raises(ValueError, match=r"query is \[6, 5\] but key is \[3, 5\]"):
        repulsion(points[0], points[1, :3], temperature=0.25)
    with pytest.raises(ValueError, match="there is no prediction"):
        weighed_prediction([], points[0], temperature=0.3)
    with pytest.raises(ValueError, match="not finite"):
        repulsion(points[0] * math.nan, points[1], temperature=0.25)


def test_no_matrix_is_held(monkeypatch):
    """Buffers of the engine are tiles: none is as large as all pairs."""
    largest, empty = [0], torch.empty

    def watched(*shape, **options):
        made = empty(*shape, **options)
        largest[0] = max(largest[0], made.numel())
        return made

    monkeypatch.setattr(torch, "empty", watched)
    points = views(0, 2, size=400, dim=3).requires_grad_()
    repulsion(points[0], points[1], temperature=0.25, tile=16).mean().backward()
    kernel_repulsion(points[0], points[1], temperature=0.25, tile=16).backward()
    assert 0 < largest[0] < 400 * 400 / 10
