"""A key against a queue and against mixtures of its hardest: the paper's numbers, loops, and what has a gradient."""

import math
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from likewise.losses import mixed_scores, queue_contrast
from likewise.sampling import Mixture


def at(*degrees: float) -> torch.Tensor:
    """Unit vectors of the plane."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def mixture(pairs=(), singles=(), counted=True) -> Mixture:
    """What one row mixes: (first, second, share) and (single, share of the query)."""
    first, second, share = zip(*pairs, strict=True) if pairs else ((), (), ())
    single, own = zip(*singles, strict=True) if singles else ((), ())
    integers, numbers = {"dtype": torch.int64}, {"dtype": torch.float64}
    return Mixture(
        torch.tensor([first], **integers),
        torch.tensor([second], **integers),
        torch.tensor([share], **numbers),
        torch.tensor([single], **integers),
        torch.tensor([own], **numbers),
        torch.tensor([counted]),
    )


QUERY, KEY, QUEUE = at(0), at(10), at(30, -60, 90, 180)


def cosine_of(pairs=(), singles=(), query=QUERY) -> float:
    """With one mixture the maximum of the logits at temperature 1 is its cosine."""
    return mixed_scores(query, QUEUE, mixture(pairs, singles), temperature=1.0).largest.item()


def test_four_keys_in_the_plane_worked_out_by_hand():
    assert queue_contrast(QUERY, KEY, QUEUE, temperature=0.2).values.item() == pytest.approx(0.49959, abs=1e-5)


def test_a_mixture_of_two_keys_is_harder_than_both():
    assert cosine_of(pairs=[(0, 1, 0.5)]) == pytest.approx(0.965926, abs=1e-6)
    assert cosine_of(pairs=[(0, 1, 0.25)]) == pytest.approx(0.748203, abs=1e-6)


def test_a_mixture_with_the_query_is_harder_than_its_key():
    assert cosine_of(singles=[(0, 0.4)]) == pytest.approx(0.950692, abs=1e-6)
    assert cosine_of(singles=[(0, 1e-9)]) == pytest.approx(0.866025, abs=1e-6)


def test_the_loss_with_both_mixtures_is_that_of_one_softmax_over_all():
    mixed = mixed_scores(QUERY, QUEUE, mixture([(0, 1, 0.5)], [(0, 0.4)]), temperature=0.2)
    found = queue_contrast(QUERY, KEY, QUEUE, temperature=0.2, mixed=mixed).values.item()
    assert found == pytest.approx(1.224108, abs=1e-6)
    cosines = [math.cos(math.radians(10)), 0.8660254, 0.5, 0.0, -1.0, 0.96592583, 0.95069186]
    total = sum(math.exp(c / 0.2) for c in cosines)
    assert found == pytest.approx(math.log(total) - cosines[0] / 0.2, abs=1e-6)


def drawn(seed, size, keys, dim, s, t):
    random = np.random.default_rng(seed)
    query, key, queue = (F.normalize(torch.from_numpy(random.normal(size=(n, dim))), dim=1) for n in (size, size, keys))
    first, second = (torch.from_numpy(random.integers(keys, size=(size, s))) for _ in range(2))
    single = torch.from_numpy(random.integers(keys, size=(size, t)))
    share, own = torch.from_numpy(random.random((size, s))), torch.from_numpy(random.random((size, t)) / 2)
    return query, key, queue, Mixture(first, second, share, single, own, torch.ones(size, dtype=torch.bool))


def test_rows_equal_a_plain_loop():
    query, key, queue, mixes = drawn(0, 5, 7, 4, 3, 2)
    mixed = mixed_scores(query, queue, mixes, temperature=0.3)
    found = queue_contrast(query, key, queue, temperature=0.3, mixed=mixed).values

    def dot(x, y):
        return math.fsum(a * b for a, b in zip(x, y, strict=True))

    def blend(weight, x, y):
        made = [weight * a + (1 - weight) * b for a, b in zip(x, y, strict=True)]
        return [a / math.sqrt(dot(made, made)) for a in made]

    q, k, n = query.tolist(), key.tolist(), queue.tolist()
    for i in range(5):
        negatives = list(n)
        for a, b, share in zip(mixes.first[i], mixes.second[i], mixes.share[i], strict=True):
            negatives.append(blend(float(share), n[a], n[b]))
        for a, own in zip(mixes.single[i], mixes.query_share[i], strict=True):
            negatives.append(blend(float(own), q[i], n[a]))
        positive = dot(q[i], k[i]) / 0.3
        total = math.exp(positive) + sum(math.exp(dot(q[i], one) / 0.3) for one in negatives)
        assert found[i].item() == pytest.approx(math.log(total) - positive, rel=1e-9)


def test_the_gradient_is_that_of_finite_differences_with_the_mixtures_held_fast():
    query, key, queue, mixes = drawn(1, 3, 5, 3, 2, 2)
    # What is made of the query is a constant: finite differences move it, so here mixtures are of keys alone ...
    of_keys = Mixture(mixes.first, mixes.second, mixes.share, mixes.single, 0 * mixes.query_share, mixes.counted)

    def loss(x):
        mixed = mixed_scores(x, queue, of_keys, temperature=0.5)
        return queue_contrast(x, key, queue, temperature=0.5, mixed=mixed).mean()

    assert torch.autograd.gradcheck(loss, (query.clone().requires_grad_(),))
    # ... and those with the query are compared with autograd over vectors that are given.
    x = query.clone().requires_grad_()
    mixed_scores(x, queue, mixes, temperature=0.5).logsumexp.sum().backward()
    y = query.clone().requires_grad_()
    two = F.normalize(mixes.share[..., None] * queue[mixes.first] + (1 - mixes.share[..., None]) * queue[mixes.second],
                      dim=2)  # fmt: skip
    own = F.normalize(
        mixes.query_share[..., None] * query[:, None] + (1 - mixes.query_share[..., None]) * queue[mixes.single], dim=2
    )
    (torch.einsum("bd,bhd->bh", y, torch.cat([two, own], 1)) / 0.5).logsumexp(1).sum().backward()
    assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-12)


def test_keys_and_queue_get_no_gradient():
    query, key, queue, mixes = drawn(2, 3, 5, 3, 2, 2)
    for one in (query, key, queue):
        one.requires_grad_()
    queue_contrast(
        query, key, queue, temperature=0.2, mixed=mixed_scores(query, queue, mixes, temperature=0.2)
    ).mean().backward()
    assert (query.grad.norm(dim=1) > 0).all()
    assert (key.grad, queue.grad) == (None, None)


def test_parts_of_rows_make_no_difference(monkeypatch):
    query, _, queue, mixes = drawn(3, 6, 9, 4, 3, 2)
    whole = mixed_scores(query, queue, mixes, temperature=0.2)
    monkeypatch.setattr(sys.modules[queue_contrast.__module__], "_CHUNK", 41)
    parts = mixed_scores(query, queue, mixes, temperature=0.2)
    assert_close(parts.logsumexp, whole.logsumexp, rtol=1e-12, atol=0)
    assert_close(parts.largest, whole.largest, rtol=1e-12, atol=0)


def test_a_row_that_has_nothing_to_mix_has_the_queue_alone_and_one_without_negatives_is_counted_out():
    nothing = mixed_scores(QUERY, QUEUE, mixture([(0, 1, 0.5)], counted=False), temperature=0.2)
    assert nothing.logsumexp.item() == -math.inf
    query = QUERY.clone().requires_grad_()
    nothing = mixed_scores(query, QUEUE, mixture([(0, 1, 0.5)], counted=False), temperature=0.2)
    rows = queue_contrast(query, KEY, QUEUE, temperature=0.2, mixed=nothing)
    assert rows.values.item() == pytest.approx(0.49959, abs=1e-5)
    rows.mean().backward()
    assert query.grad.isfinite().all()
    alone = queue_contrast(query, KEY, QUEUE[:0], temperature=0.2)
    assert (alone.counted.item(), alone.values.item()) == (False, 0.0)


def test_float32_agrees_with_float64():
    query, key, queue, mixes = drawn(4, 6, 9, 4, 3, 2)
    exact = mixed_scores(query, queue, mixes, temperature=0.2).logsumexp
    assert_close(mixed_scores(query.float(), queue.float(), mixes, temperature=0.2).logsumexp, exact.float())
    assert_close(
        queue_contrast(query.float(), key.float(), queue.float(), temperature=0.2).values,
        queue_contrast(query, key, queue, temperature=0.2).values.float(),
    )


def test_bad_arguments_are_said():
    with pytest.raises(ValueError, match=r"temperature is 0\.0"):
        queue_contrast(QUERY, KEY, QUEUE, temperature=0.0)
    with pytest.raises(ValueError, match="every row of query has its own key"):
        queue_contrast(QUERY, QUEUE, QUEUE, temperature=0.2)
