"""Which number format the products of an encoder are computed in."""

from __future__ import annotations

import functools
from typing import Literal, get_args

import torch

__all__ = ["Precision", "has_fast_bf16", "resolve_precision"]

Precision = Literal["auto", "bf16", "fp32"]


@functools.cache
def has_fast_bf16(device: str = "cpu") -> bool:
    """Whether the device multiplies bf16 faster than fp32: matrix units or AVX-512-BF16 on a CPU, Ampere or later."""
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False


def resolve_precision(precision: str, device: str = "cpu") -> Literal["bf16", "fp32"]:
    """Turn "auto" into "bf16" where the device computes it fast and into "fp32" elsewhere.

    Raises:
        ValueError: ``precision`` is none of "auto", "bf16", "fp32".
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision is '{precision}'; accepted are {', '.join(get_args(Precision))}.")
    if precision == "auto":
        return "bf16" if has_fast_bf16(device) else "fp32"
    return "bf16" if precision == "bf16" else "fp32"
