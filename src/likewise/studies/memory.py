"""How much memory a piece of work took, in a process that does one after the other."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["peak_memory_mb", "reset_peak_memory"]

_STATUS = Path("/proc/self/status")


def reset_peak_memory() -> None:
    """Begin anew: the peak is that from here on. Does nothing where the system cannot (anything but Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float | None:
    """Return the highest resident memory of this process since :func:`reset_peak_memory`, in MB (10^6 bytes).

    Returns:
        None where the system cannot tell it for a part of a process's life.
    """
    if not _STATUS.exists():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6
