"""What a retrieval is measured on: documents, queries, and which document answers which query."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from likewise.data.checking import BadRows
from likewise.data.columns import Column, Number, Text
from likewise.data.opening import Rows, open_table
from likewise.data.readers import COMPRESSIONS
from likewise.data.table import Table
from likewise.errors import InputError, unknown

__all__ = ["RetrievalData", "open_retrieval", "read_beir", "retrieval_from_pairs"]

PAIR_COLUMNS = (
    Column("query", Text, help="what is looked up"),
    Column("positive", Text, many=True, help="the document or documents that answer it"),
)
"""Columns of a pairs table that is measured as a retrieval."""
BEIR_ID = Column("_id", Text)


@dataclass(frozen=True)
class RetrievalData:
    """A retrieval task: find the relevant documents of each query among the whole corpus.

    Args:
        corpus: Text of each document by its id; all of them are candidates for every query.
        queries: Text of each query by its id.
        relevant: Ids of the relevant documents of each query, at least one, all in ``corpus``.
        grades: How relevant, by query and document, where the source grades (above 1); empty where it does not. A
            relevant document without a grade counts as 1.
        name: What messages and results call it.

    Raises:
        InputError: There is no document or no query, a query has no relevant document, or an id does not exist.

    Example:
        >>> data = RetrievalData({"d1": "kennel"}, {"q1": "a small house for a dog"}, {"q1": {"d1"}})
        >>> data.fingerprint[:8]
        '...'
    """

    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    relevant: Mapping[str, AbstractSet[str]]
    grades: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    name: str = "retrieval"

    def __post_init__(self) -> None:
        if not self.corpus or not self.queries:
            missing = "document" if not self.corpus else "query"
            raise InputError(f"{self.name} has no {missing}; a retrieval needs at least one document and one query.")
        for query in self.queries:
            if not self.relevant.get(query):
                raise InputError(
                    f"{self.name}: query '{query}' has no relevant document; every query needs at least one. "
                    "Add a judgment above 0 for it or leave the query out."
                )
        for query, documents in self.relevant.items():
            if query not in self.queries:
                raise InputError(f"{self.name}: the judgments name query '{query}', which is not among the queries.")
            for document in documents:
                if document not in self.corpus:
                    raise InputError(
                        f"{self.name}: the judgment of query '{query}' names document '{document}', which is not in "
                        "the corpus."
                    )

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that a result depends on: ids, texts, judgments."""
        digest = hashlib.sha256()
        for part in (self.corpus, self.queries):
            for key, text in part.items():
                digest.update(f"{len(key)} {len(text)} {key}{text}".encode(errors="surrogatepass"))
            digest.update(b"\n")
        for query in self.queries:
            grades = self.grades.get(query, {})
            judged = " ".join(f"{len(one)} {one} {grades.get(one, 1)}" for one in sorted(self.relevant[query]))
            digest.update(f"{query} {judged}\n".encode(errors="surrogatepass"))
        return digest.hexdigest()


def read_beir(folder: Path | str, split: str = "test", *, cache: Path | None = None) -> RetrievalData:
    """Read a folder in the layout of the BEIR benchmark.

    Args:
        folder: Holds ``corpus.jsonl`` (``_id``, ``text``, perhaps ``title``), ``queries.jsonl`` (``_id``, ``text``)
            and ``qrels/SPLIT.tsv`` (``query-id``, ``corpus-id``, ``score``); the jsonl files may be compressed.
        split: Which judgments to use; queries without a line there belong to another split and are left out.
        cache: Folder for converted tables; default ``cache_folder()``.

    Returns:
        The task. A document's text is its title, a space, and its text; a judgment above 0 makes it relevant.

    Raises:
        InputError: A file is missing or has a bad row, an id does not exist, or a query has no relevant document.

    Source: Thakur et al. 2021, arXiv 2104.08663, for the layout.
    """
    folder = Path(folder)
    parts = (BEIR_ID, Column("text", Text, required=False), Column("title", Text, required=False))
    documents = open_table(_part(folder, "corpus.jsonl"), columns=parts, cache=cache)
    asked = open_table(_part(folder, "queries.jsonl"), columns=(BEIR_ID, Column("text", Text)), cache=cache)
    judgment = (Column("query-id", Text), Column("corpus-id", Text), Column("score", Number))
    judged = open_table(_judgments(folder, split), columns=judgment, cache=cache)
    corpus = {row["_id"]: f"{row.get('title') or ''} {row.get('text') or ''}".strip() for row in documents.stream()}
    texts = {row["_id"]: row["text"] for row in asked.stream()}
    _no_repeats(documents, corpus)
    _no_repeats(asked, texts)
    relevant: dict[str, set[str]] = {}
    grades: dict[str, dict[str, int]] = {}
    for row in judged.stream():
        found = relevant.setdefault(row["query-id"], set())
        if row["score"] > 0:
            found.add(row["corpus-id"])
            if row["score"] > 1:
                grades.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = {query: text for query, text in texts.items() if query in relevant}
    return RetrievalData(corpus, queries, relevant, grades, name=f"{folder.name}/{split}")


def retrieval_from_pairs(table: Table, *, query: str = "query", positive: str = "positive") -> RetrievalData:
    """Make a retrieval task of pairs: every distinct positive is a document, every distinct query is asked once.

    Args:
        table: Rows with the two columns; the positive may be a list.
        query: Column of what is looked up.
        positive: Column of what answers it.

    Returns:
        The task; ids are ``q0``, ``q1`` ... and ``d0``, ``d1`` ... in order of first appearance.

    Example:
        >>> from likewise.data import open_table
        >>> rows = [{"query": "a young dog", "positive": "puppy"}, {"query": "a young cat", "positive": "kitten"}]
        >>> retrieval_from_pairs(open_table(rows, columns=PAIR_COLUMNS)).relevant
        {'q0': {'d0'}, 'q1': {'d1'}}
    """
    queries: dict[str, str] = {}
    documents: dict[str, str] = {}
    relevant: dict[str, set[str]] = {}
    for row in table.stream():
        answers = row[positive] if isinstance(row[positive], list) else [row[positive]]
        asked = queries.setdefault(row[query], f"q{len(queries)}")
        for answer in answers:
            relevant.setdefault(asked, set()).add(documents.setdefault(answer, f"d{len(documents)}"))
    return RetrievalData(
        {name: text for text, name in documents.items()},
        {name: text for text, name in queries.items()},
        relevant,
        name=table.name,
    )


def open_retrieval(
    source: Rows | Table | RetrievalData,
    *,
    split: str = "test",
    rename: Mapping[str, str] | None = None,
    bad_rows: BadRows = "error",
    rejected: Path | None = None,
    cache: Path | None = None,
) -> RetrievalData:
    """Open what a retrieval is measured on.

    Args:
        source: A folder in BEIR's layout; a demo with held-out queries (``demo:wordnet``, ``demo:wordnet:dev``); or
            pairs of ``query`` and ``positive`` in anything that ``open_table`` reads, or an open table of them. A task
            that is open already is returned as it is.
        split: Which judgments of a BEIR folder; a demo's part wins over it.
        rename: For pairs: the source's name of a column by ours.
        bad_rows: For pairs: "error" or "skip".
        rejected: For pairs, with "skip": file of the rejected rows.
        cache: Folder of stored tables; default ``cache_folder() / "tables"``.

    Raises:
        InputError: A file is missing or has a bad row, an id does not exist, or a query has no relevant document.
    """
    if isinstance(source, RetrievalData):
        return source
    if isinstance(source, Table):
        return retrieval_from_pairs(source)
    if isinstance(source, str) and source.startswith("demo:"):
        from likewise.data.demo import demo_retrieval

        return demo_retrieval(source, split)
    if isinstance(source, str | Path) and any(
        (Path(source) / part).exists() for part in ("qrels", "corpus.jsonl", "queries.jsonl")
    ):
        return read_beir(source, split, cache=cache)
    return retrieval_from_pairs(
        open_table(source, columns=PAIR_COLUMNS, rename=rename, bad_rows=bad_rows, rejected=rejected, cache=cache)
    )


def _part(folder: Path, name: str) -> Path:
    """Find a file of a BEIR folder, plain or compressed."""
    for suffix in ("", *COMPRESSIONS):
        if (folder / f"{name}{suffix}").exists():
            return folder / f"{name}{suffix}"
    raise InputError(f"'{folder}' has no {name}; a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.")


def _judgments(folder: Path, split: str) -> Path:
    found = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    if not found:
        raise InputError(f"'{folder}' has no qrels/{split}.tsv; a BEIR folder holds its judgments in qrels/SPLIT.tsv.")
    if split not in found:
        raise unknown(f"split of {folder.name}", split, found)
    return found[split]


def _no_repeats(table: Table, by_id: Mapping[str, str]) -> None:
    if len(by_id) == len(table):
        return
    seen: set[str] = set()
    for i, row in enumerate(table.stream()):
        if row["_id"] in seen:
            raise InputError(f"{table.where(i)}: the id '{row['_id']}' stands twice; every row needs its own.")
        seen.add(row["_id"])
