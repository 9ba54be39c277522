"""The regulariser that asks a classifier for the shares of its classes, against the figures of the specification."""

import math

import pytest
import torch

from likewise.losses import prior_matching

COUNTS = torch.tensor([60.0, 30.0, 10.0], dtype=torch.float64)
LOGITS = torch.tensor(
    [[0.3, 0.1, -0.2], [0.2, 0.1, 0.0], [-0.1, 0.2, 0.1], [0.25, 0.0, -0.1]], dtype=torch.float64
)  # fmt: skip


def test_the_figure_of_four_rows():
    assert prior_matching(LOGITS, COUNTS, temperature=0.1, power=1.1).item() == pytest.approx(0.001364, abs=1e-6)


def test_it_is_zero_at_the_prior_and_log_c_for_one_class_alone():
    at_prior = (0.1 * 1.1 * COUNTS.log())[None]
    assert prior_matching(at_prior, COUNTS, temperature=0.1, power=1.1).item() == pytest.approx(0, abs=1e-12)
    alone = torch.tensor([[100.0, 0.0, 0.0]], dtype=torch.float64)
    assert prior_matching(alone, torch.ones(3), temperature=0.1).item() == pytest.approx(math.log(3), rel=1e-9)


def test_the_gradient_is_that_of_finite_differences():
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: prior_matching(x, COUNTS, temperature=0.5, power=1.1), (logits,))


def test_what_it_cannot_take_is_said():
    with pytest.raises(ValueError, match="a count for each class"):
        prior_matching(LOGITS, COUNTS[:2], temperature=0.1)
    with pytest.raises(ValueError, match="smallest count 0"):
        prior_matching(LOGITS, torch.zeros(3), temperature=0.1)
