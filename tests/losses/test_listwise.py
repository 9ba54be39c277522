"""The loss over a row's own list: by a plain loop, and where it is least."""

import math

import pytest
import torch

from likewise.losses import listwise_distillation


def vectors(*shape):
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=-1)


def test_it_equals_a_plain_loop_over_the_lists():
    query, candidates, teacher = vectors(4, 3), vectors(4, 5, 3), torch.randn(4, 5, dtype=torch.float64)
    rows = listwise_distillation(query, candidates, teacher, teacher_temperature=2.0, temperature=0.1)
    for i in range(4):
        logits = [float(query[i] @ one) / 0.1 for one in candidates[i]]
        weights = [math.exp(float(t) / 2.0) for t in teacher[i]]
        wanted = sum(w * s for w, s in zip(weights, logits, strict=True)) / sum(weights)
        expected = math.log(sum(math.exp(s) for s in logits)) - wanted
        assert float(rows.values[i]) == pytest.approx(expected, rel=1e-9)
    assert rows.counted.all()


def test_a_student_that_agrees_loses_the_entropy_and_gets_no_gradient():
    query, candidates = vectors(3, 4).requires_grad_(), vectors(3, 6, 4)
    teacher = (query.detach()[:, None] * candidates).sum(-1) / 0.05
    rows = listwise_distillation(query, candidates, teacher)
    rows.mean().backward()
    shares = torch.softmax(teacher, 1)
    torch.testing.assert_close(rows.values.detach(), -(shares * shares.log()).sum(1), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(query.grad, torch.zeros_like(query), rtol=0, atol=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    query, candidates = vectors(2, 3).requires_grad_(), vectors(2, 3, 3).clone().requires_grad_()
    teacher = torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.0, 2.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda q, c: listwise_distillation(q, c, teacher, temperature=0.5).values, (query, candidates)
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"they are \[B, D\], \[B, P, D\] and \[B, P\]"):
        listwise_distillation(vectors(2, 3), vectors(2, 4, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="both are > 0"):
        listwise_distillation(vectors(2, 3), vectors(2, 4, 3), torch.zeros(2, 4), teacher_temperature=0.0)
