"""Prototypes of few examples, moved to where the items that are to be told lie: optimal transport at inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from likewise.memory import sinkhorn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

__all__ = ["align_prototypes", "centred"]

EPSILON = 0.05
"""Weight of the entropy where the largest cost is 1 (paper's code)."""
KEPT = 0.3
"""Share of the first prototypes that stays where they are means of several examples (paper's code)."""


def centred(vectors: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """Return each vector less the mean of its own numbers, with norm 1.

    Raises:
        ValueError: A vector's numbers are all the same, or not finite.

    Example:
        >>> centred(torch.tensor([[3.0, 1.0]]))
        tensor([[ 0.7071, -0.7071]])
    """
    moved = vectors - vectors.mean(1, keepdim=True)
    norms = moved.norm(dim=1, keepdim=True)
    bad = ~((norms > 0) & norms.isfinite())[:, 0]
    if bool(bad.any()):
        raise ValueError(
            f"centred: the numbers of vector {int(bad.nonzero()[0])} are all the same, or not finite; they say "
            "nothing. Look at what the model makes of it."
        )
    centred_rows: Tensor = moved / norms
    return centred_rows


def align_prototypes(
    prototypes: Float[Tensor, "n D"], queries: Float[Tensor, "m D"], *, shots: int, passes: int | None = None
) -> Float[Tensor, "n D"]:
    """Move prototypes to the items that are to be told, all of these together (OpTA).

    In each pass every prototype takes an equal share of the items, and every item is shared out whole, at the least
    squared distance but for some entropy; a prototype is then the mean of its share. With more than one example a
    class, three tenths of the first prototypes stay.

    It assumes that all classes have equally many items: where they have not, it does harm. What an item is told to be
    depends on the other items.

    Args:
        prototypes: Mean of the examples of each class.
        queries: What is to be told, ``m >= n``.
        shots: Examples of each class, >= 1.
        passes: How often, >= 0; 0: the prototypes as they are. Where not given that of the paper: 5 with one example a
            class, else 1.

    Returns:
        The moved prototypes.

    Raises:
        ValueError: There are fewer items than classes.

    Source: Poulakakis-Daktylidis, Jamali-Rad 2024 (BECLR), arXiv 2402.02444, section 4.2.

    Example:
        >>> two = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
        >>> align_prototypes(two, torch.tensor([[1.0, 1.0], [1.0, -1.0], [5.0, 1.0], [5.0, -1.0]]), passes=1, shots=1)
        tensor([[1.0000, 0.0000],
                [4.9960, 0.0000]])
    """
    if len(queries) < len(prototypes):
        raise ValueError(
            f"align_prototypes: there are {len(queries)} items for {len(prototypes)} classes; every class is taken to "
            "have items. Align with at least as many items as classes."
        )
    passes = (5 if shots == 1 else 1) if passes is None else passes
    moved = prototypes
    for _ in range(passes):
        cost = torch.cdist(moved, queries, compute_mode="donot_use_mm_for_euclid_dist").square()
        plan = sinkhorn(cost / cost.max().clamp(min=torch.finfo(cost.dtype).tiny), epsilon=EPSILON)
        moved = plan / plan.sum(1, keepdim=True) @ queries
    return moved if shots == 1 or not passes else (1 - KEPT) * moved + KEPT * prototypes
