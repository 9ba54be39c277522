"""The loss of a small problem, all pairs held: the same numbers as the engine's, by fewer steps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from likewise import pairwise
from likewise.pairwise import whole_cross_entropy


def vectors(num_rows: int, dim: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    made = torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.to(dtype).requires_grad_()


def scales(num_rows: int, kind: str) -> torch.Tensor | float:
    if kind == "number":
        return 2.5
    shape = () if kind == "scalar" else (num_rows,)
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return (drawn + 0.5).requires_grad_()


@settings(deadline=None, max_examples=60)
@given(
    num_rows=st.integers(1, 9),
    dim=st.integers(1, 6),
    seed=st.integers(0, 999),
    kind=st.sampled_from(["number", "scalar", "per row"]),
    symmetric=st.booleans(),
)
def test_values_and_gradients_are_those_of_the_engine(num_rows, dim, seed, kind, symmetric):
    query, key = vectors(num_rows, dim, seed), vectors(num_rows, dim, seed + 1)
    scale = scales(num_rows, kind)
    own = torch.arange(num_rows)
    terms = pairwise.softmax_terms(query, key, over="both" if symmetric else "keys", picked=own, scale=scale)
    expected = terms.over_keys - terms.picked
    if symmetric:
        expected = (expected + terms.over_queries - terms.picked) / 2
    found = whole_cross_entropy(query, key, scale=scale, symmetric=symmetric)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    leaves = [x for x in (query, key, scale) if isinstance(x, torch.Tensor)]
    weight = torch.linspace(-1, 2, num_rows, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(found @ weight, leaves), torch.autograd.grad(expected @ weight, leaves),
        rtol=1e-9, atol=1e-9,
    )  # fmt: skip


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("kind", ["number", "scalar", "per row"])
def test_gradients_by_differences(kind, symmetric):
    query, key, scale = vectors(5, 3, 0), vectors(5, 3, 1), scales(5, kind)
    assert torch.autograd.gradcheck(
        lambda q, k, s: whole_cross_entropy(q, k, scale=s, symmetric=symmetric), (query, key, scale)
    )


def test_what_needs_no_gradient_gets_none():
    query, key = vectors(4, 3, 0), vectors(4, 3, 1).detach()
    whole_cross_entropy(query, key, scale=3.0).sum().backward()
    assert query.grad is not None
    assert key.grad is None


def test_a_second_derivative_is_refused():
    query = vectors(4, 3, 0)
    (first,) = torch.autograd.grad(
        whole_cross_entropy(query, query.detach(), scale=1.0).sum(), query, create_graph=True
    )
    with pytest.raises(RuntimeError, match="gradient of a gradient"):
        first.sum().backward()


def test_autocast_does_not_round_what_is_compared():
    query, key = vectors(8, 4, 0, torch.float32), vectors(8, 4, 1, torch.float32)
    expected = F.cross_entropy(20 * query @ key.T, torch.arange(8), reduction="none")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = whole_cross_entropy(query, key, scale=20.0)
    torch.testing.assert_close(found, expected)
