"""Binary cross-entropy of a softmax: every candidate's probability is pushed, the positive's up, all others' down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

    from likewise.pairwise import MaskMod, Precision, Side, Tile

__all__ = ["bce_softmax"]


def bce_softmax(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"],
    *,
    temperature: float,
    negatives: Float[Tensor, "K D"] | None = None,
    mask_mod: MaskMod | None = None,
    rows: Sequence[Shaped[Tensor, "B *axes"]] = (),
    columns: Sequence[Shaped[Tensor, "M *axes"]] = (),
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> RowLosses:
    r"""Mean binary cross-entropy of the probabilities that a softmax gives to all candidates of a query.

    ``loss_i = -(1 / M) (log p_ii + sum_{j != i} log(1 - p_ij))`` with ``p_i = softmax_j(w_ij s_ij)``,
    ``s_ij = <query_i, candidate_j> / temperature``, and ``w_ij`` 1 where the pair counts and 0 where the mask says
    otherwise. A pair that does not count has the logit 0: it still adds ``e^0 = 1`` to the sum below, and nothing
    pushes its two vectors. A row's own key always counts.

    The candidates are, as in :func:`likewise.losses.info_nce`, the ``N`` keys of all processes and then the
    ``negatives`` of all processes, both gathered with their gradient: the ``M`` columns.

    Args:
        query: What is looked up, rows of this process; unit norm.
        key: The positive of each row; unit norm.
        temperature: Divisor of the similarities, > 0, no unit.
        negatives: Further candidates of all rows, of this process; any number, but given by all processes or by none.
        mask_mod: Says which pairs count; None: all.
        rows: Tensors for the mask, of this process's rows.
        columns: Tensors for the mask, of all M columns (gathered by the caller).
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row of this process in nats, >= 0; every row counts. Its gradient is about M times smaller
        than that of InfoNCE, which learning rates of plain SGD have to be changed for; those of AdamW hardly do.

    Raises:
        TypeError: An operand is no floating matrix.
        ValueError: Shapes or settings do not go together, temperature <= 0, or a value is not finite.

    Cost: O((B + M) D) memory; three passes over the tiles, five products of B x M x D.
    Source: The loss of the released code of MultiCSR (arXiv 2310.10962), ``simcse/models.py``, ``cl_masked_forward``.
        There ``log(1 - p)`` is minus infinity where a negative's p rounds to 1; here it is exact.

    Example:
        >>> bce_softmax(torch.eye(2), torch.eye(2), temperature=1.0).values  # log(1 + 1 / e)
        tensor([0.3133, 0.3133])
    """
    if not temperature > 0:
        raise ValueError(f"bce_softmax: temperature is {temperature}; it is > 0 (usual: 0.05). Give a positive one.")
    if query.shape != key.shape:
        raise ValueError(
            f"bce_softmax: query is {list(query.shape)} but key is {list(key.shape)}; every row has a key of its own. "
            "Give as many of the same width."
        )
    counts = distributed.row_counts(len(query))
    first_row = sum(counts[: distributed.rank()])
    candidates = [distributed.gather_rows(key, counts=counts)]
    if negatives is not None:
        candidates.append(distributed.gather_rows(negatives))
    keys = torch.cat(candidates)
    losses = pairwise.softmax_bce(
        query,
        keys,
        picked=torch.arange(first_row, first_row + len(query), device=query.device),
        scale=1.0 / temperature,
        score_mod=None if mask_mod is None else _Muted(mask_mod),
        rows=rows,
        columns=columns,
        first_row=first_row,
        precision=precision,
        tile=tile,
    )
    return RowLosses.of(losses / max(len(keys), 1))


class _Muted:
    """A ``score_mod``: 0 for a pair that does not count."""

    def __init__(self, counts: MaskMod) -> None:
        self._counts = counts

    def __call__(self, score: Tensor, row: Side, column: Side) -> Tensor:
        return torch.where((row.index == column.index) | self._counts(row, column), score, 0.0)
