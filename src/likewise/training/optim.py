"""The optimiser and the course of its learning rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from likewise.training.config import TrainingConfig

__all__ = ["adamw", "learning_rate_schedule"]


def adamw(module: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """Build AdamW (betas 0.9, 0.999; eps 1e-8) over the parameters that train.

    Matrices decay, vectors and scalars (biases, norms, temperatures) do not: the usual practice since BERT.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    # Fused: one pass over each weight instead of a dozen.
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr, fused=True)


def learning_rate_schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig, total_steps: int) -> Any:
    """Build the schedule: warm-up from 0, then linear or cosine to 0, or constant."""
    from transformers import get_scheduler

    name = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    return get_scheduler(
        name, optimizer, num_warmup_steps=round(config.warmup * total_steps), num_training_steps=total_steps
    )
