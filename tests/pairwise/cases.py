"""Problems for the engine, drawn at random, and how results and gradients are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor


@dataclass
class Case:
    """Two sets of rows and the options of a call; ``leaves`` are the tensors that receive a gradient."""

    query: Tensor
    key: Tensor
    options: dict[str, Any]
    leaves: dict[str, Tensor]
    seed: int = 0
    over: str = field(default="keys")


def normal(*shape: int, seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale
    return values.to(dtype)


def leaf(*shape: int, **options: Any) -> Tensor:
    return normal(*shape, **options).requires_grad_()


def not_multiple_of_three(row, column):
    """Leave out a third of the pairs, all of row 2 and all of column 1."""
    return ((row.index + 2 * column.index) % 3 != 0) & (row.index != 2) & (column.index != 1)


def everything_mod(score, row, column):
    """Use each kind of tensor: per row, per column with further axes, indices."""
    return score * torch.exp(row[0]) + (column[0] * row[1]).sum(-1) + 0.5 * (row.index == column.index)


@st.composite
def cases(draw: st.DrawFn, *, mods: bool = False, dtype: torch.dtype = torch.float64) -> Case:
    """Draw shapes, scale (number, scalar tensor, per row; small or large), mask and, with ``mods``, a score_mod."""
    num_rows, num_columns, dim = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**20))
    size = draw(st.sampled_from([0.1, 1.0, 30.0]))
    query = leaf(num_rows, dim, seed=seed, scale=size, dtype=dtype)
    key = leaf(num_columns, dim, seed=seed + 1, dtype=dtype)
    leaves = {"query": query, "key": key}
    options: dict[str, Any] = {}
    kind = draw(st.sampled_from(["none", "number", "scalar", "rows"]))
    if kind == "number":
        options["scale"] = 1.7
    elif kind != "none":
        shape = (num_rows,) if kind == "rows" else ()
        options["scale"] = leaves["scale"] = normal(*shape, seed=seed + 2, dtype=dtype).abs().add(0.3).requires_grad_()
    if draw(st.booleans()):
        options["mask_mod"] = not_multiple_of_three
    if mods:
        leaves["row0"] = leaf(num_rows, seed=seed + 3, scale=0.3, dtype=dtype)
        leaves["row1"] = leaf(num_rows, 2, seed=seed + 4, dtype=dtype)
        leaves["column0"] = leaf(num_columns, 2, seed=seed + 5, dtype=dtype)
        options.update(score_mod=everything_mod, rows=(leaves["row0"], leaves["row1"]), columns=(leaves["column0"],))
    over = draw(st.sampled_from(["keys", "queries", "both"]))
    return Case(query, key, options, leaves, seed, over)


tiles = st.one_of(st.none(), st.integers(1, 10), st.tuples(st.integers(1, 10), st.integers(1, 10)))


def results_and_gradients(
    function: Callable[..., Any], case: Case, **options: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """Call a reduction and differentiate a random combination of its finite results."""
    found = function(case.query, case.key, over=case.over, **case.options, **options)
    results = list(found) if isinstance(found, tuple) else [found]
    total = 0.0
    for number, result in enumerate(results):
        weight = normal(*result.shape, seed=case.seed + 10 + number).to(result.dtype)
        total = total + torch.where(result > -torch.inf, result * weight, 0.0).sum()
    return results, list(torch.autograd.grad(total, list(case.leaves.values())))


def assert_same(
    found: tuple[list[Tensor], list[Tensor]], expected: tuple[list[Tensor], list[Tensor]], **tolerance: Any
):
    """Compare results and gradients; the gradients of one leaf are compared relative to the largest of them."""
    for x, y in zip(found[0], expected[0], strict=True):
        torch.testing.assert_close(x, y.to(x.dtype), **tolerance)
    for x, y in zip(found[1], expected[1], strict=True):
        assert x.isfinite().all()
        # Where terms cancel, single precision has no digits left of a sum that is a thousandth of them.
        largest = max(float(y.abs().max()), 1e-2 if x.dtype == torch.float32 else 1e-30)
        torch.testing.assert_close(x / largest, y.to(x.dtype) / largest, **tolerance)
