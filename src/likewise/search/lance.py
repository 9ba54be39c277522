"""What an index asks of its LanceDB table.

LanceDB starts threads when it is imported and must not be forked afterwards, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from likewise.errors import InputError, unknown
from likewise.search.rows import ID, TEXT, VECTOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "add",
    "by_ids",
    "create_table",
    "delete",
    "has_vector_index",
    "ids_of",
    "index_vectors",
    "index_words",
    "known_language",
    "matching",
    "metadata_columns",
    "nearest",
    "open_table",
]

TABLE = "rows"
"""Name of the table in the index's folder."""

PARTITIONS_READ = 40
"""Partitions of the approximate index that are searched: on 100 000 vectors all ten nearest were found."""

RESCORED = 3
"""Candidates per hit whose exact cosine is computed in approximate search."""

IDS_AT_A_TIME = 1000
"""Ids named in one statement."""


def create_table(folder: Path, reader: pa.RecordBatchReader) -> Any:
    """Store rows as a new table, in one commit."""
    import lancedb

    return lancedb.connect(str(folder)).create_table(TABLE, data=reader, schema=reader.schema)


def open_table(folder: Path) -> Any:
    """Open the table of an index.

    Raises:
        InputError: It is not there or damaged.
    """
    import lancedb

    try:
        return lancedb.connect(str(folder)).open_table(TABLE)
    except (ValueError, RuntimeError, OSError) as error:
        raise InputError(f"the index '{folder}' is damaged ({_reason(error)}); make it again.") from error


def metadata_columns(table: Any) -> list[str]:
    """Return the names of the metadata columns."""
    return [name for name in table.schema.names if name not in (ID, TEXT, VECTOR)]


def known_language(language: str) -> str:
    """Return a language as LanceDB spells it.

    Raises:
        InputError: Its words cannot be reduced to stems.
    """
    from lancedb.index import lang_mapping

    for known in lang_mapping.values():
        if language.lower() == known.lower():
            return str(known)
    raise unknown("language", language, lang_mapping.values())


def index_words(table: Any, language: str | None) -> None:
    """Build the index for the search by words."""
    from lancedb.index import FTS

    # Stop words are kept: BM25 weighs them down by itself, and a query may consist of nothing else.
    if language is None:
        config = FTS(remove_stop_words=False, stem=False)
    else:
        config = FTS(remove_stop_words=False, stem=True, language=language)
    table.create_index(TEXT, config=config)


def index_vectors(table: Any) -> None:
    """Build the approximate index: partitions of vectors in eight bits a dimension.

    Of LanceDB's kinds this one is built twenty times faster than a graph and, with rescoring, finds as much.
    """
    from lancedb.index import IvfSq

    table.create_index(VECTOR, config=IvfSq(distance_type="cosine"))


def has_vector_index(table: Any) -> bool:
    """Tell whether there is an approximate index."""
    return any(VECTOR in one.columns for one in table.list_indices())


def add(table: Any, reader: pa.RecordBatchReader, *, replace: bool) -> None:
    """Store more rows in one commit, in place of those with the same ids if asked, and bring the indices up to date."""
    if replace:
        table.merge_insert(ID).when_matched_update_all().when_not_matched_insert_all().execute(reader)
    else:
        table.add(reader)
    table.optimize()


def nearest(table: Any, vector: NDArray[np.float32], limit: int, where: str | None, *, exact: bool) -> pa.Table:
    """Return the rows of highest cosine, with ``_distance`` = 1 - cosine."""
    query = table.search(vector, vector_column_name=VECTOR, query_type="vector").distance_type("cosine")
    narrowed = query.bypass_vector_index() if exact else query.nprobes(PARTITIONS_READ).refine_factor(RESCORED)
    return _run(table, narrowed, limit, where, "_distance")


def matching(table: Any, text: str, limit: int, where: str | None) -> pa.Table:
    """Return the rows that hold any of the words, with their BM25 as ``_score``."""
    from lancedb import query

    words: Any = query.MatchQuery  # its arguments have defaults that its types do not show
    return _run(table, table.search(words(text, TEXT), query_type="fts"), limit, where, "_score")


def _run(table: Any, query: Any, limit: int, where: str | None, score: str) -> pa.Table:
    metadata = metadata_columns(table)
    query = query.limit(limit).select([ID, TEXT, *metadata, score])
    if where is None:
        return query.to_arrow()
    try:
        return query.where(where).to_arrow()
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"the condition {where!r} cannot be used ({_reason(error)}); an SQL condition over the columns "
            f"{', '.join((ID, TEXT, *metadata))} is accepted, with texts in single quotes."
        ) from None


def _reason(error: Exception) -> str:
    """Return what LanceDB says, without the line of its source and the columns, which are named in any case."""
    text = str(error).replace("Invalid input, ", "").split("\n")[0]
    return text.split(", /")[0].split(". Valid fields")[0].rstrip(".")


def ids_of(table: Any) -> Iterator[list[str]]:
    """Go through all ids, a batch at a time."""
    for batch in table.search().select([ID]).to_batches():
        yield batch.column(0).to_pylist()


def by_ids(table: Any, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows with these ids, in any order."""
    found: list[dict[str, Any]] = []
    for some in _parts(ids):
        query = table.search().where(_named(some)).limit(len(some)).select([ID, TEXT, *metadata_columns(table)])
        found += query.to_arrow().to_pylist()
    return found


def delete(table: Any, ids: Sequence[str]) -> None:
    """Delete the rows with these ids."""
    for some in _parts(ids):
        table.delete(_named(some))


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), IDS_AT_A_TIME):
        yield ids[start : start + IDS_AT_A_TIME]


def _named(ids: Sequence[str]) -> str:
    """Return the SQL condition that names ids.

    Example:
        >>> _named(["a", "it's"])
        "id IN ('a', 'it''s')"
    """
    return f"{ID} IN (" + ", ".join("'" + one.replace("'", "''") + "'" for one in ids) + ")"
