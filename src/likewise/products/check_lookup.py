"""How good a reverse dictionary is: definitions that it has not seen, and where their entries rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError
from likewise.evaluation.ranked import parse_metrics, ranking_figures
from likewise.products.base import Product, ProductResult
from likewise.products.entries import EntryTable, open_dictionary

if TYPE_CHECKING:
    from likewise.artefact import Model
    from likewise.data import Dictionary

__all__ = ["CheckLookup", "reverse_dictionary_figures"]


@dataclass(frozen=True)
class CheckLookup(Product):
    """Settings of measuring a lookup."""

    summary: ClassVar[str] = "Measure how far up the right entry comes for definitions that were held out"
    argument: ClassVar[str | None] = "file"

    file: str = ""
    """Held-out definitions of entries that the model has: a file with the columns entry and definition, or
    dictionary:FILE."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pair: which column of the file is which of ours, as entry=term."""
    encoding: str = "utf-8"
    """How the characters of the file are written: utf-8, utf-16, latin-1 ..."""
    metrics: tuple[str, ...] = ("mrr@100", "hit@1", "hit@10", "hit@100")
    """Metric such as hit@10 (is an entry that the definition belongs to among the first ten): mrr, hit, recall, ndcg,
    map, and how many ranks count."""
    bootstrap: int = 1000
    """Replicates for the 95 % intervals over definitions; 0: no intervals."""
    seed: int = 0
    """Seed of the replicates."""

    def run(self, model: Model) -> ProductResult:
        """Look up every definition of the file, and measure the rank of its entry among all."""
        entries = EntryTable.of(model)
        found = reverse_dictionary_figures(
            entries,
            open_dictionary(self.file, columns=self.columns, encoding=self.encoding),
            metrics=self.metrics,
            bootstrap=self.bootstrap,
            seed=self.seed,
        )
        rows = [
            {
                "metric": name,
                "value": round(value, 4),
                **_ends(found.get("intervals", {}).get(name)),
            }
            for name, value in found["metrics"].items()
        ]
        return ProductResult(
            figures={
                "definitions": found["num_items"],
                "of unknown entries": found["left_out"],
                "entries": len(entries.entries),
            },
            rows=rows,
        )


def reverse_dictionary_figures(
    entries: EntryTable,
    held_out: Dictionary,
    *,
    metrics: tuple[str, ...] = ("mrr@100", "hit@1", "hit@10", "hit@100"),
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure how far up the entries of definitions come among all entries of a table.

    A definition that several entries share is asked once, and each of them is right.

    Args:
        entries: The table.
        held_out: Definitions that the model was not trained on.
        metrics: As those of :func:`likewise.evaluation.tasks.retrieval.retrieval`.
        bootstrap: Replicates of the intervals.
        seed: Seed of the replicates.

    Returns:
        ``metrics``, ``intervals``, ``per_item``, ``num_items`` (definitions asked), and ``left_out`` (definitions of
        entries that the table does not have).

    Raises:
        InputError: No definition belongs to an entry of the table.
    """
    place = {entry: number for number, entry in enumerate(entries.entries)}
    right: dict[str, dict[int, float]] = {}
    left_out = 0
    for entry, definitions in held_out.definitions.items():
        for one in definitions:
            if entry in place:
                right.setdefault(one, {})[place[entry]] = 1.0
            else:
                left_out += 1
    if not right:
        raise InputError(
            f"none of the {len(held_out.definitions):,} entries is in the model's dictionary of "
            f"{len(entries.entries):,}; give definitions of entries that it has, or add the entries first."
        )
    figures = ranking_figures(
        entries.queries(list(right)),
        entries.table.vectors,
        list(right.values()),
        [()] * len(right),
        parse_metrics(metrics),
        bootstrap=bootstrap,
        seed=seed,
    )
    return {**figures, "left_out": left_out}


def _ends(interval: tuple[float, float] | None) -> dict[str, float]:
    return {} if interval is None else {"low": round(interval[0], 4), "high": round(interval[1], 4)}
