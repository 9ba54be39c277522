"""A nest of values and tensors on the disk: safetensors and JSON, never pickle."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["plain_disk_errors", "read_state", "write_state"]

_TENSORS = "tensors.safetensors"
_STRUCTURE = "state.json"


def write_state(folder: Path, state: Any, name: str = "state") -> None:
    """Write a nest of dicts, lists, tuples, numbers, strings and tensors into ``folder/name``.

    Args:
        folder: An existing folder.
        state: What to write; dict keys may be strings or integers.
        name: Subfolder, created.
    """
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    structure = _pack(state, "", tensors)
    with plain_disk_errors():
        save_file(tensors, str(target / _TENSORS))
    (target / _STRUCTURE).write_text(json.dumps(structure))


@contextlib.contextmanager
def plain_disk_errors() -> Iterator[None]:
    """Turn what safetensors raises when it cannot write into the ``OSError`` that it was."""
    try:
        yield
    except SafetensorError as error:
        code = re.search(r"(?:os error|code:) (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def read_state(folder: Path, name: str = "state") -> Any:
    """Read what :func:`write_state` wrote; tensors come back on the CPU, bit for bit."""
    target = folder / name
    tensors = load_file(str(target / _TENSORS))
    return _unpack(json.loads((target / _STRUCTURE).read_text()), tensors)


def _pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        key = path or "/"
        tensors[key] = value.detach().cpu().contiguous().clone()  # a copy: safetensors refuses shared memory
        return {"tensor": key}
    if isinstance(value, dict):
        return {"items": [[key, _pack(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        packed = [_pack(item, f"{path}/{number}", tensors) for number, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": packed}
    if value is None or isinstance(value, str | bool | int | float):
        return {"value": value}
    raise TypeError(f"state at '{path}' is {type(value).__name__}; a state holds tensors, numbers, strings and nests.")


def _unpack(packed: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    kind, content = next(iter(packed.items()))
    if kind == "tensor":
        return tensors[content]
    if kind == "items":
        return {key: _unpack(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_unpack(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content
