"""How much memory a piece of work took, in a process that does one after the other."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

__all__ = ["MemoryMeter"]

_STATUS = Path("/proc/self/status")


class MemoryMeter:
    """Measures the highest memory that this process takes above what it holds now.

    What earlier work left behind is collected and given back to the system first, so that work that comes later in a
    process does not seem to need less; and the system's mark of the highest memory is set back. Both need Linux;
    elsewhere nothing is measured.
    """

    def __init__(self) -> None:
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # not every C library has it
            ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._before = _status_mb("VmRSS")

    def peak_mb(self) -> float | None:
        """Return the highest resident memory so far above that of the beginning, in MB (10^6 bytes), or None.

        Example:
            >>> meter = MemoryMeter()
            >>> block = bytearray(50_000_000)
            >>> (meter.peak_mb() or 50) > 45
            True
        """
        peak = _status_mb("VmHWM")
        return None if peak is None or self._before is None else max(0.0, peak - self._before)


def _status_mb(name: str) -> float | None:
    if not _STATUS.exists():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6
