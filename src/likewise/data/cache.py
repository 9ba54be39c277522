"""Where files that can be made again are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return the folder for files that can be made again; it may be deleted at any time.

    The environment variable ``LIKEWISE_CACHE`` names it; without that it is the platform's folder for caches
    (``~/.cache/likewise`` on Linux). It is not created here.
    """
    named = os.environ.get("LIKEWISE_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("likewise", appauthor=False)
