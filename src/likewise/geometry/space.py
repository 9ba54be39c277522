"""The rows whose vectors are looked at: texts, perhaps with the positive and the label of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from likewise.data import Column, Table, Text, open_table
from likewise.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from likewise.encoders import Embedder

__all__ = ["SPACE_COLUMNS", "SpaceData", "open_space"]

SPACE_COLUMNS = (
    Column("text", Text, required=False, help="what is embedded; or query and positive"),
    Column("query", Text, required=False, help="what is looked up"),
    Column("positive", Text, required=False, help="a text that answers it"),
    Column("label", Text, required=False, all_or_none=True, help="the class of the text"),
)
"""What a row may bring; ``text`` or ``query`` is needed."""


@dataclass(frozen=True)
class SpaceData:
    """Rows whose vectors are looked at.

    Args:
        name: What messages call them.
        fingerprint: Digest of the rows that were drawn.
        texts: What is embedded.
        positives: The positive of each text; empty where rows have none.
        labels: The class of each text; None where rows have none.
    """

    name: str
    fingerprint: str
    texts: list[str]
    positives: list[str]
    labels: list[str] | None

    def encode(self, embedder: Embedder, **options: Any) -> tuple[Tensor, Tensor | None]:
        """Return the vectors of the texts ``[N, D]`` and of their positives.

        Args:
            embedder: Encodes texts with role "query" and positives with role "document" where there are positives, and
                texts without a role where there are none.
            **options: Further arguments of ``encode``.
        """
        if not self.positives:
            return embedder.encode(self.texts, **options), None
        return (
            embedder.encode(self.texts, role="query", **options),
            embedder.encode(self.positives, role="document", **options),
        )


def open_space(
    source: str | Path | Table, *, rename: Mapping[str, str] | None = None, max_rows: int | None = None, seed: int = 0
) -> SpaceData:
    """Open the rows whose vectors are to be looked at.

    Args:
        source: Anything that ``open_table`` reads, with the columns :data:`SPACE_COLUMNS`.
        rename: The source's name of a column by ours.
        max_rows: Draw this many rows where there are more, in their order; None: all.
        seed: Seed of the draw.

    Raises:
        InputError: A row has neither a text nor a query, or some rows have a positive and others have none.
    """
    table = open_table(source, columns=SPACE_COLUMNS, rename=rename)
    if not {"text", "query"} & {*table.column_names}:
        raise InputError(
            f"{table.name} has no column 'text' (or 'query'); what is embedded stands there. Name the file's own by "
            "columns, as text=body."
        )
    chosen = np.arange(len(table))
    if max_rows is not None and len(table) > max_rows:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(table))[:max_rows])
    rows = table.rows(chosen.tolist())
    texts = [row.get("query") or row.get("text") for row in rows]
    missing = next((i for i, text in zip(chosen, texts, strict=True) if text is None), None)
    if missing is not None:
        raise InputError(f"{table.where(int(missing))}: neither a text nor a query; every row needs one of them.")
    positives = [row.get("positive") for row in rows]
    if any(one is None for one in positives) and not all(one is None for one in positives):
        odd = next(i for i, one in zip(chosen, positives, strict=True) if one is None)
        raise InputError(
            f"{table.where(int(odd))}: no positive, though other rows have one; give every row one, or none."
        )
    labels = [row.get("label") for row in rows]
    has_labels = bool(labels) and labels[0] is not None
    return SpaceData(
        table.name,
        f"{table.fingerprint} {max_rows} {seed}",
        [str(text) for text in texts],
        [] if positives[0] is None else [str(one) for one in positives],
        [str(label) for label in labels] if has_labels else None,
    )
