"""Batches on their way from a worker to the training process."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Parcel", "pack"]

LARGEST = 1 << 21
"""Bytes of tensors up to which a batch is copied through the pipe. Beyond, torch shares memory, which costs half a
millisecond a tensor and no copy."""


@dataclass(frozen=True)
class Parcel:
    """A batch as bytes."""

    content: bytes

    def unpack(self) -> Any:
        """Return what was packed."""
        return pickle.loads(self.content)  # noqa: S301 - made by a worker of this very process


class _TooLarge(Exception):
    pass


class _Packer(pickle.Pickler):
    """Writes the bytes of tensors as they are."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self._size = 0

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or value.device.type != "cpu" or value.layout != torch.strided:
            return NotImplemented
        self._size += value.nbytes
        if self._size > LARGEST:
            raise _TooLarge
        if value.dtype == torch.bfloat16 or value.requires_grad or value.is_quantized:
            return NotImplemented
        return torch.from_numpy, (value.numpy(),)


def pack(batch: Any) -> Any:
    """Pack a batch of small tensors into bytes; return one of large tensors as it is.

    Example:
        >>> pack({"x": torch.arange(3)}).unpack()
        {'x': tensor([0, 1, 2])}
    """
    file = io.BytesIO()
    try:
        _Packer(file).dump(batch)
    except _TooLarge:
        return batch
    return Parcel(file.getvalue())
