"""A progress bar for encoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

__all__ = ["with_progress"]


def with_progress(parts: Sequence[Tensor], show: bool) -> Iterable[Tensor]:
    """Go through the parts, with a bar on stderr where it is asked for."""
    if not show:
        return parts
    from rich.console import Console
    from rich.progress import track

    return track(parts, description="encoding", console=Console(stderr=True), transient=True)
