"""Soft contrast: a row's target is spread over the batch by how alike the labels are, instead of one positive.

With plain labels (equal or not) the same objective is ``info_nce(..., labels=..., symmetric=True)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from likewise import distributed, pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.pairwise import Precision, ScoreMod, Side, Tile

__all__ = ["soft_contrast"]


def soft_contrast(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"],
    label_vectors: Float[Tensor, "B L"],
    *,
    temperature: float,
    label_temperature: float,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> RowLosses:
    """Cross-entropy between a softmax over similarities and a softmax over the similarities of the rows' labels.

    With ``s_ij = <query_i, key_j> / temperature`` and ``T_ij = exp(cos(e_i, e_j) / label_temperature) / Z_i``, where
    ``e`` are the label vectors and ``Z_i`` makes row i of ``T`` sum to one::

        loss_i = 1/2 [ logsumexp_j(s_ij) - sum_j T_ij s_ij ] + 1/2 [ logsumexp_j(s_ji) - sum_j T_ij s_ji ]

    j runs over the rows of all processes. The second half lets key i look among the queries; it has row i of ``T``
    too, not column i (``T`` is no symmetric matrix, though the cosines are).

    The weights ``exp((cos(e_i, e_j) - 1) / label_temperature)`` of a tile serve both halves, because they are
    symmetric; only ``Z`` belongs to one side, and it is divided by in the end.

    Args:
        query: What is looked up, rows of this process; unit norm.
        key: What belongs to each query; unit norm.
        label_vectors: What the label of each row means, any length but zero; constant, no gradient reaches it. Rows of
            one label have one vector.
        temperature: Divisor of the similarities, > 0, no unit (paper: 0.05).
        label_temperature: Divisor of the cosines of label vectors, > 0, no unit (paper: 0.35). Towards 0 the targets
            are those of equal labels; towards infinity every key is as good as any other.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row of this process in nats, at least the entropy of its targets. Every row counts.

    Raises:
        ValueError: Shapes do not go together, a temperature is not > 0, a label vector is zero, or a value is not
            finite.

    Cost: O((B + N) (D + L)) memory; two reductions over all pairs of this process's rows and all keys, and one over
        the label vectors alone.
    Source: Burdisso et al. 2024, arXiv 2410.18481, section 4; both halves with row i of the targets: official
        ``LabeledContrastiveLoss``.

    Example:
        >>> import torch
        >>> rows = torch.eye(2)
        >>> soft_contrast(rows, rows, torch.eye(2), temperature=1.0, label_temperature=1.0).values
        tensor([0.5822, 0.5822])
    """
    _check(query, key, label_vectors, temperature, label_temperature)
    counts = distributed.row_counts(len(query))
    own = slice(first := sum(counts[: distributed.rank()]), first + len(query))
    keys = distributed.gather_rows(key, counts=counts)
    labels = F.normalize(label_vectors.detach().to(query.dtype), dim=-1)
    all_labels = distributed.gather_rows(labels, with_grad=False, counts=counts)
    scale = 1 / temperature
    log_shares = pairwise.logsumexp(labels, all_labels, scale=1 / label_temperature, precision=precision, tile=tile)
    shares = (log_shares - 1 / label_temperature).exp()  # [B], the weights of a row add up to it; at least 1

    over_keys, over_queries = pairwise.logsumexp(query, keys, scale=scale, over="both", precision=precision, tile=tile)
    row_sums, column_sums = pairwise.sum(
        (query, labels),
        (keys, all_labels),
        value=_itself,
        score_mod=_weighted(label_temperature),
        scale=scale,
        over="both",
        precision=precision,
        tile=tile,
    )
    column_sums = distributed.sum_over_processes(column_sums, with_grad=True)[own]
    over_queries = distributed.logsumexp_over_processes(over_queries)[own]
    values = (over_keys + over_queries - (row_sums + column_sums) / shares) / 2
    return RowLosses.of(values)


def _weighted(label_temperature: float) -> ScoreMod:
    """Return a function that multiplies scores with the weights that their labels' similarity gives them."""

    def weighted(score: tuple[Tensor, Tensor], row: Side, column: Side) -> Tensor:
        similarity, label_similarity = score
        return similarity * ((label_similarity - 1) / label_temperature).exp()

    return weighted


def _itself(score: Tensor) -> Tensor:
    return score


def _check(query: Tensor, key: Tensor, label_vectors: Tensor, temperature: float, label_temperature: float) -> None:
    if query.shape != key.shape or query.ndim != 2 or label_vectors.ndim != 2 or len(label_vectors) != len(query):
        raise ValueError(
            f"soft_contrast: query is {list(query.shape)}, key {list(key.shape)} and label_vectors "
            f"{list(label_vectors.shape)}; they are [B, D], [B, D] and [B, L], a key and a label vector for each query."
        )
    for name, value in (("temperature", temperature), ("label_temperature", label_temperature)):
        if not value > 0:
            raise ValueError(f"soft_contrast: {name} is {value}; it is > 0 (paper: 0.05 and 0.35 for labels).")
    if not bool(label_vectors.any(dim=1).all()):
        raise ValueError("soft_contrast: a label vector is zero; every label needs a direction. Encode its text anew.")
