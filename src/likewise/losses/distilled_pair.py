"""Learning pair scores from labels and from a teacher's scores of the same pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from likewise.errors import InputError
from likewise.losses.pair_task import PairTask
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

__all__ = ["DistilledPairLoss", "distillation"]


def distillation(scores: Float[Tensor, "B C"], teacher_scores: Float[Tensor, "B C"]) -> RowLosses:
    """Squared distance to the teacher's scores: ``rows[i] = sum_c (s_ic - t_ic)^2``.

    Args:
        scores: The student's, before any sigmoid or softmax.
        teacher_scores: The teacher's of the same pairs; constants.

    Returns:
        The loss of each pair; all count.

    Raises:
        ValueError: The shapes differ.

    Source: Barkan et al. 2020 (DSE), arXiv 1908.05161, eq. 4; official ``DSETrainer``: summed over scores, averaged
        over pairs.

    Example:
        >>> distillation(torch.tensor([[0.5], [-1.0]]), torch.tensor([[2.0], [-3.0]])).mean()
        tensor(3.1250)
    """
    if scores.shape != teacher_scores.shape:
        raise ValueError(
            f"distillation: scores are {list(scores.shape)} but teacher_scores {list(teacher_scores.shape)}; each pair "
            "needs the teacher's scores of itself, as many as the student gives."
        )
    values = ((scores - teacher_scores.detach().to(scores.dtype)) ** 2).sum(dim=1)
    return RowLosses.of(values)


class DistilledPairLoss(nn.Module):
    """``(1 - alpha) * task(s, y) + alpha * mean_i sum_c (s_ic - t_ic)^2``, each a mean over pairs that have it.

    Pairs may lack a label: the first term is the mean over those that have one. With alpha 0 the teacher's scores are
    not looked at, with alpha 1 the labels are not.

    Args:
        task: What the scores say.
        alpha: Weight of the teacher, in [0, 1] (paper: 0.5).

    Raises:
        InputError: alpha is outside [0, 1].

    Cost: elementwise; nothing is compared with other pairs.
    Source: Barkan et al. 2020 (DSE), arXiv 1908.05161, eq. 5.

    Example:
        >>> loss = DistilledPairLoss(PairTask.of("binary"), alpha=0.5)
        >>> scores, target = torch.tensor([[0.5], [-1.0]]), torch.tensor([1.0, 0.0])
        >>> terms = loss(scores, target, teacher_scores=torch.tensor([[2.0], [-3.0]]))
        >>> round(sum(rows.mean() for rows in terms.values()).item(), 6)
        1.759335
    """

    def __init__(self, task: PairTask, alpha: float = 0.5) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise InputError(f"alpha is {alpha}; it is the weight of the teacher, from 0 (labels alone) to 1.")
        self.task, self.alpha = task, alpha

    def forward(
        self,
        scores: Float[Tensor, "B C"],
        target: Float[Tensor, "B"] | None,
        *,
        has_label: Bool[Tensor, "B"] | None = None,
        teacher_scores: Float[Tensor, "B C"] | None = None,
    ) -> dict[str, RowLosses]:
        """Return the weighted losses of each pair, by the name of their term; a term of weight 0 is left out.

        Args:
            scores: The student's.
            target: Labels as :meth:`PairTask.target` gives them; not needed with alpha 1.
            has_label: Which pairs have one; all where not given.
            teacher_scores: The teacher's; not needed with alpha 0.

        Raises:
            ValueError: A term has weight but not what it needs, or the head's width is not that of the task.
        """
        if scores.ndim != 2 or scores.shape[1] != self.task.num_scores:
            raise ValueError(
                f"DistilledPairLoss: scores are {list(scores.shape)}, but the task has {self.task.num_scores} a pair; "
                "make the head as wide."
            )
        terms = {}
        if self.alpha < 1:
            if target is None:
                raise ValueError("DistilledPairLoss: alpha is below 1 and target is not given; give labels.")
            counted = torch.ones_like(target, dtype=torch.bool) if has_label is None else has_label
            values = torch.where(counted, (1 - self.alpha) * self.task.losses(scores, target), 0.0)
            terms["task"] = RowLosses(values, counted)
        if self.alpha > 0:
            if teacher_scores is None:
                raise ValueError("DistilledPairLoss: alpha is above 0 and teacher_scores are not given; give them.")
            rows = distillation(scores, teacher_scores)
            terms["distillation"] = RowLosses(self.alpha * rows.values, rows.counted)
        return terms

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"task={self.task.kind}, alpha={self.alpha}"
