"""An index: texts or pictures, their vectors and metadata in one folder, found by meaning, by words, or by both."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import replace as with_changes
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from likewise.artefact import load
from likewise.data import StoredImage
from likewise.encoders import ImageEncoder
from likewise.errors import InputError, unknown
from likewise.search import lance, storage
from likewise.search.about import About, read_about, refuse_other_model, write_about
from likewise.search.hit import Hit
from likewise.search.ranking import fused, top
from likewise.search.rows import ID, TEXT, Rows, Survey, open_rows, survey
from likewise.versions import installed_versions

if TYPE_CHECKING:
    import PIL.Image
    from jaxtyping import Float
    from numpy.typing import NDArray

    from likewise.encoders import Embedder
    from likewise.search.rows import Source

    Query: TypeAlias = str | PathLike[str] | bytes | PIL.Image.Image | NDArray[np.uint8] | StoredImage

__all__ = ["APPROXIMATE_FROM", "Index", "Mode"]

Mode = Literal["vector", "text", "hybrid"]
"""How to search: by meaning, by words, or by both."""

MODES = ("vector", "text", "hybrid")

APPROXIMATE_FROM = 200_000
"""Rows from which on an approximate index is built unless it is asked for or refused: up to here comparing a query of
384 dimensions with every vector takes about a tenth of a second."""

IMAGE = "image"
"""Column of the pictures where no other is named."""

SPOOL = "spool.arrow"
"""File in which rows wait until all of them are embedded."""


class Index:
    """Rows of texts or of pictures with vectors and metadata, on the disk, opened in milliseconds.

    Made by :meth:`create` and :meth:`open`. One process may change it at a time; any number may read. A reader sees the
    index as it was when it was opened, and its own changes. LanceDB's threads do not survive a fork: open an index in
    the process that uses it.

    State: ``index.json`` (the model and its fingerprint, columns) and a LanceDB table.
    """

    def __init__(self, folder: Path, about: About, embedder: Embedder | None) -> None:
        self.folder = folder
        self.about = about
        self._embedder = embedder
        self._table = lance.open_table(folder)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        embedder: Embedder,
        rows: Source,
        *,
        text_column: str = "text",
        image_column: str = IMAGE,
        id_column: str | None = None,
        numbered: bool = False,
        vectors: Float[Tensor, "N D"] | None = None,
        model: str | Path | None = None,
        approximate: bool | None = None,
        language: str | None = "English",
        overwrite: bool = False,
        batch_size: int = 256,
        precision: str = "auto",
        progress: storage.Progress | None = None,
    ) -> Self:
        """Embed rows and make an index of them.

        The rows are read twice: once to find ids that occur twice, missing texts and the types of the metadata, before
        anything is embedded; then a block at a time. The folder appears when the index is whole; an interrupted
        creation leaves nothing that looks like one.

        Args:
            folder: Where to make it; must not exist yet (an empty folder will do).
            embedder: Encodes the texts with role "document"; or the pictures, if it reads pictures.
            rows: A table, a file or whatever ``open_table`` opens, or a list of dicts.
            text_column: Column that is embedded, searched and shown. With a model of pictures it is not embedded, and
                may be missing: the file of each picture then stands for it.
            image_column: Column of the pictures, for a model that reads these. As metadata the index holds the path
                of each, and no bytes.
            id_column: Column of the ids, which must differ. None: the column ``id`` where there is one, else rows are
                numbered from 0.
            numbered: Number the rows even where there is a column ``id``.
            vectors: Vectors of the rows in their order, where they exist already; of any norm.
            model: Where the model can be loaded from when the index is searched; None: the embedder's own name.
            approximate: Build an approximate index beside the vectors; None: from ``APPROXIMATE_FROM`` rows on.
            language: Language whose words are reduced to their stems for the search by words; None: words as they are.
            overwrite: Replace an index that is there.
            batch_size: Texts encoded at a time.
            precision: How texts are encoded: "auto", "bf16" or "fp32".
            progress: Called with the rows done and the rows there are.

        Returns:
            The index, open. All other columns are stored as metadata under their names, except that ``id``, ``text``,
            ``score`` and ``vector`` get an underscore behind them and dots become underscores.

        Raises:
            InputError: The folder exists, a row cannot be used, two rows have one id, or a vector is zero or not
                finite.
            RunError: The disk is full.
            ValueError: The vectors do not fit the rows.

        Cost: memory of 2048 rows and of all ids; on the disk for a moment twice the vectors.
        """
        folder = Path(folder)
        language = None if language is None else lance.known_language(language)
        with storage.building(folder, overwrite=overwrite) as work:
            pictures = isinstance(embedder, ImageEncoder)
            if not pictures and image_column != IMAGE:
                raise InputError(f"{embedder.name} reads texts, and '{image_column}' is for pictures; leave it out.")
            opened = open_rows(rows, text_column, image_column if pictures else None)
            found = survey(opened, _id_column(opened, id_column, numbered))
            storage.spool(
                work / SPOOL,
                opened,
                found,
                storage.schema_of(found.types, embedder.dim),
                embedder,
                vectors=_fitting(vectors, found.num_rows, embedder.dim),
                batch_size=batch_size,
                precision=precision,
                progress=progress,
            )
            about = _about(embedder, str(model or embedder.name), opened, found, language)
            with storage.disk(work):
                with storage.reader_of(work / SPOOL) as reader:
                    table = lance.create_table(work, reader)
                (work / SPOOL).unlink()
                lance.index_words(table, language)
                if approximate or (approximate is None and found.num_rows >= APPROXIMATE_FROM):
                    lance.index_vectors(table)
                write_about(work, about)
        return cls(folder, about, embedder)

    @classmethod
    def open(cls, folder: str | Path, embedder: Embedder | str | Path | None = None) -> Self:
        """Open an index.

        Args:
            folder: Where it is.
            embedder: The model that made it, or where it is now. None: loaded from where it was, when it is first
                needed.

        Raises:
            InputError: There is no index, or another model made it.
        """
        folder = Path(folder)
        about = read_about(folder)
        if isinstance(embedder, str | Path):
            embedder = load(embedder, **about.part)
        if embedder is not None:
            refuse_other_model(folder, about, embedder)
        return cls(folder, about, embedder)

    @property
    def embedder(self) -> Embedder:
        """The model that made the index; loaded when it is first asked for.

        Raises:
            InputError: It is gone, or it has changed since.
        """
        if self._embedder is None:
            location = self.about.model_location(self.folder)
            try:
                embedder = load(location, **self.about.part)
            except InputError as error:
                raise InputError(
                    f"the index '{self.folder}' was made with the model '{location}', which cannot be loaded any more "
                    f"({str(error).rstrip('.')}); say where the model is now."
                ) from None
            refuse_other_model(self.folder, self.about, embedder)
            self._embedder = embedder
        return self._embedder

    def __len__(self) -> int:
        return int(self._table.count_rows())

    def __repr__(self) -> str:
        return f"Index({str(self.folder)!r}, {len(self)} rows, model {self.about.model!r})"

    @property
    def metadata_columns(self) -> list[str]:
        """Names of the metadata columns, as ``where`` and hits name them."""
        return lance.metadata_columns(self._table)

    @property
    def is_approximate(self) -> bool:
        """Whether there is an approximate index."""
        return lance.has_vector_index(self._table)

    def info(self) -> dict[str, Any]:
        """Return what is known of the index, as what JSON can hold."""
        about, schema = self.about, self._table.schema
        return {
            "folder": str(self.folder),
            "rows": len(self),
            "model": about.model,
            "model_fingerprint": about.model_fingerprint,
            "part": dict(about.part),
            "dim": about.dim,
            "text_column": about.text_column,
            "image_column": about.image_column,
            "id_column": about.id_column,
            "metadata": {
                name: "json" if name in about.json_columns else str(schema.field(name).type)
                for name in self.metadata_columns
            },
            "approximate": self.is_approximate,
            "language": about.language,
            "source": about.source,
            "created": about.created,
            "versions": dict(about.versions),
            "bytes": sum(one.stat().st_size for one in self.folder.rglob("*") if one.is_file()),
        }

    def search(
        self,
        query: Query | Float[Tensor, "D"],
        k: int = 5,
        *,
        mode: Mode = "vector",
        exact: bool | None = None,
        where: str | None = None,
    ) -> list[Hit]:
        """Find the rows that fit best.

        Args:
            query: Free text, or with mode "vector" a vector. A text is encoded with role "query". Of an index of
                pictures, with mode "vector": a picture, as :meth:`likewise.data.StoredImage.of` takes it (a path, the
                bytes of a file, a PIL picture, an array), or a vector.
            k: How many, >= 1.
            mode: "vector": by meaning (cosine). "text": by words (BM25; any of the words, needs no model). "hybrid":
                both rankings fused by reciprocal rank; a picture has no words.
            exact: Compare with every vector. None: only where there is no approximate index. False: ask for the
                approximate index. The score is the exact cosine in any case.
            where: Only rows for which this SQL condition holds: ``"year > 2000 AND topic = 'dogs'"``; names with
                spaces in backticks.

        Returns:
            At most ``k`` hits, best first. Equal scores are in the order of their ids, shorter ids first (so 9 comes
            before 10).

        Raises:
            InputError: An empty query, a picture that cannot be read, a mode that does not exist or does not fit, a
                condition that is no SQL or names a column that is not there, no approximate index, or another model
                than the one that made the index.
            ValueError: k < 1, or a vector of another length.

        Source: reciprocal rank fusion: Cormack, Clarke and Büttcher 2009, SIGIR, with their constant of 60.
        """
        if mode not in MODES:
            raise unknown("search mode", mode, MODES)
        if k < 1:
            raise ValueError(f"search: k is {k}; at least 1 is accepted.")
        if isinstance(query, str) and not query.strip():
            raise InputError("the query is empty; give some text to look for.")
        if mode == "hybrid" and self.about.image_column is not None:
            raise InputError(
                f"the index '{self.folder}' is of pictures: search it by a picture with mode 'vector', or by the words "
                "beside the pictures with mode 'text'."
            )
        if mode == "vector":
            return [self._hit(row, _cosine(row)) for row in self._by_vector(query, k, exact, where)]
        if not isinstance(query, str):
            raise InputError(f"mode '{mode}' looks for words and needs a text; search a vector with mode 'vector'.")
        if mode == "text":
            return [self._hit(row, row["_score"]) for row in self._by_words(query, k, where)]
        depth = max(100, 10 * k)
        ranked = fused([self._by_vector(query, depth, exact, where), self._by_words(query, depth, where)])
        return [self._hit(row, score) for row, score in ranked[:k]]

    def _by_vector(self, query: Query | Tensor, k: int, exact: bool | None, where: str | None) -> list[dict[str, Any]]:
        if exact is False and not self.is_approximate:
            raise InputError(
                f"the index '{self.folder}' has no approximate index; search it exactly, or build one first."
            )
        vector, compare_all = self._vector_of(query), bool(exact) or not self.is_approximate

        def find(limit: int) -> pa.Table:
            return lance.nearest(self._table, vector, limit, where, exact=compare_all)

        return top(find, k, "_distance", best="lowest")

    def _by_words(self, query: str, k: int, where: str | None) -> list[dict[str, Any]]:
        return top(lambda limit: lance.matching(self._table, query, limit, where), k, "_score", best="highest")

    def _vector_of(self, query: Query | Tensor) -> NDArray[np.float32]:
        given: Any = query
        if not _is_vector(query):
            asked = _picture(query) if self.about.image_column is not None else _text(query)
            given = self.embedder.encode([asked], role="query")[0]
        vector = torch.as_tensor(given).detach().to("cpu", torch.float32)
        if vector.shape != (self.about.dim,):
            raise ValueError(
                f"search: the vector has shape {list(vector.shape)}; [{self.about.dim}] is accepted. Encode the query "
                f"with the model that made the index ('{self.about.model}')."
            )
        if not torch.isfinite(vector).all() or not vector.any():
            raise InputError("the query's vector is zero or not finite; a finite vector with a direction is needed.")
        values: NDArray[np.float32] = vector.numpy()
        return values

    def _hit(self, row: dict[str, Any], score: float) -> Hit:
        packed = self.about.json_columns
        metadata = {
            name: json.loads(row[name]) if name in packed and row[name] is not None else row[name]
            for name in self.metadata_columns
        }
        return Hit(row[ID], row[TEXT], float(score), metadata)

    def add(
        self,
        rows: Source,
        *,
        replace: bool = False,
        vectors: Float[Tensor, "N D"] | None = None,
        batch_size: int = 256,
        precision: str = "auto",
        progress: storage.Progress | None = None,
    ) -> int:
        """Add rows of the same columns: all of them in one commit, or none.

        Args:
            rows: As for :meth:`create`; a metadata column that is missing becomes None.
            replace: Replace rows that have an id already; otherwise such a row is an error.
            vectors: Vectors of the rows in their order, where they exist already.
            batch_size: Texts encoded at a time.
            precision: How texts are encoded.
            progress: Called with the rows done and the rows there are.

        Returns:
            How many rows were given.

        Raises:
            InputError: An id that exists, a column or a kind of value that the index does not have, a row that cannot
                be used, another process that changes the index, or another model than the one that made it.
            RunError: The disk is full; the index is as it was.
        """
        if replace and self.about.id_column is None:
            raise InputError(
                f"the index '{self.folder}' numbers its rows, so no new row can replace one; delete old rows by their "
                "ids, or make the index with a column of ids."
            )
        embedder, spooled = self.embedder, self.folder / SPOOL
        opened = open_rows(rows, self.about.text_column, self.about.image_column)
        with storage.only_writer(self.folder / ".lock", f"the index '{self.folder}'"):
            about = self._latest()
            found = survey(opened, about.id_column, first_row=about.next_row, json_columns=about.json_columns)
            self._refuse_other_columns(opened, found)
            if about.id_column is not None and not replace:
                self._refuse_known_ids(opened, found)
            try:
                storage.spool(
                    spooled,
                    opened,
                    found,
                    self._table.schema,
                    embedder,
                    vectors=_fitting(vectors, found.num_rows, about.dim),
                    batch_size=batch_size,
                    precision=precision,
                    progress=progress,
                )
                with storage.disk(self.folder), storage.reader_of(spooled) as reader:
                    if about.id_column is None:  # first, so that no number is given twice, whatever happens
                        self.about = with_changes(about, next_row=about.next_row + found.num_rows)
                        write_about(self.folder, self.about)
                    lance.add(self._table, reader, replace=replace)
            finally:
                spooled.unlink(missing_ok=True)
        return found.num_rows

    def delete(self, ids: Iterable[str | int]) -> int:
        """Delete rows by their ids.

        Args:
            ids: Ids; those that are not there are passed over.

        Returns:
            How many rows were deleted.

        Raises:
            InputError: Another process is changing the index.
            RunError: The disk is full.
        """
        names = list(dict.fromkeys(str(one) for one in ids))
        with storage.only_writer(self.folder / ".lock", f"the index '{self.folder}'"):
            self._latest()
            before = len(self)
            with storage.disk(self.folder):
                lance.delete(self._table, names)
            return before - len(self)

    def get(self, ids: Iterable[str | int]) -> list[Hit]:
        """Return rows by their ids, in that order, with a score of 1; those that are not there are passed over."""
        names = list(dict.fromkeys(str(one) for one in ids))
        found = {row[ID]: self._hit(row, 1.0) for row in lance.by_ids(self._table, names)}
        return [found[name] for name in names if name in found]

    def build_approximate(self) -> None:
        """Build the approximate index, or build it anew after many changes.

        Raises:
            InputError: Another process is changing the index.
            RunError: The disk is full.
        """
        with storage.only_writer(self.folder / ".lock", f"the index '{self.folder}'"):
            self._latest()
            with storage.disk(self.folder):
                lance.index_vectors(self._table)

    def _latest(self) -> About:
        """See the changes of other processes; returns what is known of the index now."""
        self._table.checkout_latest()
        self.about = read_about(self.folder)
        return self.about

    def _refuse_other_columns(self, rows: Rows, found: Survey) -> None:
        """Refuse metadata for which the index has no place."""
        schema, packed = self._table.schema, self.about.json_columns
        for stored, kind in found.types.items():
            if stored not in self.metadata_columns:
                raise InputError(
                    f"{rows.table.name} has a column '{stored}' that the index does not have (its metadata: "
                    f"{', '.join(self.metadata_columns) or 'none'}); leave the column out, or make the index again."
                )
            has = schema.field(stored).type
            fits = pa.types.is_null(kind) or kind == has or (kind, has) == (pa.int64(), pa.float64())
            if not fits or (stored in found.json and stored not in packed):
                brings = "values of several kinds" if stored in found.json else str(kind)
                raise InputError(
                    f"{rows.table.name}: the column '{stored}' holds {brings}, but in the index it is {has}; mend the "
                    "column, or make the index again."
                )

    def _refuse_known_ids(self, rows: Rows, found: Survey) -> None:
        """Refuse rows whose id is in the index: one reading of its ids."""
        for ids in lance.ids_of(self._table):
            for one in ids:
                if one in found.ids:
                    raise InputError(
                        f"{rows.where(found.ids[one])}: the index has a row with id '{one}' already; leave the row "
                        "out, or ask for rows to be replaced."
                    )


def _is_vector(query: Any) -> bool:
    """Tell a vector from a picture; both may be arrays."""
    return isinstance(query, Tensor | list) or (isinstance(query, np.ndarray) and query.ndim == 1)


def _text(query: Any) -> str:
    if not isinstance(query, str):
        raise InputError(
            f"the index is of texts, and the query is a {type(query).__name__}; give a text, or the vector of one."
        )
    return query


def _picture(query: Any) -> StoredImage:
    """Return a query of an index of pictures, after seeing that it is one."""
    try:
        picture = StoredImage.of(query)
        picture.rgb()
    except (TypeError, ValueError, OSError, InputError):
        given = f"'{query}'" if isinstance(query, str | PathLike) else f"a {type(query).__name__}"
        raise InputError(
            f"the index is of pictures, and the query is {given}, which cannot be read as one; give the path of a "
            "picture, or look for words beside the pictures with mode 'text'."
        ) from None
    return picture


def _cosine(row: dict[str, Any]) -> float:
    return max(-1.0, min(1.0, 1.0 - float(row["_distance"])))  # rounding may have left the range


def _id_column(rows: Rows, id_column: str | None, numbered: bool) -> str | None:
    """Return the column of the ids, None where rows are numbered."""
    names = rows.column_names
    if numbered and id_column is not None:
        raise InputError(f"rows cannot be numbered and have ids from the column '{id_column}'; ask for one of the two.")
    if id_column is not None and id_column not in names:
        raise unknown("column", id_column, names)
    return id_column or (ID if ID in names and not numbered else None)


def _fitting(vectors: Tensor | None, num_rows: int, dim: int) -> Tensor | None:
    if vectors is None:
        return None
    vectors = torch.as_tensor(vectors)
    if vectors.shape != (num_rows, dim):
        raise ValueError(
            f"Index: the vectors have shape {list(vectors.shape)}; [{num_rows}, {dim}] is accepted, a vector a row in "
            "their order. Encode the rows with the embedder given."
        )
    return vectors


def _about(embedder: Embedder, model: str, rows: Rows, found: Survey, language: str | None) -> About:
    return About(
        model=model,
        model_path=str(Path(model).absolute()) if Path(model).is_dir() else None,
        model_fingerprint=embedder.fingerprint,
        dim=embedder.dim,
        text_column=rows.text_column,
        image_column=rows.image_column,
        path_column=found.names.get(rows.image_column or ""),
        id_column=found.id_column,
        next_row=found.num_rows,
        json_columns=sorted(found.json),
        language=language,
        source=rows.table.name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=installed_versions("lancedb"),
        part=dict(getattr(embedder, "part", {})),
    )
