"""Packages that only some uses need, which an extra of likewise installs."""

from __future__ import annotations

import importlib
from typing import Any

from likewise.errors import InputError

__all__ = ["image_transforms", "optional"]


def optional(module: str, *, extra: str, use: str, instead: str = "") -> Any:
    """Import a module of an optional package.

    Args:
        module: Its name: "torchvision.transforms.v2".
        extra: The extra of likewise that installs it: "image".
        use: What the package does, behind "which": "changes pictures".
        instead: What else one can do, behind "or"; empty: nothing.

    Raises:
        InputError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        otherwise = f", or {instead}" if instead else ""
        raise InputError(
            f"the package {package} is not installed, which {use}; install it with pip install "
            f"'likewise[{extra}]'{otherwise}."
        ) from error


def image_transforms() -> Any:
    """Return torchvision's transforms of pictures, ``torchvision.transforms.v2``.

    Raises:
        InputError: torchvision is not installed.
    """
    return optional("torchvision.transforms.v2", extra="image", use="reads and changes pictures")
