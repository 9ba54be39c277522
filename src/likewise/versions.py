"""What a stored result depends on besides data and settings."""

from __future__ import annotations

import importlib.metadata
import platform

__all__ = ["installed_versions"]

PACKAGES = ("likewise", "torch", "transformers", "sentence-transformers", "numpy", "scipy", "scikit-learn")


def installed_versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, of what computes the figures, and of ``more`` packages."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in (*PACKAGES, *more)},
    }
