"""What operands are multiplied in: bfloat16 accumulates in float32, float64 stays, autocast changes nothing else."""

import pytest
import torch

from likewise.pairwise import expectation, logsumexp, operand_values, operands, reference, softmax_terms, sum, topk
from pairwise.cases import leaf, normal

ROUNDED = {"rtol": 2e-2, "atol": 2e-3}


def unit(*shape, seed):
    return torch.nn.functional.normalize(normal(*shape, seed=seed, dtype=torch.float32), dim=-1)


@pytest.fixture(params=["fast", "slow"])
def processor(request, monkeypatch):
    """A processor whose bfloat16 products are fast, and one that is better off with widened operands."""
    monkeypatch.setattr(operands, "_rounding_is_fast", lambda device: request.param == "fast")


@pytest.mark.parametrize("scale", [5.0, 50.0, 100.0])
@pytest.mark.parametrize("tile", [None, (16, 24)])
@pytest.mark.parametrize("per_row", [False, True])
def test_bfloat16_is_float32_on_rounded_operands(processor, scale, tile, per_row):
    query, key = unit(40, 64, seed=0), unit(50, 64, seed=1)
    key[:40] += query  # some pairs have large scores
    key = torch.nn.functional.normalize(key, dim=-1)
    scales = torch.full((40,), scale) if per_row else torch.tensor(scale)
    leaves = [x.requires_grad_() for x in (query, key, scales)]
    picked = torch.arange(40)
    terms = softmax_terms(query, key, scale=scales, over="both", picked=picked, precision="bf16", tile=tile)
    assert all(x.dtype == torch.float32 for x in terms)
    weights = [normal(len(x), seed=7 + seed, dtype=torch.float32) for seed, x in enumerate(terms)]
    found = torch.autograd.grad(terms, leaves, weights)

    rounded = [x.detach().bfloat16().double().requires_grad_() for x in (query, key)]
    double = scales.detach().double().requires_grad_()
    score = rounded[0] @ rounded[1].T * (double[:, None] if per_row else double)
    dense = score.logsumexp(1), score.logsumexp(0), score[picked, picked]
    for x, y in zip(terms, dense, strict=True):  # much nearer than the operands: products keep 16 digits, not 8
        torch.testing.assert_close(x.double(), y, rtol=2e-4, atol=2e-5 * scale)
    expected = torch.autograd.grad(dense, [*rounded, double], [weight.double() for weight in weights])
    for x, y in zip(found, expected, strict=True):
        assert torch.linalg.vector_norm(x - y) < 1e-2 * torch.linalg.vector_norm(y)


def test_auto_follows_autocast_and_operands():
    query, key = unit(9, 16, seed=0), unit(9, 16, seed=1)
    whole, rounded = logsumexp(query, key, scale=20.0), logsumexp(query, key, scale=20.0, precision="bf16")
    assert not torch.equal(whole, rounded)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(logsumexp(query, key, scale=20.0), rounded)
        assert torch.equal(logsumexp(query, key, scale=20.0, precision="fp32"), whole)
        double = logsumexp(query.double(), key.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double, torch.logsumexp(query.double() @ key.double().T, 1), rtol=1e-12, atol=0)
    assert torch.equal(logsumexp(query.bfloat16(), key.bfloat16(), scale=20.0), rounded)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_operands_give_single_results_and_half_gradients(dtype):
    query, key = (unit(6, 8, seed=seed).to(dtype).requires_grad_() for seed in (0, 1))
    for options in ({}, {"score_mod": lambda score, row, column: score + 0.0}):
        found = logsumexp(query, key, scale=10.0, precision="fp32", **options)
        assert found.dtype == torch.float32
        score = (query.double() @ key.double().T) * 10
        torch.testing.assert_close(found.double(), score.logsumexp(1), rtol=1e-5, atol=1e-5)
        for x, y in zip(
            torch.autograd.grad(found.sum(), (query, key)),
            torch.autograd.grad(score.logsumexp(1).sum(), (query, key)),
            strict=True,
        ):
            assert x.dtype == dtype
            torch.testing.assert_close(x, y, **ROUNDED)


def test_autocast_leaves_functions_of_scores_alone():
    """Neither forward nor backward pass of a function computes in bfloat16 behind the caller's back."""
    query, key, weight = leaf(4, 3, seed=0, dtype=torch.float32), leaf(4, 3, seed=1, dtype=torch.float32), torch.eye(4)

    def mod(score, row, column):
        return score @ weight if len(score) == 4 else score

    expected = torch.autograd.grad(logsumexp(query, key, score_mod=mod).sum(), (query, key))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(logsumexp(query, key, score_mod=mod, precision="fp32").sum(), (query, key))
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_all_reductions_take_bfloat16(processor):
    query, key = unit(8, 32, seed=0), unit(90, 32, seed=1)
    rounded = [x.bfloat16().double() for x in (query, key)]
    for function, dense, options in (
        (sum, reference.sum, {"value": torch.tanh}),
        (expectation, reference.expectation, {"value": torch.tanh}),
    ):
        found = function(query, key, precision="bf16", scale=10.0, **options)
        torch.testing.assert_close(found.double(), dense(*rounded, scale=10.0, **options), rtol=1e-3, atol=1e-3)
    values, indices = topk(query, key, 5, precision="bf16", tile=(3, 64))
    expected = (rounded[0] @ rounded[1].T).topk(5)
    torch.testing.assert_close(values.double(), expected.values, rtol=1e-4, atol=1e-4)
    assert (indices == expected.indices).float().mean() > 0.9


def test_operand_values_are_what_is_multiplied():
    x = leaf(5, 3, seed=0, dtype=torch.float32)
    values = operand_values(x, rounded=True)
    assert torch.equal(values, x.detach().bfloat16().float())
    values.sum().backward()
    assert torch.equal(x.grad, torch.ones(5, 3))
    assert operand_values(x, rounded=False) is x
    assert operand_values(x.detach().half(), rounded=False).dtype == torch.float32


def test_unknown_and_impossible_precisions():
    x = torch.eye(2)
    with pytest.raises(ValueError, match="precision is 'fp16'; accepted are"):
        logsumexp(x, x, precision="fp16")
    with pytest.raises(ValueError, match="'bf16' but an operand is float64"):
        logsumexp(x.double(), x.double(), precision="bf16")


@pytest.mark.parametrize("over", ["keys", "both"])
def test_rounded_operands_keep_the_gradient_of_rows_that_are_nearly_learned(over):
    """A row whose own key has nearly all the weight has a small gradient; the error must be small relative to it."""
    made = torch.randn(3000, 64, generator=torch.Generator().manual_seed(0))
    query = torch.nn.functional.normalize(made[:1500], dim=1)
    key = torch.nn.functional.normalize(query + 0.1 * made[1500:], dim=1)
    grads = []
    for dtype, precision in ((torch.float32, "bf16"), (torch.float64, "auto")):
        leaves = [x.to(dtype).requires_grad_() for x in (query, key)]
        terms = softmax_terms(*leaves, over=over, picked=torch.arange(1500), scale=20.0, precision=precision, tile=512)
        assert (terms.picked - terms.over_keys).exp().mean() > 0.9
        loss = (terms.over_keys - terms.picked).mean()
        if over == "both":
            loss = loss + (terms.over_queries - terms.picked).mean()
        grads.append(torch.autograd.grad(loss, leaves))
    for rounded, exact in zip(*grads, strict=True):
        assert torch.linalg.norm(rounded.double() - exact) < 0.01 * torch.linalg.norm(exact)
