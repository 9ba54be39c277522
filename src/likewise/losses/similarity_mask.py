"""Leaving out what other vectors call alike: a guard against negatives that mean the same as the query.

In a batch of texts that nobody labelled, some row's positive is a paraphrase of another row. Vectors that are not
trained (of a frozen encoder) tell which pairs those are likely to be, and such a pair is left out of the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from likewise.errors import InputError

if TYPE_CHECKING:
    from likewise.pairwise import MaskMod, Side

__all__ = ["SimilarityMask"]


@dataclass(frozen=True)
class SimilarityMask:
    r"""A ``mask_mod``: count a pair unless its two judging vectors are more alike than a threshold.

    ``counts(i, j) = [i = j] or [<r_i, c_j> <= threshold]`` with the judging vectors r of rows and c of columns. A row's
    own positive, the column with the row's number, always counts. A row's own hard negative has another number and is
    judged like any other column.

    The products are made one tile at a time from what is given to the loss in ``rows=`` and ``columns=``: the vectors
    of this process's rows ``[B, n]``, and those of all candidates ``[M, n]``, in the order in which the loss lays them
    out (all processes' keys, then all their negatives, then the queue).

    Args:
        threshold: Largest cosine of a pair that counts, >= -1; at 1 or more every pair counts.
        vectors: Place of the vectors in ``rows`` and ``columns``.
        also: A ``mask_mod`` under which a pair has to count too.

    Raises:
        InputError: The threshold is less than -1, or not a number.

    Cost: one more product of the tile, with n numbers a row; nothing is stored.
    Source: MultiCSR (arXiv 2310.10962), its third stage; DebCSE (arXiv 2309.07396) has the aim.

    Example:
        >>> import torch
        >>> from likewise.losses import info_nce
        >>> texts = torch.eye(2)
        >>> judge = torch.tensor([[1.0, 0.0], [0.8, 0.6]])  # finds the two alike
        >>> mask = SimilarityMask(0.7)
        >>> info_nce(texts, texts, temperature=1.0, mask_mod=mask, rows=(judge,), columns=(judge,)).values
        tensor([0., 0.])
    """

    threshold: float
    vectors: int = 0
    also: MaskMod | None = None

    def __post_init__(self) -> None:
        if not self.threshold >= -1:
            raise InputError(
                f"the threshold of the similarity mask is {self.threshold}; it is a cosine, -1 or more (usual: 0.8 to "
                "0.95; 1 masks nothing)."
            )

    def __call__(self, row: Side, column: Side) -> Tensor:
        """Tell which pairs of a tile count, bool ``[n, m]``."""
        cosine = row[self.vectors][:, 0] @ column[self.vectors][0].T
        # Rounding may put a vector's product with itself above 1.
        counts = (row.index == column.index) | (cosine.clamp(max=1.0) <= self.threshold)
        return counts if self.also is None else counts & self.also(row, column)
