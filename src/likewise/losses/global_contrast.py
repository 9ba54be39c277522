"""The global contrastive loss: negatives are those of the whole data set, known from a running average of each row.

A small batch knows only a few of a row's negatives, so the normaliser of its softmax is noisy, and the logarithm makes
a bias of that noise. Here each row carries a moving average of its own normaliser over its visits, which takes the
place of the batch's in the gradient (SogCLR), and perhaps a temperature of its own (iSogCLR), which is moved by how
peaked the weights of its negatives are. :class:`likewise.memory.GlobalContrastState` remembers both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise import distributed, pairwise
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise import PairOptions, Precision, Side, Tile

__all__ = ["GlobalTerms", "global_contrast", "paired_global_contrast"]


@dataclass(frozen=True)
class GlobalTerms:
    """What a step with global negatives comes to, for each row of this process.

    Args:
        rows: Losses whose *gradient* is meant. The value is no objective: it may be negative and need not fall.
        log_average: Logarithm of the new average normaliser ``[B]``, to be remembered; constant.
        divergence: ``sum_j w_j a_j / c - log s`` in nats ``[B]``, constant: how peaked the weights of the negatives
            are. With ``gamma`` 1 it is their Kullback-Leibler divergence from even weights, in ``[0, log c]``.
        objective: The estimate ``temperature log s - positive`` of the row's loss over all data ``[B]``, constant; its
            mean falls.
    """

    rows: RowLosses
    log_average: Float[Tensor, "B"]
    divergence: Float[Tensor, "B"]
    objective: Float[Tensor, "B"]


def global_contrast(
    first: Float[Tensor, "B D"],
    second: Float[Tensor, "B D"],
    row_index: Int[Tensor, "B"],
    *,
    temperature: float | Float[Tensor, "B"],
    log_average: Float[Tensor, "B"],
    gamma: float,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> GlobalTerms:
    r"""Tell the two views of each row from the views of all rows that there are.

    The negatives of a view are the ``c = 2 N - 2`` views of the other rows of the batch, over all processes. With
    cosines ``z``, for each of the two views of a row::

        g = 1/c sum_j exp(z_j / temperature)                        the normaliser in this batch
        s = (1 - gamma) average + gamma g                           s = g at a row's first visit
        loss = 1/c sum_j w_j z_j - z_positive,  w_j = exp(z_j / temperature) / s  held constant

    A row's loss is the sum of that of its views, and its new average the mean of their two ``s``. The positive is not
    in the normaliser. All averages are kept as logarithms, so that no temperature makes them overflow.

    Args:
        first: A view of each row of this process; unit norm.
        second: The other one.
        row_index: Number of each row in its table; no row is twice in a batch.
        temperature: Divisor of the cosines, > 0, one or one a row; constant.
        log_average: Logarithm of what a row remembers of its normaliser, -inf where it was never visited.
        gamma: Weight of this batch in the average, in (0, 1]; 1 forgets all others, which is the loss of a batch.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Raises:
        ValueError: Shapes do not go together, a row is in the batch twice, there is no negative, or a value lies
            outside its range.

    Cost: O((B + N) D) memory; a forward pass of :func:`likewise.pairwise.logsumexp` and an
        :func:`likewise.pairwise.expectation` over the 2 B x 2 N pairs, which do not exist as a matrix.
    Source: Yuan et al. 2022 (SogCLR), arXiv 2202.12387, algorithm 1; Qiu et al. 2023 (iSogCLR), arXiv 2305.11965. The
        exponent holds ``z_j`` instead of ``z_j - z_positive``, as the official code does.

    Example:
        >>> views = torch.eye(2)
        >>> never = torch.full((2,), -torch.inf)
        >>> found = global_contrast(views, views, torch.arange(2), temperature=0.5, log_average=never, gamma=0.8)
        >>> found.rows.values, found.log_average  # negatives are at right angles: log g = 0
        (tensor([-2., -2.]), tensor([0., 0.]))
    """
    _check(first, second, row_index, gamma)
    temperature = _per_row("temperature", temperature, first)
    log_average = _per_row("log_average", log_average, first)
    keys, key_ids = _gathered(torch.cat([first, second]), row_index.repeat(2))
    exponents = _Exponents(keys, key_ids, own=2, masked=True, precision=precision, tile=tile)
    positive = _products(first, second, precision)
    found = [
        exponents.terms(view, row_index, positive, temperature, log_average, gamma, relative=False)
        for view in (first, second)
    ]
    losses, averages, divergences = zip(*found, strict=True)
    average = torch.logaddexp(*averages) - math.log(2)
    return _terms(losses[0] + losses[1], average, (divergences[0] + divergences[1]) / 2, temperature, positive)


def paired_global_contrast(
    image: Float[Tensor, "B D"],
    text: Float[Tensor, "B D"],
    row_index: Int[Tensor, "B"],
    *,
    temperature: tuple[float | Float[Tensor, "B"], float | Float[Tensor, "B"]],
    log_average: tuple[Float[Tensor, "B"], Float[Tensor, "B"]],
    gamma: float,
    positive_in_normaliser: bool = False,
    precision: Precision = "auto",
    tile: Tile | None = None,
) -> tuple[GlobalTerms, GlobalTerms]:
    r"""Tell a picture's text from all texts that there are, and a text's picture from all pictures.

    The negatives of a picture are the ``c = N - 1`` other texts of the batch, over all processes, and its differences
    ``h_j = z_j - z_positive`` take the place of cosines; the same for texts::

        g = 1/c sum_j exp(h_j / temperature)
        s = (1 - gamma) average + gamma g                           s = g at a row's first visit
        loss = 1/c sum_j w_j h_j,  w_j = exp(h_j / temperature) / s  held constant

    The loss of a pair is the sum of that of the two.

    Args:
        image: A picture of each row of this process (any first side of a pair); unit norm.
        text: Its text; unit norm.
        row_index: Number of each row in its table; no row is twice in a batch.
        temperature: Of pictures and of texts, > 0, one or one a row; constant.
        log_average: What pictures and texts remember; as in :func:`global_contrast`.
        gamma: As in :func:`global_contrast`.
        positive_in_normaliser: Whether ``exp(0)`` of the positive is among what is summed, though still divided by
            ``N - 1``, as the official code has it.
        precision: As in :class:`likewise.pairwise.PairOptions`.
        tile: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The terms of the pictures and of the texts.

    Raises:
        ValueError: As :func:`global_contrast`.

    Cost: As :func:`global_contrast`, over twice B x N pairs.
    Source: Qiu et al. 2023 (iSogCLR), arXiv 2305.11965, algorithm 2; without its running maximum, which logarithms need
        no more.

    Example:
        >>> image, never = torch.eye(2), torch.full((2,), -torch.inf)
        >>> options = {"temperature": (0.5, 0.5), "log_average": (never, never), "gamma": 0.8}
        >>> found, _ = paired_global_contrast(image, image, torch.arange(2), **options)
        >>> found.rows.values, found.log_average  # h = -1
        (tensor([-1., -1.]), tensor([-2., -2.]))
    """
    _check(image, text, row_index, gamma)
    positive = _products(image, text, precision)
    found = []
    for query, key, divisor, remembered in zip((image, text), (text, image), temperature, log_average, strict=True):
        divisor, remembered = _per_row("temperature", divisor, query), _per_row("log_average", remembered, query)
        keys, ids = _gathered(key, row_index)
        exponents = _Exponents(keys, ids, own=1, masked=not positive_in_normaliser, precision=precision, tile=tile)
        loss, average, divergence = exponents.terms(
            query, row_index, positive, divisor, remembered, gamma, relative=True
        )
        # The average is that of exp(h / t), which has the positive in it already.
        found.append(_terms(loss, average, divergence, divisor, torch.zeros_like(positive)))
    return found[0], found[1]


@dataclass(frozen=True)
class _Exponents:
    """The keys of all processes, and what a query makes of them."""

    keys: Tensor
    key_ids: Tensor
    own: int
    """Keys that belong to each row."""
    masked: bool
    """Whether these are left out."""
    precision: Precision
    tile: Tile | None

    def terms(
        self,
        query: Tensor,
        ids: Tensor,
        positive: Tensor,
        temperature: Tensor,
        log_average: Tensor,
        gamma: float,
        *,
        relative: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, new log average and divergence of each query."""
        options: PairOptions = {
            "scale": 1 / temperature,
            "mask_mod": _others if self.masked else None,
            "rows": (ids,),
            "columns": (self.key_ids,),
            "precision": self.precision,
            "tile": self.tile,
        }
        with torch.no_grad():
            log_sum = pairwise.logsumexp(query, self.keys, **options)
        # The mean of the exponents under weights that are held: its gradient in a cosine is p_j / temperature.
        mean = pairwise.expectation(query, self.keys, value=_itself, log_weight=torch.detach, **options)
        shift = positive.detach() / temperature if relative else 0.0
        log_batch = log_sum - shift - math.log(len(self.keys) - self.own)
        visited = log_average > -math.inf
        averaged = log_batch
        if gamma < 1:
            averaged = torch.logaddexp(math.log1p(-gamma) + log_average, math.log(gamma) + log_batch)
        new = torch.where(visited, averaged, log_batch)
        share = (log_batch - new).exp()  # g / s, at most 1 / gamma
        pushed = temperature * mean
        loss = share * (pushed - positive) if relative else share * pushed - positive
        return loss, new, (share * (mean - shift) - new).detach()


def _terms(loss: Tensor, log_average: Tensor, divergence: Tensor, temperature: Tensor, positive: Tensor) -> GlobalTerms:
    counted = torch.ones_like(loss, dtype=torch.bool)
    objective = temperature * log_average - positive.detach()
    return GlobalTerms(RowLosses(loss, counted), log_average, divergence, objective)


def _others(row: Side, column: Side) -> Tensor:
    return row[0] != column[0]


def _itself(score: Tensor) -> Tensor:
    return score


def _gathered(key: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    counts = distributed.row_counts(len(key))
    return distributed.gather_rows(key, counts=counts), distributed.gather_rows(ids, with_grad=False, counts=counts)


def _products(first: Tensor, second: Tensor, precision: Precision) -> Tensor:
    """Return the product of each row with its own key, of the values that the engine multiplies."""
    rounded = pairwise.operands_are_rounded("global_contrast", precision, (first, second))
    one, other = (pairwise.operand_values(x, rounded=rounded) for x in (first, second))
    products: Tensor = torch.linalg.vecdot(one, other)
    return products


def _per_row(name: str, value: float | Tensor, query: Tensor) -> Tensor:
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    given = torch.as_tensor(value, dtype=dtype, device=query.device).detach()
    if given.shape not in ((), query.shape[:1]):
        raise ValueError(
            f"global_contrast: {name} is {list(given.shape)} for {len(query)} rows; it is one value, or one a row [B]."
        )
    if name == "temperature" and not bool((given > 0).all()):
        raise ValueError("global_contrast: a temperature is not > 0; it divides the cosines (paper: 0.1).")
    return given.expand(len(query))


def _check(first: Tensor, second: Tensor, row_index: Tensor, gamma: float) -> None:
    if first.ndim != 2 or first.shape != second.shape or row_index.shape != first.shape[:1]:
        raise ValueError(
            f"global_contrast: the sides are {list(first.shape)} and {list(second.shape)}, and row_index "
            f"{list(row_index.shape)}; they are [B, D], [B, D] and [B], the number of each row in its table."
        )
    if not 0 < gamma <= 1:
        raise ValueError(f"global_contrast: gamma is {gamma}; it is in (0, 1], the weight of the batch (paper: 0.8).")
    everywhere = distributed.gather_rows(row_index, with_grad=False)
    if len(everywhere) < 2:
        raise ValueError("global_contrast: the batch has one row, which has no negative; give at least 2.")
    if len(everywhere.unique()) < len(everywhere):
        raise ValueError(
            "global_contrast: a row is in the batch twice, and would be its own negative; give each once, by its "
            "number in the table."
        )
