"""Keeping the screen for the run's own progress."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

__all__ = ["foreign_progress_off"]


@contextlib.contextmanager
def foreign_progress_off() -> Iterator[None]:
    """Silence the progress bars and deprecation notes of transformers while it loads or writes weights."""
    from transformers.utils import logging

    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if was_shown:
            logging.enable_progress_bar()
