"""Shares of gradients: right, and without a trace in what is trained."""

import math

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from likewise.geometry import gradient_shares
from likewise.losses import info_nce
from processes import Processes


class Tower(nn.Module):
    """A tower with dropout that can be run under activation checkpointing, as micro-batches are."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 3))
        self.again = again

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.layers, x, use_reentrant=False) if self.again else self.layers(x)


def terms_of(tower: Tower, x: torch.Tensor) -> dict[str, torch.Tensor]:
    y = nn.functional.normalize(tower(x), dim=1)
    return {
        "info_nce": info_nce(y, y.flip(0), temperature=0.1, symmetric=True, tile=3, mask_mod=all_pairs).mean(),
        "small": 0.1 * y.square().mul(torch.arange(3)).sum(),
    }


def all_pairs(row, column):
    return (row.index == row.index) & (column.index == column.index)


def test_shares_are_those_of_the_gradients_by_hand():
    weight = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    unused = torch.ones(2, requires_grad=True)
    fixed = torch.ones(2)
    terms = {"up": 3 * weight[0] + 4 * weight[1], "down": -2 * weight[0], "none": torch.tensor(5.0)}
    found = gradient_shares(terms, [weight, unused, fixed])
    assert [found[name].norm for name in terms] == pytest.approx([5, 2, 0])
    assert [found[name].share for name in terms] == pytest.approx([5 / 7, 2 / 7, 0])
    length = math.hypot(1, 4)  # the whole gradient is (1, 4, 0)
    assert [found[name].cosine for name in terms] == pytest.approx([19 / (5 * length), -1 / length, 0])


@pytest.mark.parametrize("again", [False, True])
def test_nothing_of_training_changes(again):
    """Same weights, gradients and random numbers as without looking, to the bit."""

    def train(look: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
        torch.manual_seed(0)
        tower = Tower(again)
        optimizer = torch.optim.AdamW(tower.parameters(), lr=0.01)
        for _ in range(3):
            terms = terms_of(tower, torch.randn(8, 4))
            if look:
                assert all(p.grad is None for p in tower.parameters())
                found = gradient_shares(terms, tower.parameters())
                assert all(p.grad is None for p in tower.parameters())
                assert sum(share.share for share in found.values()) == pytest.approx(1)
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return [p.detach() for p in tower.parameters()], torch.get_rng_state()

    (looked, state), (plain, expected) = train(True), train(False)
    assert all(torch.equal(a, b) for a, b in zip(looked, plain, strict=True))
    assert torch.equal(state, expected)


def of_rows(rows: torch.Tensor) -> dict[str, tuple[float, ...]]:
    """What this process finds with its share of the rows, losses averaged as training does."""
    import torch.distributed as dist

    weight = torch.arange(1.0, 4.0).requires_grad_()
    world, rank = dist.get_world_size(), dist.get_rank()
    own = rows[rank::world]
    scale = world / len(rows)
    scores = own @ weight
    terms = {"square": scale * scores.square().sum(), "line": scale * scores.sum()}
    return {name: tuple(share) for name, share in gradient_shares(terms, [weight]).items()}


def test_two_processes_find_what_one_finds(tmp_path):
    rows = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    group = Processes(tmp_path, most=2)
    try:
        (one,) = group.run(of_rows, rows, num_processes=1)
        for found in group.run(of_rows, rows, num_processes=2):
            for name in one:
                assert found[name] == pytest.approx(one[name], rel=1e-5)
    finally:
        group.stop()


def test_bad_input():
    weight = torch.ones(2, requires_grad=True)
    for terms, weights in (({}, [weight]), ({"a": weight.sum()}, [torch.ones(2)]), ({"a": weight}, [weight])):
        with pytest.raises(ValueError, match="gradient_shares: "):
            gradient_shares(terms, weights)
