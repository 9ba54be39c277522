"""Contrastive attraction and contrastive repulsion: positives weighed among themselves, negatives among themselves.

No softmax holds positives and negatives together. The farther a positive, the more it is pulled; the nearer a negative,
the more it is pushed. Between unit vectors the squared distance is ``e = 2 - 2 s`` with the cosine ``s``, so weights of
negatives are a softmax of cosines, and what is streamed is a softmax-weighted mean.

Source: Zheng, Chen, Yao, Yang, Li, Zhang, Zhu, Wang, Zhou, Chen 2023 (CACR), arXiv 2105.03746.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.losses.checks import check_temperature
from likewise.losses.info_nce import info_nce
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.pairwise import PairOptions, Precision, ScoreFunction, Side, Tile

__all__ = ["attraction", "kernel_repulsion", "positive_weights", "repulsion", "weighed_prediction"]

_UNIT = 2e-2
"""How far a squared norm may be from 1: what bfloat16, of 8 binary digits, leaves of a unit vector."""


def positive_weights(
    query: Float[Tensor, "B D"], positives: Float[Tensor, "U B D"], *, sharpness: float
) -> Float[Tensor, "B U"]:
    """Return how much each positive of a row is pulled: ``softmax_u( sharpness |q_i - p_ui|^2 )``, constant.

    Args:
        query: Rows of this process; unit norm.
        positives: Their positives; unit norm.
        sharpness: Multiplier of the squared distances, > 0.

    Raises:
        ValueError: Shapes do not agree, vectors have another length than 1, or sharpness <= 0.
    """
    distances = _distances("positive_weights", query, positives, sharpness)
    return (sharpness * distances).detach().softmax(dim=1)


def attraction(
    query: Float[Tensor, "B D"],
    positives: Float[Tensor, "U B D"],
    *,
    sharpness: float = 1.0,
    weighted: bool = True,
    detach: bool = False,
) -> RowLosses:
    r"""Pull a row to its positives, the farthest most.

    ``rows[i] = sum_u w_iu d_iu``, ``d_iu = |q_i - p_ui|^2``, ``w_i = softmax_u( sharpness d_iu )``. With one positive
    that is its squared distance.

    Args:
        query: Rows of this process; unit norm.
        positives: ``U`` positives of each row; unit norm.
        sharpness: Multiplier of the squared distances in the weights, > 0; large is sharp (paper: 1).
        weighted: Whether positives are weighed at all; else their mean stands there.
        detach: Whether weights are held constant.

    Returns:
        The loss of each row, in [0, 4].

    Raises:
        ValueError: Shapes do not agree, vectors have another length than 1, or sharpness <= 0.

    Cost: O(B U D).
    Source: CACR, arXiv 2105.03746, eq. 3 and 5.

    Example:
        >>> query = torch.tensor([[1.0, 0.0]])
        >>> positives = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])  # at squared distances 2 and 0
        >>> attraction(query, positives).values  # 2 e^2 / (e^2 + 1)
        tensor([1.7616])
    """
    distances = _distances("attraction", query, positives, sharpness)
    if weighted:
        logits = sharpness * distances
        values = ((logits.detach() if detach else logits).softmax(dim=1) * distances).sum(dim=1)
    else:
        values = distances.mean(dim=1)
    return RowLosses.of(values)


def repulsion(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"],
    *,
    temperature: float,
    queue: Float[Tensor, "Q D"] | None = None,
    weighted: bool = True,
    detach: bool = False,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> RowLosses:
    r"""Push a row from the keys of all other rows, the nearest most.

    ``rows[i] = - sum_j w_ij e_ij``, ``e_ij = 2 - 2 s_ij``, ``w_i = softmax_j( s_ij / temperature )`` over the keys of
    all other rows of all processes, and the queue. That is ``softmax_j( -t e_ij )`` with ``t = 1 / (2 temperature)``.

    Args:
        query: Rows of this process; unit norm.
        key: A key of each row, which is no negative of its own row; unit norm. It may be the query itself.
        temperature: Divisor of the cosines in the weights, > 0 (paper: t = 2, so 0.25; t = 0.9 on CIFAR-10).
        queue: Further negatives, the same on every process; unit norm. Constant.
        weighted: Whether negatives are weighed at all; else their mean stands there.
        detach: Whether weights are held constant. If not, a negative that is farther than the weighted mean may be
            drawn near.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row, in [-4, 0]; a row without any negative is counted out.

    Raises:
        ValueError: Shapes do not agree, vectors have another length than 1, or temperature <= 0.

    Cost: O((B + N + Q) D) memory; :func:`likewise.pairwise.expectation` over the pairs.
    Source: CACR, arXiv 2105.03746, eq. 4 and 6.

    Example:
        >>> query, queue = torch.eye(3)[:1], torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
        >>> repulsion(query, query, temperature=0.5, queue=queue).values  # -(0.8 w + 2 (1 - w)), w = .7685
        tensor([-1.0778])
    """
    _check("repulsion", query, key)
    check_temperature("repulsion", temperature, usual="0.2 to 1")
    counts = distributed.row_counts(len(key))
    keys, more = distributed.gather_rows(key, counts=counts), 0
    if queue is not None:
        _check_unit("repulsion", "queue", queue)
        more = len(queue)
        keys = torch.cat([keys, queue.detach().to(keys.dtype)])
    options = _options(counts, precision, tile)
    log_weight = _log_weight(1 / temperature, weighted, detach)
    mean = pairwise.expectation(query, keys, value=_itself, log_weight=log_weight, **options)
    counted = torch.full_like(mean, sum(counts) - 1 + more > 0, dtype=torch.bool)
    return RowLosses(torch.where(counted, 2 * mean - 2, 0.0 * mean), counted)


def kernel_repulsion(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"],
    *,
    temperature: float,
    width: float = 2.0,
    weighted: bool = True,
    detach: bool = False,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> Float[Tensor, ""]:
    r"""Push all rows apart by a Gaussian kernel: ``log mean_i sum_j w_ij exp(-width e_ij)``.

    Weights, keys and rows are those of :func:`repulsion` without a queue. It is the logarithm of one mean over all
    rows, not a mean of the rows' logarithms; without weights it is the uniformity of two views.

    Args:
        query: As in :func:`repulsion`.
        key: As in :func:`repulsion`.
        temperature: As in :func:`repulsion`.
        width: Multiplier of the squared distances in the kernel, > 0 (paper: 2).
        weighted: As in :func:`repulsion`.
        detach: As in :func:`repulsion`.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        A scalar in [-4 width, 0], the same on every process; gradients averaged over processes are those of one with
        all rows.

    Raises:
        ValueError: As :func:`repulsion`; or width <= 0, or there is one row in all.

    Cost: O((B + N) D) memory; two :func:`likewise.pairwise.logsumexp`, one of them without gradient if weights are
        held.
    Source: CACR, arXiv 2105.03746, official small-scale code (the kernel cost).

    Example:
        >>> x = torch.eye(2)
        >>> kernel_repulsion(x, x, temperature=0.25)  # all at squared distance 2
        tensor(-4.)
    """
    _check("kernel_repulsion", query, key)
    check_temperature("kernel_repulsion", temperature, usual="0.2 to 1")
    if not 0 < width < math.inf:
        raise ValueError(f"kernel_repulsion: width is {width}; it must be > 0 and finite (paper: 2).")
    counts = distributed.row_counts(len(key))
    number = sum(counts)
    if number < 2:
        raise ValueError("kernel_repulsion: there is one row, and nothing to push it from; use larger batches.")
    keys, options = distributed.gather_rows(key, counts=counts), _options(counts, precision, tile)
    log_weight = _log_weight(1 / temperature, weighted, detach)

    # sum_j w_ij r_ij is a sum of exponentials over another; -width e_ij = 2 width s_ij - 2 width.
    def both(score: Tensor, row: Side, column: Side) -> Tensor:
        return log_weight(score) + 2 * width * score

    def weight(score: Tensor, row: Side, column: Side) -> Tensor:
        return log_weight(score)

    options["score_mod"] = both
    total = pairwise.logsumexp(query, keys, **options)
    options["score_mod"] = weight
    normaliser = pairwise.logsumexp(query, keys, **options)
    rows = total - (normaliser.detach() if detach else normaliser)
    return distributed.logsumexp_over_processes(rows.logsumexp(dim=0)) - math.log(number) - 2 * width


def weighed_prediction(
    predictions: Sequence[Float[Tensor, "B D"]],
    key: Float[Tensor, "B D"],
    *,
    temperature: float,
    cost: Literal["rbf", "euclidean"] = "rbf",
    sharpness: float | None = None,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> RowLosses:
    r"""Let several predictions of a row find the row's key among the keys of all rows, the farthest weighing most.

    With ``p_i = softmax_v( sharpness |q_vi - k_i|^2 )``, held constant, over the predictions v of row i::

        rbf        rows[i] = 2 t sum_v p_vi ( log sum_j exp(s_vij / t) - s_vii / t )
        euclidean  rows[i] = sum_v p_vi ( 1 - s_vii - sum_{j != i} w_vij (1 - s_vij) ),  w_vi = softmax_j( s_vij / t )

    The rbf form has the own key in its denominator; with one prediction it is InfoNCE times ``2 t``.

    Args:
        predictions: Predictions of each row's key, at least one; unit norm.
        key: The key of each row; unit norm. Constant.
        temperature: Divisor of the cosines ``t``, > 0 (paper: 1 with ResNet-50, 0.2 with ViT).
        cost: rbf or euclidean.
        sharpness: Multiplier of the squared distances in the weights of predictions, > 0; 1 / t where not given.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row. The official code takes the mean of them in the rbf form and their sum in the other.

    Raises:
        ValueError: There is no prediction, shapes do not agree, vectors have another length than 1, temperature or
            sharpness <= 0; or, for the euclidean cost, there is one row in all.

    Cost: O((B + N) D) memory; a pass over the pairs for each prediction.
    Source: CACR, arXiv 2105.03746, official ``imagenet_pretraining``.

    Example:
        >>> weighed_prediction([torch.eye(2)], torch.eye(2), temperature=0.5).values  # log(1 + exp(-2))
        tensor([0.1269, 0.1269])
    """
    if not predictions:
        raise ValueError("weighed_prediction: there is no prediction; give at least one for each row.")
    key = key.detach()
    for query in predictions:
        _check("weighed_prediction", query, key)
    check_temperature("weighed_prediction", temperature, usual="0.2 to 1")
    sharpness = 1 / temperature if sharpness is None else sharpness
    stacked = torch.stack(list(predictions)).detach()
    share = positive_weights(key, stacked, sharpness=sharpness).to(key.dtype)  # [B, V]
    total = torch.zeros_like(share[:, 0])
    counted = torch.ones_like(total, dtype=torch.bool)
    for number, query in enumerate(predictions):
        if cost == "rbf":
            found = info_nce(query, key, temperature=temperature, precision=precision, tile=tile)
            rows, counted = 2 * temperature * found.values, counted & found.counted
        else:
            pushed = repulsion(query, key, temperature=temperature, detach=True, precision=precision, tile=tile)
            if not bool(pushed.counted.all()):
                raise ValueError(
                    "weighed_prediction: there is one row, and nothing to push it from; use larger batches."
                )
            pulled = 1 - torch.linalg.vecdot(query.to(pushed.values.dtype), key.to(pushed.values.dtype))
            rows = pulled + pushed.values / 2  # the cost is half of a squared distance
        total = total + share[:, number] * rows
    return RowLosses(total, counted)


def _log_weight(scale: float, weighted: bool, detach: bool) -> ScoreFunction:
    if not weighted:
        return torch.zeros_like

    def of(score: Tensor) -> Tensor:
        return scale * (score.detach() if detach else score)

    return of


def _itself(score: Tensor) -> Tensor:
    return score


def _other(row: Side, column: Side) -> Tensor:
    return row.index != column.index


def _options(counts: Sequence[int], precision: Precision, tile: Tile | None) -> PairOptions:
    first = sum(counts[: distributed.rank()])
    return {"mask_mod": _other, "first_row": first, "precision": precision, "tile": tile}


def _distances(name: str, query: Tensor, positives: Tensor, sharpness: float) -> Float[Tensor, "B U"]:
    if positives.ndim != 3 or not len(positives) or positives.shape[1:] != query.shape:
        raise ValueError(
            f"{name}: positives is {list(positives.shape)} for rows {list(query.shape)}; it is [U, B, D], one or more "
            "positives of each row. Stack them in front."
        )
    _check_unit(name, "query", query)
    _check_unit(name, "positives", positives.flatten(0, 1))
    if not 0 < sharpness < math.inf:
        raise ValueError(f"{name}: sharpness is {sharpness}; it must be > 0 and finite (paper: 1).")
    with pairwise.without_autocast(query.device):
        wide = torch.promote_types(query.dtype, torch.float32)
        # Of differences and not of norms, whose gradient is none at a distance of 0.
        return (query.to(wide) - positives.to(wide)).square().sum(dim=-1).T


def _check(name: str, query: Tensor, key: Tensor) -> None:
    if query.ndim != 2 or query.shape != key.shape:
        raise ValueError(
            f"{name}: query is {list(query.shape)} but key is {list(key.shape)}; both are [B, D], a key for each row. "
            "Use one projector width for both."
        )
    _check_unit(name, "query", query)
    _check_unit(name, "key", key)


def _check_unit(name: str, side: str, x: Tensor) -> None:
    squares = x.detach().float().square().sum(dim=-1)
    far = ((squares - 1).abs() > _UNIT) & squares.isfinite()  # what is not finite is named by the engine
    if bool(far.any()):
        row = int(far.nonzero()[0])
        raise ValueError(
            f"{name}: row {row} of {side} has length {float(squares[row]) ** 0.5:.4g}; squared distances are computed "
            "from cosines, so that all vectors have length 1. Normalise them."
        )
