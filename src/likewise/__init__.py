"""Contrastive representation learning on your own data: train, measure, search.

The names below are loaded when they are first used, so ``import likewise`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likewise.api import train
    from likewise.artefact import load
    from likewise.classify import FewShotClassifier
    from likewise.data import open_table, split
    from likewise.products import use
    from likewise.search import Index

__version__ = "0.1.0"

_HOME = {
    "train": "likewise.api",
    "load": "likewise.artefact",
    "open_table": "likewise.data",
    "split": "likewise.data",
    "use": "likewise.products",
    "FewShotClassifier": "likewise.classify",
    "Index": "likewise.search",
}

__all__ = ["FewShotClassifier", "Index", "__version__", "load", "open_table", "split", "train", "use"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'likewise' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
