"""How a measured result is stored: with everything that is needed to repeat it, and to doubt it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from likewise.versions import installed_versions

RESULTS = Path(__file__).parent / "results"


def store(name: str, seeds: Sequence[int], results: Any, *, packages: Sequence[str] = (), **about: Any) -> Path:
    """Write ``benchmarks/results/NAME.json``.

    Args:
        name: Name of the benchmark.
        seeds: The seeds that were run, all of them.
        results: Every repetition, and what is made of them.
        packages: Packages beside our own whose versions matter.
        **about: Anything else that the result depends on: settings, data and where they come from.

    Returns:
        The file.
    """
    content = {
        "name": name,
        "command": shlex.join(["python", "-m", "benchmarks", *_without_paths(sys.argv[1:])]),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "versions": installed_versions(*packages),
        "processor": _processor(),
        "seeds": list(seeds),
        **about,
        "results": results,
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def mean_and_spread(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean, lowest and highest of each figure over runs."""
    return {
        figure: {
            "mean": sum(run[figure] for run in runs) / len(runs),
            "lowest": min(run[figure] for run in runs),
            "highest": max(run[figure] for run in runs),
        }
        for figure in runs[0]
    }


def _without_paths(words: Sequence[str]) -> list[str]:
    """Replace folders of this machine by their last part."""
    return [Path(word).name if os.sep in word else word for word in words]


def _processor() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, {os.cpu_count()} cores"
