"""The reverse dictionary: from a description to the entries that it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from likewise import pairwise
from likewise.errors import InputError
from likewise.products.base import Product, ProductResult
from likewise.products.entries import EntryTable, open_dictionary

if TYPE_CHECKING:
    from likewise.artefact import Model

__all__ = ["Lookup"]


@dataclass(frozen=True)
class Lookup(Product):
    """Settings of a lookup."""

    summary: ClassVar[str] = "Find the entries of the dictionary that a description fits"
    argument: ClassVar[str | None] = "text"

    text: str = ""
    """The description."""
    k: int = 10
    """How many entries, >= 1; the best first."""
    add: str = ""
    """Further entries that are looked among, for this once: a file with the columns entry and definition, or
    dictionary:FILE."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pair: which column of the file in --add is which of ours, as entry=term."""
    encoding: str = "utf-8"
    """How the characters of the file in --add are written: utf-8, utf-16, latin-1 ..."""

    def run(self, model: Model) -> ProductResult:
        """Rank all entries by the product that training made large for the right one.

        Returns:
            Rows of rank, entry, probability (softmax over all entries) and score.
        """
        if not self.text.strip():
            raise InputError(
                'the description is empty; write what you look for, as in lookup "a small house for a dog".'
            )
        if self.k < 1:
            raise InputError(f"k is {self.k}; it is how many entries are shown, at least 1.")
        entries = EntryTable.of(model)
        if self.add:
            entries = entries.with_more(open_dictionary(self.add, columns=self.columns, encoding=self.encoding))
        query = entries.queries([self.text])
        scores, rows = entries.table.nearest(query, self.k)
        total = pairwise.logsumexp(query, entries.table.vectors, precision="fp32")
        probabilities = (scores[0] - total[0]).exp()
        ranked = zip(rows[0].tolist(), probabilities.tolist(), scores[0].tolist(), strict=True)
        return ProductResult(
            rows=[
                {
                    "rank": rank,
                    "entry": entries.entries[row],
                    "probability": round(min(p, 1.0), 4),
                    "score": round(score, 3),
                }
                for rank, (row, p, score) in enumerate(ranked, 1)
            ]
        )
