"""The quickstart's figures over several seeds: the same command a newcomer runs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.options import Seeds
from benchmarks.stored import mean_and_spread, store


def run(seeds: Seeds = 3) -> None:
    """Run the quickstart once a seed and store what it prints."""
    results = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            command = ["quickstart", "--out", str(Path(folder) / "out"), "--seed", str(seed), "--json"]
            done = subprocess.run([sys.executable, "-m", "likewise", *command], stdout=subprocess.PIPE, check=True)
        made = json.loads(done.stdout)
        kept = ("before", "after", "seconds", "candidates", "held_out", "queries", "geometry")
        results.append({"seed": seed, **{name: made[name] for name in kept}})
        print(f"seed {seed}: before {made['before']}  after {made['after']}  {made['seconds']} s")
    path = store(
        "quickstart",
        list(range(seeds)),
        results,
        summary={side: mean_and_spread([result[side] for result in results]) for side in ("before", "after")},
    )
    print(path)
