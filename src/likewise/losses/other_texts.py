"""Which hard negatives of a batch are told from a row: all but a second copy of its own positive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise import distributed

if TYPE_CHECKING:
    from jaxtyping import Int

    from likewise.pairwise import Side

__all__ = ["other_texts"]


def other_texts(
    row_index: Int[Tensor, "B"], positive_id: Int[Tensor, "B"], negative_id: Int[Tensor, "K"]
) -> dict[str, Any]:
    """Return options of :func:`likewise.losses.info_nce` that leave out what has the text of a row's positive.

    A hard negative of one row may be the positive of another; for that other row it is no negative. With ``negatives``
    of ``K`` texts the columns of the loss are all processes' positives, then all processes' hard negatives.

    Args:
        row_index: Number of each row in its table.
        positive_id: Digest of each row's positive text, as :class:`likewise.views.TextInput` gives it by ``with_ids``.
        negative_id: Digest of each hard negative of this process.

    Returns:
        ``mask_mod``, ``rows`` and ``columns``.

    Example:
        >>> from likewise.losses import info_nce
        >>> query, negatives = torch.eye(2), torch.eye(2)[1:]  # the hard negative is the second row's positive
        >>> options = other_texts(torch.tensor([0, 1]), torch.tensor([7, 8]), torch.tensor([8]))
        >>> info_nce(query, query, negatives=negatives, temperature=1.0, **options).values  # log(e + 2) - 1, then + 1
        tensor([0.5514, 0.3133])
    """
    nobody = torch.full_like(negative_id, -1)
    return {
        "mask_mod": _own_or_other_text,
        "rows": (row_index, positive_id),
        "columns": (_of_candidates(row_index, nobody), _of_candidates(positive_id, negative_id)),
    }


def _of_candidates(positives: Tensor, negatives: Tensor) -> Tensor:
    """Lay out what belongs to the candidates as the loss does: all processes' positives, then all their negatives."""
    return torch.cat([distributed.gather_rows(positives), distributed.gather_rows(negatives)])


def _own_or_other_text(row: Side, column: Side) -> Tensor:
    """Count a pair unless the column holds the text of the row's positive a second time."""
    return (row[0] == column[0]) | (row[1] != column[1])
