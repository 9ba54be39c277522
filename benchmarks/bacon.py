"""What do two branches that advise each other add to the contrastive one? BaCon's stand-in, on long-tailed digits.

Digits 0 to 4 are known, 5 to 9 are new. Sizes fall from 130 to a tenth of that, known and new in turn (0, 5, 1, 6, ...,
``130 x 10^(-rank / 9)``, at least 10); every other picture of a known digit has its label. Arms from the same fresh
weights, with equal steps, paired by seed: ``contrastive``, that branch alone (the soft part never begins), and
``bacon``.
Measured on all test digits by ``likewise use MODEL discover``, as the mean over three seeds of its clusters: the share
in the cluster of its digit, of all, known (old) and new digits. And how far the estimated counts are from the true ones
(Kullback-Leibler divergence of their shares, in nats; new classes have no order and are compared by size). And how even
the classes are of the rows that the soft part takes for a class, and of those of them that the rates keep: the entropy
of their counts over the whole training, of all classes and of new ones alone (rates are 1 where a class has a label in
the batch). Settings are those of the specification; nothing was chosen by these figures.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import likewise
from benchmarks.digits import ORIGIN, SHARED
from benchmarks.options import Seeds
from benchmarks.stored import mean_and_spread, store
from likewise.data import Column, Image, Label, open_table
from likewise.methods.vision import bacon

KNOWN, CLASSES, HEAD_ROWS, FEWEST, RATIO = 5, 10, 130, 10, 10.0
EPOCHS, BATCH, CLUSTERINGS = 60, 64, 3
SETTINGS: dict[str, Any] = {
    **SHARED, "encoder": "mlp-256-128", "batch_size": BATCH, "num_classes": CLASSES, "hidden": 128, "head_size": 32,
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {"contrastive": {"warmup_epochs": 100_000.0}, "bacon": {}}
ABOUT = (
    "Share of held-out digits in the cluster of their digit, in per cent; `counts`: Kullback-Leibler divergence of the "
    "estimated sizes of classes from the true ones, in nats; `predicted` and `kept`: entropy of the classes that "
    "unlabelled rows are taken for, and of those that the rates keep, in nats, of all classes and of new ones."
)


def run(
    seeds: Seeds = 10,
) -> None:
    """Train both arms once a seed, sort the test digits, and store."""
    rows, sizes = pictures()
    columns = [Column("image", Image), Column("label", Label)]
    test = [{"image": row["image"], "digit": row["label"]} for row in open_table("demo:digits:test", columns=columns)]
    steps = EPOCHS * round(len(rows) / BATCH)
    results: list[dict[str, Any]] = []
    untrained = _fresh(rows, test)
    for seed, (arm, extra) in itertools.product(range(seeds), ARMS.items()):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            settings = {**SETTINGS, **extra, "steps": steps, "seed": seed}
            with _watched() as taken:
                likewise.train("bacon", rows, out=out, progress=False, **settings)
            figures = _measured(out, test)
            counts = likewise.artefact.load_model(out).kept["counts"].numpy()
        figures["counts"] = _divergence(counts, np.array([sizes[digit] for digit in range(CLASSES)]))
        for name, of in taken.items():
            if of.any():
                figures |= {name: _entropy(of), f"{name}, new": _entropy(of[KNOWN:])}
        results.append({"arm": arm, "seed": seed, "seconds": time.perf_counter() - began, "figures": figures})
        print(arm, seed, f"{results[-1]['seconds']:.0f} s", figures, flush=True)
    by_arm = {arm: mean_and_spread([run["figures"] for run in results if run["arm"] == arm]) for arm in ARMS}
    path = store(
        "bacon",
        list(range(seeds)),
        results,
        settings={**SETTINGS, "steps": steps, "arms": ARMS},
        data={"origin": ORIGIN, "rows": sizes},
        about=ABOUT,
        untrained={"figures": untrained},
        summary=by_arm,
        gains=_gains(results, seeds),
    )
    print(path)


def pictures() -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Return long-tailed rows of which some have a label, and how many rows each digit has."""
    table = open_table("demo:digits:train", columns=[Column("image", Image), Column("label", Label)])
    order = [digit for pair in zip(range(KNOWN), range(KNOWN, CLASSES), strict=True) for digit in pair]
    sizes = {
        digit: max(FEWEST, round(HEAD_ROWS * RATIO ** (-rank / (CLASSES - 1)))) for rank, digit in enumerate(order)
    }
    rows, seen = [], dict.fromkeys(sizes, 0)
    for row in table:
        digit = int(row["label"])
        if seen[digit] < sizes[digit]:
            seen[digit] += 1
            has_label = digit < KNOWN and seen[digit] % 2
            rows.append({"image": row["image"], "label": row["label"] if has_label else None})
    return rows, dict(sorted(seen.items()))


@contextlib.contextmanager
def _watched() -> Iterator[dict[str, NDArray[np.int64]]]:
    """Count the classes that unlabelled rows are taken for while a model trains, and those of rows that are kept."""
    counts = {name: np.zeros(CLASSES, dtype=np.int64) for name in ("predicted", "kept")}
    draw = bacon.kept_by_rate

    def counting(classes: NDArray[np.int64], *others: Any) -> NDArray[np.bool_]:
        kept = draw(classes, *others)
        counts["predicted"] += np.bincount(classes, minlength=CLASSES)
        counts["kept"] += np.bincount(classes[kept], minlength=CLASSES)
        return kept

    with mock.patch.object(bacon, "kept_by_rate", counting):
        yield counts


def _measured(model: Path, test: list[dict[str, Any]]) -> dict[str, float]:
    found = [
        likewise.use(model, "discover", data=test, truth="digit", seed=seed).figures for seed in range(CLUSTERINGS)
    ]
    names = {"All": "all", "Old": "old", "New": "new_accuracy"}
    return {ours: 100 * float(np.mean([one[theirs] for one in found])) for ours, theirs in names.items()}


def _fresh(rows: list[dict[str, Any]], test: list[dict[str, Any]]) -> dict[str, float]:
    """What clusters of a tower say that has seen one step at a rate of nearly nothing."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        likewise.train("bacon", rows, out=out, progress=False, **{**SETTINGS, "steps": 1, "lr": 1e-12})
        return _measured(out, test)


def _divergence(estimated: NDArray[Any], true: NDArray[Any]) -> float:
    """Known classes keep their places; new ones have none, and are compared in descending order."""
    shares = [counts / counts.sum() for counts in (estimated, np.concatenate([true[:KNOWN], -np.sort(-true[KNOWN:])]))]
    return float((shares[0] * np.log(shares[0] / shares[1])).sum())


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _gains(results: list[dict[str, Any]], seeds: int) -> dict[str, dict[str, float]]:
    """Mean gain of bacon over the contrastive branch, paired by seed, with its standard error."""
    by = {(run["arm"], run["seed"]): run["figures"] for run in results}
    found = {}
    for name in ("All", "Old", "New"):
        gains = [by["bacon", seed][name] - by["contrastive", seed][name] for seed in range(seeds)]
        found[name] = {"mean": float(np.mean(gains)), "error": float(np.std(gains, ddof=1) / np.sqrt(seeds))}
    return found
