"""Harder negatives than there are: mixtures of a row's hardest keys with each other, and with the row itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from likewise.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

__all__ = ["HardNegativeMixer", "Mixture"]


@dataclass(frozen=True)
class Mixture:
    """What the synthetic negatives of each row are mixed of; the vectors themselves are not stored.

    A row's negatives of the first kind are ``unit(share * key[first] + (1 - share) * key[second])``, those of the
    second ``unit(query_share * query + (1 - query_share) * key[single])``.

    Args:
        first: A key of each pair, ``[B, s]``, int64.
        second: The other one, ``[B, s]``.
        share: Weight of the first, ``[B, s]``, in [0, 1).
        single: A key that is mixed with the query, ``[B, s']``.
        query_share: Weight of the query, ``[B, s']``, in [0, 1/2).
        counted: Whether a row has any key to mix, ``[B]``.
    """

    first: Int[Tensor, "B s"]
    second: Int[Tensor, "B s"]
    share: Float[Tensor, "B s"]
    single: Int[Tensor, "B t"]
    query_share: Float[Tensor, "B t"]
    counted: Bool[Tensor, "B"]


class HardNegativeMixer(nn.Module):
    """Draws which of a row's hardest keys are mixed, and how much of each.

    What is drawn is a function of (seed, step, number of the row): the same whatever process holds the row and whatever
    stands beside it in the batch, and again after resuming. The seed is drawn from PyTorch's generator.

    Args:
        hardest: Keys that are drawn from, ``N >= 1``.
        pairs: Mixtures of two keys for each row, ``s >= 0``.
        with_query: Mixtures of the row and a key, ``s' >= 0``.
        max_share: Least upper bound of the row's own weight, in (0, 1/2]: the key's is never the smaller.

    Raises:
        InputError: A value is outside its range.

    State: ``seed`` and ``step``, the number of draws so far.
    Cost: O(B (s + s')) memory.
    Source: Kalantidis et al. 2020 (MoCHi), arXiv 2010.01028, sections 4.1 and 4.2.

    Example:
        >>> mixer = HardNegativeMixer(2, pairs=1, with_query=0)
        >>> mixture = mixer(torch.tensor([[7, 4]]), torch.tensor([0]))
        >>> sorted([mixture.first.item(), mixture.second.item()])
        [4, 7]
    """

    seed: Tensor
    step: Tensor

    def __init__(self, hardest: int, pairs: int, with_query: int, max_share: float = 0.5) -> None:
        super().__init__()
        if hardest < 1:
            raise InputError(f"hardest is {hardest}; at least 1 key is needed to mix (usual: 64 to 1024).")
        if pairs < 0 or with_query < 0:
            raise InputError(f"pairs is {pairs} and with_query is {with_query}; both are 0 (none) or more mixtures.")
        if not 0 < max_share <= 0.5:
            raise InputError(
                f"query_share is {max_share}; it is greater than 0 and at most 0.5, so that a negative is more of a "
                "key than of the row itself."
            )
        self.hardest, self.pairs, self.with_query, self.max_share = hardest, pairs, with_query, max_share
        self.register_buffer("seed", torch.randint(2**62, ()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, hardest: Int[Tensor, "B N"], row_index: Int[Tensor, "B"]) -> Mixture:
        """Draw the mixtures of one step.

        Args:
            hardest: The hardest keys of each row, as ``pairwise.topk`` returns them: -1 where there are no more.
            row_index: Number of each row, >= 0.

        Returns:
            The mixtures. The two keys of a pair are different ones, unless there is only one.
        """
        device, s, t = hardest.device, self.pairs, self.with_query
        root = (int(self.seed), int(self.step))
        self.step += 1
        drawn = [np.random.default_rng([*root, row]).random(3 * s + 2 * t) for row in row_index.tolist()]
        table = torch.from_numpy(np.stack(drawn) if drawn else np.zeros((0, 3 * s + 2 * t)))
        one, other, share, single, own = table.split([s, s, s, t, t], dim=1)
        available = (hardest >= 0).sum(1).cpu()[:, None]
        first = _place(one, available)
        second = _place(other, available - 1)
        second = torch.where(available > 1, second + (second >= first).long(), 0)  # any but the first, all alike
        places = torch.cat([first, second, _place(single, available)], dim=1).to(device)
        first, second, third = hardest.clamp(min=0).gather(1, places).split([s, s, t], dim=1)
        counted = available[:, 0].to(device) > 0
        return Mixture(first, second, share.to(device), third, (own * self.max_share).to(device), counted)

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"hardest={self.hardest}, pairs={self.pairs}, with_query={self.with_query}, max_share={self.max_share}"


def _place(drawn: Tensor, number: Tensor) -> Tensor:
    """Return a place in [0, number) for each number drawn from [0, 1)."""
    return (drawn * number.clamp(min=1)).long()
