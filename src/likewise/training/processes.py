"""Starting the processes of one run: alone, under ``torchrun``, or under ``accelerate launch``."""

from __future__ import annotations

import os

import torch

__all__ = ["start_processes"]


def start_processes() -> None:
    """Join the process group that a launcher has prepared; nothing where this process runs alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())
