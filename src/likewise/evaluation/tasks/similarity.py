"""Similarity: does the cosine of two texts rise with the similarity that people gave them?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from likewise.data import Column, Number, Table, Text, find_files, open_table
from likewise.errors import InputError
from likewise.evaluation.bootstrap import LEVEL, Measured, correlation_replicates, mean_result
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.evaluation.vectors import unit_vectors

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "SIMILARITY_COLUMNS", "SimilaritySets", "open_similarity", "similarity"]

SIMILARITY_COLUMNS = (
    Column("score", Number, help="how alike people found the two, on any scale; higher is more alike"),
    Column("sentence1", Text, help="one side"),
    Column("sentence2", Text, help="the other side"),
)
"""What a row must bring."""

METRICS = ("spearman", "pearson")

Floats = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]
Source = Table | str | Path | Rows
"""A table, what ``open_table`` opens, or rows."""


@dataclass(frozen=True)
class SimilaritySets:
    """One or several sets of pairs, opened; made by :func:`open_similarity`."""

    tables: Mapping[str, Table]

    @property
    def name(self) -> str:
        """Names of the sets."""
        return ", ".join(self.tables)

    @property
    def fingerprint(self) -> str:
        """Digest of the sets: that of the table where there is one."""
        return _fingerprint({name: table.fingerprint for name, table in self.tables.items()})


def open_similarity(
    data: Source | Mapping[str, Source],
    *,
    rename: Mapping[str, str] | None = None,
    bad_rows: Literal["error", "skip"] = "error",
) -> SimilaritySets:
    """Open what :func:`similarity` measures, and check it once.

    Args:
        data: As in :func:`similarity`.
        rename: The file's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".

    Raises:
        InputError: A row is bad, a set has fewer than 3 pairs, or all of its scores are equal.
    """
    sets = SimilaritySets(_sets(data, rename, bad_rows))
    for name, table in sets.tables.items():
        _columns(name, table)
    return sets


def _fingerprint(parts: Mapping[str, str]) -> str:
    if len(parts) == 1:
        return next(iter(parts.values()))
    return hashlib.sha256("".join(f"{name} {one} " for name, one in parts.items()).encode()).hexdigest()


def similarity(
    embedder: Embedder,
    data: Source | Mapping[str, Source] | SimilaritySets,
    *,
    rename: Mapping[str, str] | None = None,
    bad_rows: Literal["error", "skip"] = "error",
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Correlate the cosine of pairs of texts with the similarity that people gave them.

    Args:
        embedder: Encodes both sides, with no role: neither is a query.
        data: Rows with ``score``, ``sentence1`` and ``sentence2``: a table (``open_table`` with
            ``columns=SIMILARITY_COLUMNS``), rows, a file, or several sets: a mapping from name to set, a folder, or a
            pattern that matches several files; or what :func:`open_similarity` returned.
        rename: The file's name of a column by ours, where they differ: ``{"score": "label"}``.
        bad_rows: "error" refuses the first row that cannot be used; "skip" leaves such rows out.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals over pairs; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``spearman`` (rank correlation, the one to quote) and ``pearson``, in [-1, 1]; papers print them times 100.
        With several sets each is in ``parts``, computed on all of its rows together (the "all" setting of the field),
        and the metrics are the means over the sets, whatever their sizes.

    Raises:
        InputError: A set has fewer than 3 pairs, all scores (or all cosines) are equal, a row is bad, or a vector is
            zero or not finite.

    Source: Gao et al. 2021, SimCSE, arXiv 2104.08821, appendix B: "all" against other settings, and why Spearman.
    """
    sets = data.tables if isinstance(data, SimilaritySets) else _sets(data, rename, bad_rows)
    settings = {"precision": precision, "bootstrap": bootstrap, "level": LEVEL, "seed": seed}
    fingerprint = embedder.fingerprint  # a digest of all weights: once
    parts: dict[str, Result] = {}
    for number, (name, table) in enumerate(sets.items()):
        gold, first, second = _columns(name, table)
        cosines = _cosines(embedder, name, first, second, batch_size, precision, progress)
        metrics = _correlations(name, gold, cosines)
        drawn = correlation_replicates(gold, cosines, bootstrap, seed, number) if bootstrap else None
        parts[name] = Result(
            task="similarity",
            **vars(Measured.of(metrics, drawn)),
            num_items=len(gold),
            items="pairs",
            data=name,
            data_fingerprint=table.fingerprint,
            model=embedder.name,
            model_fingerprint=fingerprint,
            settings=settings,
        )
    if len(parts) == 1:
        return next(iter(parts.values()))
    fingerprint = _fingerprint({name: part.data_fingerprint for name, part in parts.items()})
    return mean_result(parts, data=", ".join(parts), fingerprint=fingerprint, items="files")


def _sets(
    data: Source | Mapping[str, Source], rename: Mapping[str, str] | None, bad_rows: Literal["error", "skip"]
) -> dict[str, Table]:
    """Open what was given, one table a set."""
    if isinstance(data, Mapping):
        if not data:
            raise InputError("no similarity set was given; give at least one.")
        return {name: _table(one, rename, bad_rows) for name, one in data.items()}
    if isinstance(data, str | Path) and not str(data).startswith(("hf:", "demo:")):
        return {file.name: _table(file.path, rename, bad_rows) for file in find_files(data)}
    table = _table(data, rename, bad_rows)
    return {table.name: table}


def _table(source: Source, rename: Mapping[str, str] | None, bad_rows: Literal["error", "skip"]) -> Table:
    if isinstance(source, Table):
        return source
    return open_table(source, columns=SIMILARITY_COLUMNS, rename=rename, bad_rows=bad_rows)


def _columns(name: str, table: Table) -> tuple[Floats, list[str], list[str]]:
    absent = [column.name for column in SIMILARITY_COLUMNS if column.name not in table.column_names]
    if absent:
        raise InputError(
            f"{name} has no column '{absent[0]}'; a similarity set has score, sentence1 and sentence2. Open it with "
            "these columns, renamed where the file has other names."
        )
    gold: Floats = np.asarray(table.column("score").to_numpy(), dtype=np.float64)
    if len(gold) < 3:
        raise InputError(f"{name} has {len(gold)} pairs; a correlation needs at least 3. Give more rows.")
    if np.all(gold == gold[0]):
        raise InputError(
            f"{name}: all {len(gold)} scores are equal ({gold[0]:g}); a correlation needs scores that differ. Check "
            "the column 'score'."
        )
    return gold, table.column("sentence1").to_pylist(), table.column("sentence2").to_pylist()


def _cosines(
    embedder: Embedder,
    name: str,
    first: list[str],
    second: list[str],
    batch_size: int,
    precision: str,
    progress: bool,
) -> Floats:
    """Return the cosine of each pair."""
    embeddings = unit_vectors(
        embedder, [*first, *second], name=name, batch_size=batch_size, precision=precision, progress=progress
    )
    left, right = embeddings.split(len(first))
    cosines: Floats = (left * right).sum(dim=1).numpy()
    return cosines


def _correlations(name: str, gold: Floats, cosines: Floats) -> dict[str, float]:
    from scipy import stats  # half a second to import

    if np.ptp(cosines) < 1e-6:  # what float32 vectors tell apart
        raise InputError(
            f"{name}: the model gives every pair the same cosine ({cosines[0]:.4f}), so there is no correlation; its "
            "space has collapsed. Look at its geometry."
        )
    return {
        "spearman": float(stats.spearmanr(gold, cosines).statistic),
        "pearson": float(stats.pearsonr(gold, cosines).statistic),
    }


DEFINITION = Definition(columns=SIMILARITY_COLUMNS, metrics=METRICS, open=open_similarity, measure=similarity)
