"""The public reductions: what they mean, and which way of computing them is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Unpack, cast, overload

import torch
from torch import Tensor

from likewise.pairwise.pairs import PairOptions, Pairs
from likewise.pairwise.plain import plain_softmax_terms
from likewise.pairwise.reducers import Expectations, LogSumExps, Sums
from likewise.pairwise.tilewise import reduce_tiles

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise.reducers import ScoreFunction
    from likewise.pairwise.sides import Over, Vectors

__all__ = ["SoftmaxTerms", "check_picked", "expectation", "logsumexp", "softmax_terms", "sum"]


class SoftmaxTerms(NamedTuple):
    """What a softmax over pairs is made of; None for what was not asked for.

    Args:
        over_keys: Log-sum-exp of every row of query over the keys ``[N]``.
        over_queries: Log-sum-exp of every row of key over the queries ``[M]``.
        picked: Score of the pair (i, picked[i]) ``[N]``.
    """

    over_keys: Float[Tensor, "N"] | None
    over_queries: Float[Tensor, "M"] | None
    picked: Float[Tensor, "N"] | None


def softmax_terms(
    query: Vectors,
    key: Vectors,
    *,
    over: Over = "keys",
    picked: Int[Tensor, "N"] | None = None,
    **options: Unpack[PairOptions],
) -> SoftmaxTerms:
    """Return log-sum-exps as :func:`logsumexp` does and, from the same tiles, one score a row.

    The cross-entropy of row ``i`` with target ``picked[i]`` is ``over_keys[i] - picked[i]``.

    Args:
        query: As in :func:`logsumexp`.
        key: As in :func:`logsumexp`.
        over: As in :func:`logsumexp`.
        picked: A column for each row, int64 ``[N]`` in [0, M), usually its positive; its score is returned whether or
            not the mask lets the pair count, and its gradient costs no further product.
        **options: As in :func:`logsumexp`.

    Returns:
        float32, or float64 for float64 operands.

    Raises:
        ValueError: As in :func:`logsumexp`, or ``picked`` is not of this form.

    Example:
        >>> terms = softmax_terms(torch.eye(2), torch.eye(2), picked=torch.arange(2))
        >>> terms.over_keys - terms.picked  # log(e + 1) - 1
        tensor([0.3133, 0.3133])
    """
    _check_over("logsumexp", over)
    pairs = Pairs.of("logsumexp", query, key, **options)
    if picked is not None:
        check_picked(picked, pairs)
    if pairs.score_mod is None and pairs.num_rows and pairs.num_columns:
        return SoftmaxTerms(*plain_softmax_terms(pairs, over, picked))
    found = reduce_tiles(pairs, LogSumExps(pairs, over, picked))
    return SoftmaxTerms(found[0], found[1], found[2])


@overload
def logsumexp(
    query: Vectors, key: Vectors, *, over: Literal["keys", "queries"] = "keys", **options: Unpack[PairOptions]
) -> Tensor: ...
@overload
def logsumexp(
    query: Vectors, key: Vectors, *, over: Literal["both"], **options: Unpack[PairOptions]
) -> tuple[Tensor, Tensor]: ...
def logsumexp(
    query: Vectors, key: Vectors, *, over: Over = "keys", **options: Unpack[PairOptions]
) -> Tensor | tuple[Tensor, Tensor]:
    """Return ``log sum_j exp(score_ij)`` over the pairs that count, without storing the pairs.

    ``score_ij = score_mod(scale_i * <query_i, key_j>, row_i, column_j)``; see :class:`PairOptions`.

    Args:
        query: ``[N, D]``, or a tuple of factors ``[N, D_f]``; any dtype that is floating.
        key: ``[M, D]``, or as many factors ``[M, D_f]``. What needs no gradient costs no product for it.
        over: What is summed over: "keys" gives a value a row of query, "queries" a value a row of key, "both" the pair
            of them from one reading of each tile.
        **options: :class:`PairOptions`.

    Returns:
        ``[N]``, ``[M]``, or both; float32, or float64 for float64 operands. Where no pair counts it is -inf, and the
        gradient is zero.

    Raises:
        TypeError: An operand is not a floating matrix, or a mask is not bool.
        ValueError: Shapes or settings do not go together, or a value is not finite (the message names its row).
        RuntimeError: A second derivative is asked for.

    Cost: O((N + M) D) memory and a fixed number of bytes for tiles. Four products of N x M x D forward and backward,
        three where the tiles can be kept (``plain.KEEP_BYTES``); a ``score_mod`` adds its own elementwise work twice.

    Example:
        >>> logsumexp(torch.eye(2), torch.eye(2), scale=2.0)  # log(e**2 + 1)
        tensor([2.1269, 2.1269])
        >>> not_itself = lambda row, column: row.index != column.index
        >>> logsumexp(torch.eye(2), torch.eye(2), mask_mod=not_itself, over="both")
        (tensor([0., 0.]), tensor([0., 0.]))
    """
    terms = softmax_terms(query, key, over=over, **options)
    return _asked_for(over, terms.over_keys, terms.over_queries)


@overload
def sum(
    query: Vectors,
    key: Vectors,
    *,
    value: ScoreFunction,
    over: Literal["keys", "queries"] = "keys",
    **options: Unpack[PairOptions],
) -> Tensor: ...
@overload
def sum(
    query: Vectors, key: Vectors, *, value: ScoreFunction, over: Literal["both"], **options: Unpack[PairOptions]
) -> tuple[Tensor, Tensor]: ...
def sum(
    query: Vectors, key: Vectors, *, value: ScoreFunction, over: Over = "keys", **options: Unpack[PairOptions]
) -> Tensor | tuple[Tensor, Tensor]:
    """Return ``sum_j value(score_ij)`` over the pairs that count, without storing the pairs.

    Hinges, softplus, kernels: any elementwise function of the score. Tensors that differ between pairs reach it through
    ``score_mod``.

    Args:
        query: ``[N, D]``, or a tuple of factors.
        key: ``[M, D]``, or as many factors.
        value: Elementwise, differentiable function of the scores of a tile.
        over: What is summed over, as in :func:`logsumexp`.
        **options: :class:`PairOptions`.

    Returns:
        ``[N]``, ``[M]``, or both; 0 where no pair counts.

    Raises:
        TypeError: As in :func:`logsumexp`.
        ValueError: As in :func:`logsumexp`.
        RuntimeError: As in :func:`logsumexp`.

    Cost: As :func:`logsumexp` with a ``score_mod``: four products.

    Example:
        >>> sum(torch.eye(2), torch.eye(2), value=lambda score: torch.relu(score - 0.25))
        tensor([0.7500, 0.7500])
    """
    _check_over("sum", over)
    pairs = Pairs.of("sum", query, key, **options)
    return _asked_for(over, *reduce_tiles(pairs, Sums(pairs, over, value)))


@overload
def expectation(
    query: Vectors,
    key: Vectors,
    *,
    value: ScoreFunction,
    log_weight: ScoreFunction | None = None,
    over: Literal["keys", "queries"] = "keys",
    **options: Unpack[PairOptions],
) -> Tensor: ...
@overload
def expectation(
    query: Vectors,
    key: Vectors,
    *,
    value: ScoreFunction,
    log_weight: ScoreFunction | None = None,
    over: Literal["both"],
    **options: Unpack[PairOptions],
) -> tuple[Tensor, Tensor]: ...
def expectation(
    query: Vectors,
    key: Vectors,
    *,
    value: ScoreFunction,
    log_weight: ScoreFunction | None = None,
    over: Over = "keys",
    **options: Unpack[PairOptions],
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the mean of ``value(score_ij)`` with softmax weights, without storing the pairs.

    ``sum_j w_ij value(score_ij) / sum_j w_ij`` with ``w_ij = exp(log_weight(score_ij))`` over the pairs that count.
    Gradients flow through values and weights; detach in ``log_weight`` to hold the weights fixed.

    Args:
        query: ``[N, D]``, or a tuple of factors.
        key: ``[M, D]``, or as many factors.
        value: Elementwise, differentiable function of the scores of a tile.
        log_weight: Another, the logarithm of the weight up to a constant; None takes the score itself.
        over: What is averaged over, as in :func:`logsumexp`.
        **options: :class:`PairOptions`.

    Returns:
        ``[N]``, ``[M]``, or both; 0 without a gradient where no pair counts.

    Raises:
        TypeError: As in :func:`logsumexp`.
        ValueError: As in :func:`logsumexp`.
        RuntimeError: As in :func:`logsumexp`.

    Cost: As :func:`logsumexp` with a ``score_mod``: four products.

    Example:
        >>> expectation(torch.eye(2), torch.eye(2), value=lambda score: score)  # e / (e + 1)
        tensor([0.7311, 0.7311])
    """
    _check_over("expectation", over)
    pairs = Pairs.of("expectation", query, key, **options)
    return _asked_for(over, *reduce_tiles(pairs, Expectations(pairs, over, value, log_weight)))


def _check_over(name: str, over: str) -> None:
    if over not in ("keys", "queries", "both"):
        raise ValueError(f"{name}: over is {over!r}; accepted are 'keys', 'queries' and 'both'. Choose one of them.")


def check_picked(picked: Tensor, pairs: Pairs) -> None:
    """Refuse anything that is not one column for each row."""
    if picked.shape != (pairs.num_rows,) or picked.dtype != torch.int64:
        raise ValueError(
            f"{pairs.name}: picked is {picked.dtype} {list(picked.shape)} for {pairs.num_rows} rows; it is int64 [N], "
            "a column for each row. Give one for each."
        )
    if pairs.num_rows and not 0 <= int(picked.min()) <= int(picked.max()) < pairs.num_columns:
        raise ValueError(
            f"{pairs.name}: picked names columns from {int(picked.min())} to {int(picked.max())}; columns go from 0 to "
            f"{pairs.num_columns - 1}. Subtract the offset of this block of keys."
        )


def _asked_for(over: Over, rows: Tensor | None, columns: Tensor | None) -> Tensor | tuple[Tensor, Tensor]:
    if over == "both":
        return cast("Tensor", rows), cast("Tensor", columns)
    return cast("Tensor", rows if over == "keys" else columns)
