"""The cosines of positives, of negatives and of the hardest negatives, counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise import pairwise
from likewise.geometry.rows import other_row, unit_pair, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.pairwise import Side

__all__ = ["Histogram", "counted", "hardest", "similarity_histograms"]


@dataclass(frozen=True)
class Histogram:
    """How many cosines lie in each bin.

    Args:
        edges: Lower edge of each bin, and the upper one of the last: one more than there are counts.
        counts: How many cosines are in each bin; the last holds its upper edge too.
    """

    edges: list[float]
    counts: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Return the histogram as plain values, ready for JSON."""
        return {"edges": list(self.edges), "counts": list(self.counts)}


@torch.no_grad()
def similarity_histograms(
    x: Float[Tensor, "N D"], y: Float[Tensor, "N D"] | None = None, *, bins: int = 40
) -> dict[str, Histogram]:
    """Count the cosines of positives, of negatives, and of each row's hardest negative.

    Args:
        x: Vectors; rows are put on the unit sphere first.
        y: Row i is the positive of row i of x, and a negative of all other rows. None: there are no positives, and all
            other rows are negatives.
        bins: How many bins of equal width there are in [-1, 1], >= 1.

    Returns:
        ``positives`` (N counts in all; only with ``y``), ``negatives`` (N (N - 1), every ordered pair) and
        ``hardest_negatives`` (N: the highest cosine of each row with a negative). Where positives and hardest
        negatives overlap, the wrong thing is found.

    Raises:
        ValueError: The shapes differ, fewer than two rows, bins < 1, a row is not finite or is zero.

    Cost: Two products of N x N x D, O(N D) memory.

    Example:
        >>> found = similarity_histograms(torch.eye(3), torch.eye(3), bins=4)
        >>> {name: histogram.counts for name, histogram in found.items()}
        {'positives': [0, 0, 0, 3], 'negatives': [0, 0, 6, 0], 'hardest_negatives': [0, 0, 3, 0]}
    """
    if bins < 1:
        raise ValueError(f"similarity_histograms: bins is {bins}; at least 1 is accepted. 40 are usual.")
    if y is None:
        rows = keys = unit_rows(x, "similarity_histograms", at_least=2)
    else:
        rows, keys = unit_pair(x, y, "similarity_histograms", at_least=2)
    return counted(rows, None if y is None else keys, hardest(rows, keys), bins)


def hardest(rows: Float[Tensor, "N D"], keys: Float[Tensor, "N D"]) -> Float[Tensor, "N"]:
    """Return the highest cosine of each row with a negative; rows and keys have unit norm."""
    return pairwise.topk(rows, keys, 1, mask_mod=other_row)[0][:, 0]


def counted(
    rows: Float[Tensor, "N D"],
    keys: Float[Tensor, "N D"] | None,
    hardest_negatives: Float[Tensor, "N"],
    bins: int = 40,
) -> dict[str, Histogram]:
    """Return the histograms of :func:`similarity_histograms`; rows and keys have unit norm."""
    edges = torch.linspace(-1, 1, bins + 1, dtype=torch.float64).to(rows)
    among = rows if keys is None else keys
    counts = {
        "negatives": pairwise.histogram(rows, among, edges, score_mod=_in_range, mask_mod=other_row),
        "hardest_negatives": _counts(hardest_negatives, edges),
    }
    if keys is not None:
        counts = {"positives": _counts(torch.linalg.vecdot(rows, keys), edges), **counts}
    return {name: Histogram(edges.tolist(), found.tolist()) for name, found in counts.items()}


def _in_range(score: Tensor, _row: Side, _column: Side) -> Tensor:
    return score.clamp(-1.0, 1.0)  # rounding leaves a cosine of 1 a little above it


def _counts(cosines: Float[Tensor, "N"], edges: Float[Tensor, "K+1"]) -> Tensor:
    """Count single cosines as pairs are counted."""
    return pairwise.histogram(cosines[:, None], torch.ones_like(cosines[:1, None]), edges, score_mod=_in_range)
