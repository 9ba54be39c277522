"""Which term of a loss moves the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from likewise import distributed

__all__ = ["GradientShare", "gradient_shares"]


class GradientShare(NamedTuple):
    """What one term of a loss does to the weights.

    Args:
        norm: Length of its gradient.
        share: That length as a share of the sum over all terms, in [0, 1]; 0 where no term has a gradient.
        cosine: Cosine of its gradient with that of the whole loss, in [-1, 1]; below 0 the others win against it.
    """

    norm: float
    share: float
    cosine: float


def gradient_shares(terms: Mapping[str, Tensor], parameters: Iterable[Tensor]) -> dict[str, GradientShare]:
    """Compare the gradients of the terms of one loss.

    ``norm_t = ||dL_t/dw||``, ``share_t = norm_t / sum_u norm_u`` and
    ``cosine_t = <dL_t/dw, dL/dw> / (norm_t ||dL/dw||)`` with ``L = sum_t L_t``.

    Nothing else changes: no ``.grad`` is touched, random generators are where they were, and the graph can still be
    gone back through.

    Args:
        terms: Scalars by name, with their graph; those of a :class:`likewise.training.StepOutput`.
        parameters: The weights; those that need no gradient are passed over.

    Returns:
        One :class:`GradientShare` a term, in their order. In several processes, where each calls this with its own
        terms, gradients are averaged as those of the training step are.

    Raises:
        ValueError: There is no term, a term is no scalar, or no weight needs a gradient.

    Cost: A backward pass and a copy of the gradient for each term.

    Example:
        >>> weight = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> shares = gradient_shares({"a": 3 * weight[0], "b": 4 * weight[1]}, [weight])
        >>> [(name, round(s.norm, 4), round(s.share, 4), round(s.cosine, 4)) for name, s in shares.items()]
        [('a', 3.0, 0.4286, 0.6), ('b', 4.0, 0.5714, 0.8)]
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    wrong = [name for name, term in terms.items() if term.numel() != 1]
    if not terms or not trained or wrong:
        raise ValueError(
            f"gradient_shares: {len(terms)} terms, {len(trained)} weights that need a gradient"
            f"{f', and term {wrong[0]!r} is no scalar' if wrong else ''}; at least one of each, and scalars, are "
            "accepted. Give the terms of a loss and the weights that it trains."
        )
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):  # a pass in chunks draws its dropout again
        gradients = [_gradient(term, trained) for term in terms.values()]
    products = torch.tensor([[_product(a, b) for b in gradients] for a in gradients], dtype=torch.float64)
    norms = products.diagonal().clamp_min(0.0).sqrt()
    whole = products.sum().clamp_min(0.0).sqrt()
    shares = norms / norms.sum() if norms.any() else norms
    lengths = norms * whole
    cosines = torch.where(lengths > 0, products.sum(1) / lengths.masked_fill(lengths == 0, 1.0), 0.0).clamp(-1.0, 1.0)
    rows = zip(norms.tolist(), shares.tolist(), cosines.tolist(), strict=True)
    return {name: GradientShare(*row) for name, row in zip(terms, rows, strict=True)}


def _gradient(term: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    """Return the gradient of a term over all processes, zero where a weight is not part of it."""
    found: tuple[Tensor | None, ...] = (None,) * len(parameters)
    if term.requires_grad:
        found = torch.autograd.grad(term.reshape(()), parameters, retain_graph=True, allow_unused=True)
    whole = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    return [distributed.sum_over_processes(g) / distributed.world_size() for g in whole]


def _product(first: list[Tensor], second: list[Tensor]) -> float:
    return sum(float((a * b).sum(dtype=torch.float64)) for a, b in zip(first, second, strict=True))
