"""InfoNCE: telling a row's positives from other candidates by a softmax over similarities.

One function serves a single positive and several, one direction and both, shared negatives and a queue; most objectives
of this library are a call of it. All pairs go through :mod:`likewise.pairwise`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from likewise import distributed, pairwise
from likewise.losses.checks import check_temperature
from likewise.losses.positives import LabelPositives, Positives, Scoring, WeightPositives, mean_scores
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped

    from likewise.pairwise import MaskMod, PairOptions, Precision, ScoreMod, Side, Tile

__all__ = ["InfoNCE", "info_nce"]

_SMALL = 2**20
"""Up to so many pairs, a quarter if symmetric, all pairs of the plain loss are held at once, which starts faster."""


def info_nce(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"] | None,
    *,
    temperature: float | Float[Tensor, ""] | Float[Tensor, "B"],
    symmetric: bool = False,
    labels: Int[Tensor, "B"] | None = None,
    positives: Bool[Tensor, "B N"] | None = None,
    weights: Float[Tensor, "B N"] | None = None,
    negatives: Float[Tensor, "K D"] | None = None,
    queue: Float[Tensor, "Q D"] | None = None,
    queue_labels: Int[Tensor, "Q"] | None = None,
    score_mod: ScoreMod | None = None,
    mask_mod: MaskMod | None = None,
    rows: Sequence[Shaped[Tensor, "B *axes"]] = (),
    columns: Sequence[Shaped[Tensor, "M *axes"]] = (),
    parameters: Sequence[Tensor] = (),
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> RowLosses:
    r"""Cross-entropy of every query against all candidates, averaged over its positives.

    ``loss_i = logsumexp_j(score_ij) - sum_p w_ip score_ip``, where ``score_ij = <query_i, candidate_j> / temperature``,
    j runs over all candidates and ``w_i`` are the weights of the row's positives, which sum to one. The mean over
    positives stands outside the logarithm ("out" of SupCon, its eq. 2).

    The candidates are, in this order: the ``N`` keys of all processes, gathered with their gradient, in rank order; the
    ``negatives`` of all processes, gathered with their gradient; the ``queue``. They make up the ``M`` columns. Rows
    and columns are numbered over all processes, so key ``i`` is the own key of row ``i``.

    What the positives of row i are:

    - by default its own key;
    - ``labels``: every key with its label, its own key included, and every entry of the queue with its label. With
      ``key=None`` the keys are the queries themselves: then the row itself is neither a positive nor a candidate;
    - ``positives`` or ``weights``: the keys marked True, or with a weight > 0, alike or by weight.

    A row without a positive, or without a candidate that counts, is counted out. With ``symmetric`` every key looks
    among the queries of all processes too (and not among negatives or queue), with the same scores and positives; the
    loss of a row is then the mean of that of the query and that of its key, or the one of them that counts.

    Args:
        query: What is looked up, rows of this process; unit norm.
        key: What is looked among, a key for each row; unit norm. None where queries look among themselves.
        temperature: Divisor of the similarities, > 0, no unit. Tensors receive a gradient; one per row ``[B]`` is for
            one direction.
        symmetric: Whether keys look among queries too.
        labels: A class for each row, any integers; equal labels are positives.
        positives: Which keys of all processes are positives of each row.
        weights: How much each key of all processes is a positive of each row, >= 0; divided by their sum. Constant.
        negatives: Further candidates of all rows, of this process; any number, 0 too, but given by all processes or
            by none. A row's own one is like any other (see ``score_mod``).
        queue: Further candidates, equal on all processes; constants.
        queue_labels: Classes of the queue, with ``labels``; without them the queue holds negatives only.
        score_mod: Changes scores (that is similarity / temperature), as in :class:`likewise.pairwise.PairOptions`,
            for candidates and positives alike. It sees row and column numbers over all processes.
        mask_mod: Says which pairs stand in the softmax; positives stay positives (a mask that leaves them out gives
            the decoupled loss).
        rows: Tensors for the two functions, of this process's rows.
        columns: Tensors for the two functions, of all M columns (gathered by the caller).
        parameters: Tensors that ``score_mod`` uses whole and that receive a gradient.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row of this process in nats, and which rows count.

    Raises:
        TypeError: An operand is not a floating matrix, or labels are no integers.
        ValueError: Shapes or settings do not go together, temperature <= 0, or a value is not finite.

    Cost: O((B + M) D) memory; the products of :func:`likewise.pairwise.logsumexp`. Labels add sums over classes,
        ``positives`` and ``weights`` two products in each direction.
    Source: van den Oord et al. 2018, arXiv 1807.03748, eq. 4 (there with a log-bilinear score; here cosine). Several
        positives: Khosla et al. 2020, arXiv 2004.11362, eq. 2. Both directions: Radford et al. 2021, arXiv 2103.00020.

    Example:
        >>> info_nce(torch.eye(2), torch.eye(2), temperature=1.0).values  # log(e + 1) - 1
        tensor([0.3133, 0.3133])
        >>> rows = info_nce(torch.eye(3), None, labels=torch.tensor([0, 0, 7]), temperature=1.0)
        >>> rows.values, rows.counted  # log(1 + 1) - 0; the last row has no positive
        (tensor([0.6931, 0.6931, 0.0000]), tensor([ True,  True, False]))
    """
    _check_operands(query, key, negatives, queue)
    given = [name for name, x in (("labels", labels), ("positives", positives), ("weights", weights)) if x is not None]
    _check_positives(query, key, given, symmetric)
    scale = _scale(temperature, query, symmetric)
    plain = not given and negatives is None and queue is None and score_mod is None and mask_mod is None
    if plain and key is not None and (small := _small(query, key, scale, symmetric, precision)) is not None:
        return small

    counts = distributed.row_counts(len(query))
    first_row = sum(counts[: distributed.rank()])
    one_set = key is None
    options: PairOptions = {
        "score_mod": score_mod,
        "mask_mod": _without_self(mask_mod) if one_set else mask_mod,
        "rows": rows,
        "columns": columns,
        "parameters": parameters,
        "first_row": first_row,
        "precision": precision,
        "tile": tile,
    }
    keys = distributed.gather_rows(query if key is None else key, counts=counts)
    others = [] if negatives is None else [distributed.gather_rows(negatives)]
    queue = None if queue is None else queue.detach()
    scoring = Scoring(query, keys, queue, scale, options, first_row, num_others=sum(len(x) for x in others))
    _check_columns(columns, len(keys) + scoring.num_others + (0 if queue is None else len(queue)))
    found = _positives(scoring, counts, labels, queue_labels, positives, weights, symmetric=symmetric, one_set=one_set)
    return _losses(scoring, others, found, symmetric=symmetric)


class InfoNCE(nn.Module):
    """InfoNCE with its temperature; see :func:`info_nce`.

    Args:
        temperature: Divisor of the similarities, > 0, no unit (SimCSE: 0.05); where it is learnable, its first value.
        learnable: Whether the temperature is learned, as ``log_scale = -log(temperature)``.
        symmetric: Whether keys look among queries too.

    State: ``log_scale``, if it is learnable.

    Raises:
        ValueError: temperature <= 0.

    Example:
        >>> loss = InfoNCE(temperature=1.0)
        >>> loss(torch.eye(2), torch.eye(2)).mean()
        tensor(0.3133)
    """

    log_scale: nn.Parameter | None

    def __init__(self, temperature: float = 0.05, learnable: bool = False, symmetric: bool = False) -> None:
        super().__init__()
        check_temperature("info_nce", temperature, usual="0.02 to 0.2")
        self._temperature = temperature
        self.symmetric = symmetric
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature))) if learnable else None

    @property
    def temperature(self) -> float | Tensor:
        """The temperature as it is now: a number, or a scalar tensor where it is learnable."""
        return self._temperature if self.log_scale is None else torch.exp(-self.log_scale)

    def forward(self, query: Tensor, key: Tensor | None, **options: Any) -> RowLosses:
        """Return the loss of each row; ``options`` are those of :func:`info_nce` but temperature and symmetric."""
        return info_nce(query, key, temperature=self.temperature, symmetric=self.symmetric, **options)

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        temperature = self._temperature if self.log_scale is None else math.exp(-self.log_scale.item())
        learnable = self.log_scale is not None
        return f"temperature={temperature:.6g}, learnable={learnable}, symmetric={self.symmetric}"


def _small(
    query: Tensor, key: Tensor, scale: float | Tensor, symmetric: bool, precision: Precision
) -> RowLosses | None:
    """Compute the plain loss of a small problem whole; None where that does not apply."""
    if (
        query.shape[0] ** 2 > (_SMALL // 4 if symmetric else _SMALL)
        or not query.shape[0]
        or distributed.world_size() > 1
    ):
        return None
    if query.dtype not in (torch.float32, torch.float64) or key.dtype != query.dtype:
        return None
    if pairwise.operands_are_rounded("info_nce", precision, (query, key)):
        return None
    values = pairwise.whole_cross_entropy(query, key, scale=scale, symmetric=symmetric)
    if not math.isfinite(values.detach().sum().item()):
        return None  # the engine says which row it is
    return RowLosses.of(values)


def _losses(scoring: Scoring, others: list[Tensor], positives: Positives | None, *, symmetric: bool) -> RowLosses:
    """Return softmax normalisers minus mean positive scores, in one direction or averaged over both."""
    own = None
    if positives is None:
        own = torch.arange(scoring.own.start, scoring.own.stop, device=scoring.query.device)
    terms = pairwise.softmax_terms(
        scoring.query,
        scoring.keys,
        over="both" if symmetric else "keys",
        picked=own,
        **scoring.options_of(0, len(scoring.keys)),
    )
    totals, first_column = [cast("Tensor", terms.over_keys)], len(scoring.keys)
    for block in others if scoring.queue is None else [*others, scoring.queue]:
        options = scoring.options_of(first_column, len(block))
        totals.append(pairwise.logsumexp(scoring.query, block, **options))
        first_column += len(block)
    target = target_of_columns = terms.picked
    if positives is not None:
        target, target_of_columns = mean_scores(positives, scoring)
    rows = _direction(_logaddexp(totals), cast("Tensor", target), None if positives is None else positives.row_totals)
    if terms.over_queries is None:
        return rows
    total = distributed.logsumexp_over_processes(terms.over_queries)[scoring.own]
    weight = None if positives is None else positives.column_totals
    columns = _direction(total, cast("Tensor", target_of_columns), weight)
    number = rows.counted.to(total.dtype) + columns.counted
    return RowLosses((rows.values + columns.values) / number.clamp(min=1), number > 0)


def _logaddexp(totals: Sequence[Tensor]) -> Tensor:
    """Return ``log(sum(exp(totals)))``; -inf, without a gradient, where all are."""
    if len(totals) == 1:
        return totals[0]
    stacked = torch.stack(list(totals))
    empty = (stacked == -math.inf).all(0)
    return torch.logsumexp(stacked.masked_fill(empty, 0.0), 0).masked_fill(empty, -math.inf)


def _direction(total: Tensor, target: Tensor, weight_of_positives: Tensor | None) -> RowLosses:
    counted = total > -math.inf
    if weight_of_positives is not None:
        counted = counted & (weight_of_positives > 0)
    return RowLosses(torch.where(counted, total - target, 0.0), counted)


def _without_self(mask_mod: MaskMod | None) -> MaskMod:
    """Return a mask that leaves out the pair of a row with itself, and what ``mask_mod`` leaves out."""

    def others(row: Side, column: Side) -> Tensor:
        other = row.index != column.index
        return other if mask_mod is None else other & mask_mod(row, column)

    return others


def _positives(
    scoring: Scoring,
    counts: list[int],
    labels: Tensor | None,
    queue_labels: Tensor | None,
    positives: Tensor | None,
    weights: Tensor | None,
    *,
    symmetric: bool,
    one_set: bool,
) -> Positives | None:
    num_rows, num_keys = len(scoring.query), len(scoring.keys)
    if labels is not None:
        _check_labels("labels", labels, num_rows, "rows of query")
        if queue_labels is not None:
            _check_labels("queue_labels", queue_labels, 0 if scoring.queue is None else len(scoring.queue), "of queue")
        return LabelPositives(labels, counts, queue_labels, both=symmetric, one_set=one_set)
    if queue_labels is not None:
        raise ValueError(
            "info_nce: queue_labels is given but labels is not; positives in the queue are those with a row's label. "
            "Give labels too, or leave queue_labels out."
        )
    given = positives if positives is not None else weights
    if given is None:
        return None
    name, kind = ("positives", "bool") if positives is not None else ("weights", "floating")
    fits = given.dtype == torch.bool if positives is not None else given.is_floating_point()
    if given.shape != (num_rows, num_keys) or not fits:
        raise ValueError(
            f"info_nce: {name} is {given.dtype} {list(given.shape)}; it is {kind} [{num_rows}, {num_keys}], rows of "
            "this process against keys of all. Gather what belongs to keys first."
        )
    values = given.detach().to(scoring.query.dtype, copy=True)
    if weights is not None and not bool(((values >= 0) & values.isfinite()).all()):
        raise ValueError(
            "info_nce: weights has a value that is negative or not finite; weights are >= 0. Clamp them, or leave "
            "such pairs at 0."
        )
    if one_set:
        own = torch.arange(num_rows, device=values.device)
        values[own, own + scoring.first_row] = 0.0
    return WeightPositives(values, scoring.own, both=symmetric)


def _scale(temperature: float | Tensor, query: Tensor, symmetric: bool) -> float | Tensor:
    """Return 1 / temperature."""
    if not isinstance(temperature, Tensor):
        check_temperature("info_nce", temperature, usual="0.02 to 0.2")
        return 1.0 / temperature
    if temperature.shape not in ((), query.shape[:1]):
        raise ValueError(
            f"info_nce: temperature is {list(temperature.shape)} for {query.shape[0]} rows of query; it is a number, a "
            "scalar tensor, or one per row of query. Give one of these."
        )
    if temperature.ndim and symmetric:
        raise ValueError(
            f"info_nce: temperature is {list(temperature.shape)} but symmetric is set; one per row belongs to one "
            "direction. Call info_nce for each direction, with the temperatures of that side."
        )
    if not bool((temperature.detach() > 0).all()):
        raise ValueError(
            f"info_nce: temperature is {float(temperature.detach().min()):g} at least; it must be > 0. "
            "Learn its logarithm, or clamp it."
        )
    return 1.0 / temperature


def _check_operands(query: Tensor, key: Tensor | None, negatives: Tensor | None, queue: Tensor | None) -> None:
    for name, x in (("query", query), ("key", key), ("negatives", negatives), ("queue", queue)):
        if x is None:
            continue
        if x.ndim != 2 or not x.is_floating_point():
            raise TypeError(
                f"info_nce: {name} is {x.dtype} {list(x.shape)}; it is a floating tensor of two axes [rows, D]. "
                "Flatten other axes first."
            )
        if x.shape[1] != query.shape[1]:
            raise ValueError(
                f"info_nce: query is {list(query.shape)} but {name} is {list(x.shape)}; the last axes must agree. "
                "Use one projector width for both towers."
            )
    if key is not None and key.shape[0] != query.shape[0]:
        raise ValueError(
            f"info_nce: query is {list(query.shape)} but key is {list(key.shape)}; every row of query has its own key. "
            "Give keys that belong to no row as negatives."
        )


def _check_positives(query: Tensor, key: Tensor | None, given: list[str], symmetric: bool) -> None:
    if len(given) > 1:
        raise ValueError(
            f"info_nce: {' and '.join(given)} are given; one of labels, positives and weights says what the positives "
            "are. Combine them into weights."
        )
    if key is None and not given:
        raise ValueError(
            "info_nce: key is None and so are labels, positives and weights; queries that look among themselves need "
            "to be told their positives. Give labels, or keys."
        )
    if key is None and symmetric:
        raise ValueError(
            "info_nce: key is None and symmetric is set; one set of rows has one direction. Leave symmetric out."
        )
    if key is query and given:
        raise ValueError(
            f"info_nce: query and key are the same tensor and {given[0]} is given, so every row would be its own "
            "positive; a set of its own is key=None. Pass key=None."
        )


def _check_labels(name: str, labels: Tensor, expected: int, of: str) -> None:
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"info_nce: {name} is {labels.dtype}; labels are integers. Number the classes.")
    if labels.shape != (expected,):
        raise ValueError(
            f"info_nce: {name} is {list(labels.shape)} for {expected} {of}; it holds one label for each. "
            "Give the labels of this batch."
        )


def _check_columns(columns: Sequence[Tensor], num_columns: int) -> None:
    for position, x in enumerate(columns):
        if x.ndim == 0 or x.shape[0] != num_columns:
            raise ValueError(
                f"info_nce: columns[{position}] is {list(x.shape)} for {num_columns} candidates; its first axis holds "
                "all keys, then all negatives, then the queue. Gather and concatenate it in this order."
            )
