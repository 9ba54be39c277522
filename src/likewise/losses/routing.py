"""What is asked of routers: to follow the domain, to use all experts, or to let the two tell of each other.

Source: Hallee et al., arXiv 2401.15713 and its earlier versions; load balance: Fedus et al. 2022, arXiv 2101.03961,
section 2.2; mutual information: Chen et al. 2023 (Mod-Squad), arXiv 2212.08066.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise import distributed
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["load_balance", "mutual_information", "specified_expert"]

FLOOR = 1e-4
"""Added to sums and to the ratio whose logarithm is taken, as in the official code."""


def specified_expert(logits: Float[Tensor, "B L N"], domain: Int[Tensor, "B"]) -> RowLosses:
    """Return the cross-entropy of the router, as a mean over layers, at the expert of each text's domain.

    Args:
        logits: What the routers of ``L`` layers say.
        domain: Number of each text's domain, in [0, N).

    Example:
        >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])
        >>> specified_expert(logits, torch.tensor([0, 1])).mean()
        tensor(0.2201)
    """
    values = F.cross_entropy(logits.mean(dim=1), domain, reduction="none")
    return RowLosses.of(values)


def load_balance(logits: Float[Tensor, "B L N"]) -> Float[Tensor, ""]:
    """Return ``N sum_e f_e p_e``, a mean over layers: 1 where all experts are used alike, up to N where only one is.

    ``f_e`` is the share of texts whose best expert is e (a constant), ``p_e`` their mean probability of it, over all
    processes.

    Args:
        logits: What the routers say.
    """
    chances = logits.softmax(dim=-1)
    best = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(chances.dtype)
    total = distributed.sum_over_processes(torch.tensor(float(len(logits)), device=logits.device))
    share = distributed.sum_over_processes(best.sum(dim=0)) / total  # [L, N]
    mean = distributed.sum_over_processes(chances.sum(dim=0), with_grad=True) / total
    return logits.shape[-1] * (share * mean).sum(dim=-1).mean()


def mutual_information(
    logits: Float[Tensor, "B L N"], domain: Int[Tensor, "B"], domains: int, top_k: int = 1
) -> Float[Tensor, ""]:
    """Return minus the mutual information of domain and expert, a mean over layers, in nats; lower is more.

    The official code sums constants over the whole run, so that its loss has no gradient; this one is of the batch of
    all processes and has one.

    Args:
        logits: What the routers say.
        domain: Number of each text's domain.
        domains: How many domains there are.
        top_k: Experts that share a text.
    """
    chances = logits.softmax(dim=-1)
    of_domain = F.one_hot(domain, domains).to(chances.dtype)  # [B, T]
    mass = torch.einsum("bt,bln->ltn", of_domain, chances)
    mass = distributed.sum_over_processes(mass, with_grad=True)
    joint = mass / (mass.sum(dim=(1, 2), keepdim=True) / top_k + FLOOR)
    of_domains, of_experts = (joint.sum(dim=axis, keepdim=True) + FLOOR for axis in (2, 1))
    return -(joint * (joint / (of_domains * of_experts) + FLOOR).log()).sum(dim=(1, 2)).mean()
