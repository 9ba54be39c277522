"""Telling which row of a table belongs to a vector: a softmax over all rows, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from likewise import pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise import Precision, Tile

__all__ = ["table_cross_entropy"]


def table_cross_entropy(
    query: Float[Tensor, "B D"],
    table: Float[Tensor, "E D"],
    target: Int[Tensor, "B"],
    *,
    bias: Float[Tensor, "E"] | None = None,
    precision: Precision = "fp32",
    tile: Tile | None = None,
) -> RowLosses:
    """Cross-entropy of every query against all rows of a table.

    ``loss_i = logsumexp_e(<query_i, table_e> + bias_e) - (<query_i, table_t> + bias_t)`` with ``t = target_i``: neither
    side is normalised, and there is no temperature. The table is the same on every process, so nothing is gathered.

    Args:
        query: Rows of this process, of any length.
        table: A row for each of ``E`` classes: words, entries of a dictionary, prototypes. Where it needs no gradient,
            none is computed.
        target: Row of the table that belongs to each query, int64 in [0, E).
        bias: Added to the score of each row of the table.
        precision: As in :class:`likewise.pairwise.PairOptions`. Scores are not bounded here as cosines are, and an
            error in proportion to them would be many nats; so the default does not round under an autocast.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row of this process in nats; all count. float32, or float64 for float64 operands.

    Raises:
        TypeError: An operand is not a floating matrix.
        ValueError: Shapes do not go together, a target is outside the table, or a value is not finite.

    Cost: O((B + E) D) memory: the ``B x E`` logits exist one tile at a time. Two products of B x E x D with a constant
        table, three with one that is trained.
    Source: Liu 2024 (DefSent+), arXiv 2405.16153; the output layer of a masked language model.

    Example:
        >>> table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> table_cross_entropy(torch.tensor([[0.5, -0.5]]), table, torch.tensor([0]))
        RowLosses(values=tensor([0.6803]), counted=tensor([True]))
    """
    if bias is not None:
        # The bias is one more number of every row of the table, for which every query has a 1.
        query = torch.cat([query, query.new_ones(len(query), 1)], dim=1)
        table = torch.cat([table, bias[:, None]], dim=1)
    terms = pairwise.softmax_terms(query, table, picked=target, precision=precision, tile=tile)
    values = cast("Tensor", terms.over_keys) - cast("Tensor", terms.picked)
    return RowLosses.of(values)
