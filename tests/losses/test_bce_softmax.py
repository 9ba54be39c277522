"""The binary cross-entropy of a masked softmax: numbers worked out by hand, a plain loop, the mask."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.losses import SimilarityMask, bce_softmax, info_nce

COSINES = [[0.9, 0.2, 0.1, 0.3], [0.4, 0.8, 0.0, -0.1]]
"""Of two queries with two keys and two negatives."""
FROZEN = [[0.99, 0.3, 0.2, 0.97], [0.5, 0.98, 0.1, 0.0]]
"""The same pairs by a frozen encoder."""


def by_hand(temperature: float, threshold: float = 0.95, loss=bce_softmax):
    """The loss of the two rows above, and the gradient of the cosines from the row sums."""
    cosines = torch.tensor(COSINES, dtype=torch.float64, requires_grad=True)
    candidates, judged = torch.eye(4, dtype=torch.float64), torch.tensor(FROZEN, dtype=torch.float64)
    rows = loss(
        cosines, candidates[:2], negatives=candidates[2:], temperature=temperature,
        mask_mod=SimilarityMask(threshold), rows=(judged,), columns=(candidates,),
    )  # fmt: skip
    (gradient,) = torch.autograd.grad(rows.values.sum(), cosines, retain_graph=True)
    return rows, gradient


def test_two_rows_worked_out_by_hand():
    rows, gradient = by_hand(1.0)
    assert (4 * rows.values).tolist() == pytest.approx([1.49427309, 1.60640338], abs=1e-8)
    assert rows.mean().item() == pytest.approx(0.38758456, abs=1e-8)
    assert (4 * gradient[0]).tolist() == pytest.approx([-0.87783265, 0.32823786, 0.29099022, 0.0], abs=1e-8)
    assert (4 * gradient[1]).tolist() == pytest.approx([0.42238794, -0.90869377, 0.25737359, 0.22893224], abs=1e-8)
    assert gradient[0, 3] == 0


def test_two_rows_at_the_usual_temperature():
    assert by_hand(0.05)[0].mean().item() == pytest.approx(8.41233418e-5, rel=1e-8)


def test_the_masked_softmax_of_the_same_rows():
    rows, gradient = by_hand(1.0, loss=info_nce)
    assert rows.values.tolist() == pytest.approx([0.66573193, 0.92672359], abs=1e-8)
    assert rows.mean().item() == pytest.approx(0.79622776, abs=1e-8)
    assert gradient[0, 3] == 0
    assert by_hand(0.05, loss=info_nce)[0].mean().item() == pytest.approx(1.68239079e-4, rel=1e-8)


def unit(*shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.sampled_from([0, 1, 4]), st.sampled_from([0.1, 1.0]), st.integers(0, 2**20))
def test_rows_equal_a_plain_loop(num_rows, num_negatives, temperature, seed):
    query, key, negatives = (
        unit(num_rows, 3, seed=seed),
        unit(num_rows, 3, seed=seed + 1),
        unit(num_negatives, 3, seed=7),
    )
    judge = unit(num_rows + num_negatives, 2, seed=seed + 2)
    rows = bce_softmax(
        query, key, negatives=negatives, temperature=temperature, tile=2,
        mask_mod=SimilarityMask(0.5), rows=(judge[:num_rows],), columns=(judge,),
    )  # fmt: skip
    for i in range(num_rows):
        logits = []
        for j, candidate in enumerate([*key, *negatives]):
            kept = i == j or float(judge[i] @ judge[j]) <= 0.5
            logits.append(float(query[i] @ candidate) / temperature if kept else 0.0)
        total = math.fsum(map(math.exp, logits))
        p = [math.exp(logit) / total for logit in logits]
        others = math.fsum(math.log(math.fsum(math.exp(x) for k, x in enumerate(logits) if k != j) / total)
                           for j in range(len(p)) if j != i)  # fmt: skip
        assert rows.values[i].item() == pytest.approx(-(math.log(p[i]) + others) / len(p), rel=1e-9)
    assert rows.counted.all()


def test_the_gradient_is_that_of_finite_differences():
    query, key, negatives = (unit(4, 3, seed=seed).requires_grad_() for seed in (1, 2, 3))
    judge = unit(8, 2, seed=4)

    def loss(query, key, negatives):
        return bce_softmax(
            query, key, negatives=negatives, temperature=0.3,
            mask_mod=SimilarityMask(0.4), rows=(judge[:4],), columns=(judge,),
        ).values  # fmt: skip

    assert torch.autograd.gradcheck(loss, (query, key, negatives))


def test_judging_vectors_that_cross_nothing_change_nothing():
    query, key = unit(5, 3, seed=1).float().requires_grad_(), unit(5, 3, seed=2).float()
    judge = unit(5, 2, seed=3).float()
    found = []
    for vectors in (judge, judge * 0.999):
        rows = bce_softmax(
            query, key, temperature=0.1, mask_mod=SimilarityMask(0.9), rows=(vectors,), columns=(vectors,)
        )
        found.append((rows.values.detach(), torch.autograd.grad(rows.mean(), query)[0]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_negative_in_place_of_the_positive_stays_finite_in_single_precision():
    query = torch.tensor([[1.0, 0.0]], requires_grad=True)
    rows = bce_softmax(query, torch.tensor([[-1.0, 0.0]]), negatives=torch.tensor([[1.0, 0.0]]), temperature=0.05)
    rows.mean().backward()
    assert rows.values.item() == pytest.approx(40.0, rel=1e-6)  # (40 + 40) / 2; the released code: infinity
    assert query.grad[0, 0].item() == pytest.approx(2 * 20, rel=1e-6)  # 2 p / (2 tau) times 2, the cosines' gap


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"temperature": 0.0}, "bce_softmax: temperature is 0.0; it is > 0"),
        ({"key": torch.eye(3)[:2]}, r"bce_softmax: query is \[2, 2\] but key is \[2, 3\]"),
        ({"negatives": torch.eye(3)}, "."),
    ],
)
def test_bad_input_is_named(change, says):
    given = {"key": torch.eye(2), "temperature": 1.0, **change}
    with pytest.raises((ValueError, RuntimeError), match=says):
        bce_softmax(torch.eye(2), given.pop("key"), **given)
