"""Labels and a teacher's scores, weighted: by hand, by plain loops, at the ends of alpha, with labels missing."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.heads import PairHead
from likewise.losses import DistilledPairLoss, PairTask, distillation

BINARY = PairTask.of("binary")
CLASSES = PairTask.of("classes", ("a", "b", "c"))
REGRESSION = PairTask.of("regression")


def total(terms) -> torch.Tensor:
    return sum(rows.mean() for rows in terms.values())


def test_two_pairs_worked_out_by_hand():
    scores, target = torch.tensor([[0.5], [-1.0]]), torch.tensor([1.0, 0.0])
    teacher = torch.tensor([[2.0], [-3.0]])
    assert float(distillation(scores, teacher).mean()) == pytest.approx(3.125)
    terms = DistilledPairLoss(BINARY, 0.5)(scores, target, teacher_scores=teacher)
    assert list(terms) == ["task", "distillation"]
    assert float(total(terms)) == pytest.approx(1.75933467, abs=1e-7)


def test_three_classes_worked_out_by_hand():
    scores, teacher = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[2.0, 1.0, 0.0]])
    terms = DistilledPairLoss(CLASSES, 0.5)(scores, torch.tensor([0.0]), teacher_scores=teacher)
    assert float(total(terms)) == pytest.approx(1.70380298, abs=1e-7)


@given(task=st.sampled_from([BINARY, CLASSES, REGRESSION]), size=st.integers(1, 5), alpha=st.floats(0, 1))
def test_it_equals_a_plain_loop(task, size, alpha):
    generator = torch.Generator().manual_seed(size)
    width = task.num_scores
    scores = torch.randn(size, width, generator=generator, dtype=torch.float64)
    teacher = torch.randn(size, width, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 2, (size,), generator=generator).double()
    expected = 0.0
    for i in range(size):
        s, t, y = scores[i].tolist(), teacher[i].tolist(), float(target[i])
        if task is BINARY:
            own = math.log1p(math.exp(-s[0])) if y else math.log1p(math.exp(s[0]))
        elif task is CLASSES:
            own = math.log(sum(math.exp(x) for x in s)) - s[int(y)]
        else:
            own = (s[0] - y) ** 2
        expected += (1 - alpha) * own + alpha * sum((x - z) ** 2 for x, z in zip(s, t, strict=True))
    got = total(DistilledPairLoss(task, alpha)(scores, target, teacher_scores=teacher))
    assert float(got) == pytest.approx(expected / size, rel=1e-9)


def test_at_the_ends_of_alpha_one_side_is_not_looked_at():
    scores = torch.randn(4, 1, requires_grad=True)
    target, teacher = torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.randn(4, 1)
    nothing = torch.full((4, 1), math.nan)
    labels = DistilledPairLoss(BINARY, 0.0)
    assert torch.equal(
        total(labels(scores, target, teacher_scores=nothing)), total(labels(scores, target, teacher_scores=teacher))
    )
    assert list(labels(scores, target)) == ["task"]
    taught = DistilledPairLoss(BINARY, 1.0)
    assert torch.equal(total(taught(scores, target, teacher_scores=teacher)),
                       total(taught(scores, None, teacher_scores=teacher)))  # fmt: skip


def test_scores_like_the_teachers_lose_nothing_and_the_gradient_is_the_distance():
    scores = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    loss = DistilledPairLoss(CLASSES, 1.0)
    same = total(loss(scores, None, teacher_scores=scores.detach().clone()))
    same.backward()
    assert same == 0
    assert torch.equal(scores.grad, torch.zeros_like(scores))
    scores.grad = None
    teacher = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    terms = DistilledPairLoss(CLASSES, 0.3)(scores, torch.zeros(4), teacher_scores=teacher)
    terms["distillation"].mean().backward()
    assert_close(scores.grad, 0.3 * 2 * (scores - teacher).detach() / 4, rtol=1e-9, atol=0)
    assert teacher.grad is None


@pytest.mark.parametrize("task", [BINARY, CLASSES, REGRESSION])
def test_the_gradient_is_that_of_finite_differences(task):
    generator = torch.Generator().manual_seed(5)
    scores = torch.randn(5, task.num_scores, generator=generator, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, task.num_scores, generator=generator, dtype=torch.float64)
    target, has_label = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0]), torch.tensor([True, True, False, True, False])
    loss = DistilledPairLoss(task, 0.5)
    assert torch.autograd.gradcheck(
        lambda s: total(loss(s, target, has_label=has_label, teacher_scores=teacher)), (scores,)
    )


def test_pairs_without_a_label_count_for_the_teacher_alone():
    scores, teacher = torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [7.0]])
    has_label = torch.tensor([True, False])
    terms = DistilledPairLoss(REGRESSION, 0.5)(
        scores, torch.tensor([3.0, 0.0]), has_label=has_label, teacher_scores=teacher
    )
    assert float(terms["task"].mean()) == pytest.approx(0.5 * 4)  # over the one that has a label
    assert float(terms["distillation"].mean()) == pytest.approx(0.5 * (1 + 4) / 2)
    none = DistilledPairLoss(REGRESSION, 0.5)(
        scores.requires_grad_(), torch.zeros(2), has_label=torch.zeros(2, dtype=torch.bool), teacher_scores=teacher
    )
    zero = none["task"].mean_or_zero()
    zero.backward()
    assert zero == 0
    assert torch.equal(scores.grad, torch.zeros(2, 1))


def test_what_does_not_fit_is_refused():
    scores = torch.zeros(2, 1)
    with pytest.raises(InputError, match=r"alpha is 1.5; .* from 0 .labels alone. to 1"):
        DistilledPairLoss(BINARY, 1.5)
    with pytest.raises(ValueError, match=r"scores are .2, 1., but the task has 3 a pair"):
        DistilledPairLoss(CLASSES)(scores, torch.zeros(2))
    with pytest.raises(ValueError, match="target is not given"):
        DistilledPairLoss(BINARY)(scores, None)
    with pytest.raises(ValueError, match="teacher_scores are not given"):
        DistilledPairLoss(BINARY)(scores, torch.zeros(2))
    with pytest.raises(ValueError, match=r"scores are \[2, 1\] but teacher_scores \[3, 1\]"):
        distillation(scores, torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"teacher_scores \[2, 2\]"):
        distillation(scores, torch.zeros(2, 2))


OFFICIAL_SCORES = [
    -1.57899619,
    -0.69894006,
    -1.32230532,
    -0.57024619,
    -1.4547566,
    -0.61431314,
    -1.34314853,
    -0.47599401,
]
OFFICIAL_TOTAL = 2.92560181
OFFICIAL_GRADIENT = [0.15070741, 0.4005375, -0.06032166]
OFFICIAL_SUM_OF_WEIGHT_GRADIENTS = 15.45421109
"""Of the inputs below, by microsoft/Distilled-Sentence-Embedding at 7e3e87bf: ``CombineSiameseHead(3, [5, 2])``
of ``models/dse_siamese_classifier.py``, and the loss of ``train/trainers/dse_trainer.py`` with cross-entropy and a
distillation coefficient of 0.4. The gradient is that of the first vector of the first pair."""


def test_head_and_loss_are_those_of_the_official_code():
    def wave(rows, columns, step):
        return torch.sin(torch.arange(rows * columns, dtype=torch.float64) * step + 0.3).view(rows, columns)

    first, second, teacher = wave(4, 3, 0.7).requires_grad_(), wave(4, 3, 1.1), 2 * wave(4, 2, 0.9)
    head = PairHead(3, 2, dims=(5,)).double()
    with torch.no_grad():
        for i, weight in enumerate(head.parameters()):
            weight.copy_(0.5 * torch.cos(torch.arange(weight.numel(), dtype=torch.float64) * 0.37 + i).view_as(weight))
    scores = head(first, second)
    loss = DistilledPairLoss(PairTask.of("classes", ("no", "yes")), alpha=0.4)
    terms = loss(scores, torch.tensor([0.0, 1.0, 1.0, 0.0]), teacher_scores=teacher)
    loss_of_both = total(terms)
    loss_of_both.backward()
    assert scores.flatten().tolist() == pytest.approx(OFFICIAL_SCORES, abs=1e-8)
    assert loss_of_both.item() == pytest.approx(OFFICIAL_TOTAL, abs=1e-8)
    assert first.grad[0].tolist() == pytest.approx(OFFICIAL_GRADIENT, abs=1e-8)
    found = sum(weight.grad.abs().sum().item() for weight in head.parameters())
    assert found == pytest.approx(OFFICIAL_SUM_OF_WEIGHT_GRADIENTS, abs=1e-7)
