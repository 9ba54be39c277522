"""The optimiser and the course of its learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from likewise.training.config import TrainingConfig

__all__ = ["adamw", "learning_rate_schedule", "set_rate"]


def adamw(
    module: nn.Module, config: TrainingConfig, learning_rates: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """Build AdamW (betas 0.9, 0.999; eps 1e-8) over the parameters that train.

    Matrices decay, vectors and scalars (biases, norms, temperatures) do not: the usual practice since BERT.

    Args:
        module: Whose parameters.
        config: Learning rate and weight decay.
        learning_rates: Factors > 0 on the learning rate by name of a part of the module, ``{"head": 10.0}``; of several
            parts that hold a parameter the longest name counts, and parameters of no such part have the factor 1.

    Raises:
        ValueError: A factor is not > 0, or the part holds no parameter that trains.
    """
    factors = dict(learning_rates or {})
    for part, factor in factors.items():
        if not factor > 0:
            raise ValueError(f"the factor on the learning rate of '{part}' must be > 0, got {factor}")
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    found = set()
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        part = max((one for one in factors if _holds(one, name)), key=len, default="")
        found.add(part)
        groups.setdefault((factors.get(part, 1.0), parameter.ndim >= 2), []).append(parameter)
    if unknown := sorted(factors.keys() - found):
        raise ValueError(f"no parameter that trains is in '{unknown[0]}', which has a learning rate of its own")
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.lr * factor,
                "weight_decay": config.weight_decay if decays else 0.0,
                "factor": factor,
            }
            for (factor, decays), parameters in groups.items()
        ],
        fused=True,  # one pass over each weight instead of a dozen
    )


def _holds(part: str, name: str) -> bool:
    return f"{name}.".startswith(f"{part}.")


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of parameters whose factor is 1, and that of the others in proportion."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def learning_rate_schedule(config: TrainingConfig, total_steps: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the step, from 0.

    It rises from 0, then falls linearly or as a cosine to 0, or is constant. It is a function of the step alone, so
    there is nothing to save, and several optimisers of one run follow one course whichever of them steps.
    """
    from transformers import get_scheduler

    schedule = get_scheduler(
        "constant_with_warmup" if config.schedule == "constant" else config.schedule,
        torch.optim.SGD([torch.zeros(1)]),  # it wants one; only the curve is used
        num_warmup_steps=round(config.warmup * total_steps),
        num_training_steps=total_steps,
    )
    course: Callable[[int], float] = schedule.lr_lambdas[0]
    return lambda step: config.lr * course(step)
