"""Telling a row's own key from keys of earlier batches, and from mixtures of the hardest of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise import pairwise
from likewise.losses.checks import check_own_key, check_temperature
from likewise.losses.own_key import own_key_losses, products

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

    from likewise.losses.reduction import RowLosses
    from likewise.pairwise import MaskMod, Precision
    from likewise.sampling import Mixture

__all__ = ["MixedScores", "mixed_scores", "queue_contrast"]

_CHUNK = 2**23
"""Numbers of synthetic keys that are held at a time."""


@dataclass(frozen=True)
class MixedScores:
    """How a row stands to its synthetic negatives.

    Args:
        logsumexp: Log-sum-exp of its logits with them, ``[B]``; differentiable.
        largest: The largest of these logits, ``[B]``; a constant.
    """

    logsumexp: Float[Tensor, "B"]
    largest: Float[Tensor, "B"]


def queue_contrast(
    query: Float[Tensor, "B D"],
    key: Float[Tensor, "B D"],
    queue: Float[Tensor, "Q D"],
    *,
    temperature: float,
    mixed: MixedScores | None = None,
    mask_mod: MaskMod | None = None,
    rows: Sequence[Shaped[Tensor, "B *axes"]] = (),
    columns: Sequence[Shaped[Tensor, "Q *axes"]] = (),
    precision: Precision = "auto",
) -> RowLosses:
    r"""Cross-entropy of a query's own key against the queue; the other keys of the batch are no candidates.

    ``loss_i = log( exp(q_i.k_i / t) + sum_n exp(q_i.n / t) + sum_h exp(q_i.h / t) ) - q_i.k_i / t`` over the keys n of
    the queue and the synthetic negatives h of the row. A row without any negative is counted out.

    Args:
        query: Rows of this process; unit norm.
        key: The own key of each row; unit norm. Constant.
        queue: Keys of earlier batches; unit norm. Constant.
        temperature: Divisor of the similarities, > 0, no unit (MoCo: 0.07; MoCo v2: 0.2).
        mixed: The part of synthetic negatives, of :func:`mixed_scores` at the same temperature.
        mask_mod: Says which keys of the queue are negatives of which row, as in
            :class:`likewise.pairwise.PairOptions`.
        rows: Tensors for the mask, of this process's rows.
        columns: Tensors for the mask, of the queue.
        precision: As in :class:`likewise.pairwise.PairOptions`.

    Returns:
        The loss of each row of this process in nats, and which rows count.

    Raises:
        ValueError: Shapes do not go together, temperature <= 0, or a value is not finite.

    Cost: O((B + Q) D) memory; one product of B x Q x D forward and one backward.
    Source: He et al. 2020 (MoCo), arXiv 1911.05722, eq. 1; with mixtures Kalantidis et al. 2020, arXiv 2010.01028.

    Example:
        >>> query, queue = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> queue_contrast(query, query, queue, temperature=1.0).values  # log(e + 1) - 1
        tensor([0.3133])
    """
    check_temperature("queue_contrast", temperature, usual="0.07 to 0.5")
    check_own_key("queue_contrast", query, key)
    scale = 1.0 / temperature
    negatives = pairwise.logsumexp(
        query, queue.detach(), scale=scale, mask_mod=mask_mod, rows=rows, columns=columns, precision=precision
    )
    if mixed is not None:
        negatives = torch.logaddexp(negatives, mixed.logsumexp)
    return own_key_losses(query, key.detach(), negatives, scale=scale)


def mixed_scores(
    query: Float[Tensor, "B D"], queue: Float[Tensor, "Q D"], mixture: Mixture, *, temperature: float
) -> MixedScores:
    """Score queries against their own synthetic negatives, which are made some rows at a time and not kept.

    The negatives are constants: the gradient reaches a query through its products alone, never through what was mixed.
    It is that of the softmax, ``sum_h p_h h / t``, one vector a row, which is all that is kept for the backward pass.

    Args:
        query: Rows of this process; unit norm.
        queue: What the mixture draws from; unit norm.
        mixture: Which keys, and how much of each.
        temperature: Divisor of the similarities, > 0.

    Returns:
        Log-sum-exp and maximum of the logits; -inf for a row that has nothing to mix.

    Cost: O(B D) memory and :data:`_CHUNK` numbers; two products of B (s + s') D.
    Source: Kalantidis et al. 2020 (MoCHi), arXiv 2010.01028, eq. 4 and 5.
    """
    check_temperature("mixed_scores", temperature, usual="0.07 to 0.5")
    scale = 1.0 / temperature
    wide = query if query.dtype == torch.float64 else query.float()
    total, largest = wide.new_full((2, len(query)), -math.inf)
    expected = torch.zeros_like(wide, requires_grad=False)
    per_row = max(1, (mixture.first.shape[1] + mixture.single.shape[1]) * query.shape[1])
    with torch.no_grad(), pairwise.without_autocast(query.device):
        mixed = mixture.first.shape[1] + mixture.single.shape[1] > 0
        chosen = mixture.counted.nonzero()[:, 0] if mixed else mixture.counted.nonzero()[:0, 0]
        for part in chosen.split(max(1, _CHUNK // per_row)) if len(chosen) else ():
            made = _synthetic(wide[part], queue, mixture, part)  # [b, s + s', D]
            logits = scale * torch.einsum("bd,bhd->bh", wide[part], made)
            total[part], largest[part] = logits.logsumexp(1), logits.amax(1)
            expected[part] = torch.einsum("bh,bhd->bd", logits.softmax(1), made)
    with pairwise.without_autocast(query.device):
        # The value of ``total``, with the gradient of a log-sum-exp over constants.
        linear = scale * products(wide, expected, wide.dtype)
        return MixedScores(total + (linear - linear.detach()), largest)


def _synthetic(query: Tensor, queue: Tensor, mixture: Mixture, rows: Tensor) -> Float[Tensor, "b h D"]:
    keys = queue.detach().to(query.dtype)
    share = mixture.share[rows].to(query.dtype)[:, :, None]
    own = mixture.query_share[rows].to(query.dtype)[:, :, None]
    of_two = share * keys[mixture.first[rows]] + (1 - share) * keys[mixture.second[rows]]
    with_query = own * query[:, None] + (1 - own) * keys[mixture.single[rows]]
    return F.normalize(torch.cat([of_two, with_query], dim=1), dim=2)
