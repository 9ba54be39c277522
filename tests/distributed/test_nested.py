"""Nested objectives in several processes: the draw of one, the gradient of one."""

import pytest
import torch
import torch.distributed as dist

from likewise.losses import InfoNCE, Nested2D

ROWS = (5, 2)
"""Rows of each of two processes."""


def nested_step(variant: str, local: bool):
    """Draws of five steps, and the gradient of this process's rows (or of all rows)."""
    torch.manual_seed(7)
    layers = (0, 1, 2, 3) if variant in ("sbert", "ese") else (1, 2, 3)
    nested = Nested2D(InfoNCE(0.2), (4,) if variant == "ese" else (4, 8), layers, variant)
    torch.manual_seed(100 + (dist.get_rank() if local else 0))  # as training does: dropout differs between processes
    torch.rand(3 if local else 1)
    draws = []
    for _ in range(5):
        draws.append(nested.draw())
        nested.after_step()
    draw = nested.draw()
    random = torch.Generator().manual_seed(0)
    every = [torch.randn(sum(ROWS), len(draw.layers), 16, generator=random, dtype=torch.float64) for _ in range(2)]
    rank = dist.get_rank() if local else 0
    mine = slice(sum(ROWS[:rank]), sum(ROWS[: rank + 1])) if local else slice(None)
    query, key = (vectors[mine].clone().requires_grad_() for vectors in every)
    terms = nested({"query": query, "key": key}, draw)
    sum(terms.values()).backward()
    return draws, {name: term.item() for name, term in terms.items()}, query.grad, key.grad


@pytest.mark.parametrize("variant", ["paper", "sbert", "ese"])
def test_two_processes_draw_and_learn_what_one_does(processes, variant):
    draws, terms, *gradients = nested_step(variant, False)
    results = processes.run(nested_step, variant, True, num_processes=2)
    for other, _, *_ in results:
        assert other == draws
    for name, value in terms.items():  # each process has its part; the mean over processes is the loss
        assert sum(result[1][name] for result in results) / 2 == pytest.approx(value, rel=1e-9)
    for place, gradient in enumerate(gradients):
        found = torch.cat([result[2 + place] for result in results]) / 2
        torch.testing.assert_close(found, gradient, rtol=1e-7, atol=1e-12)  # a decomposition of summed products (ese)
