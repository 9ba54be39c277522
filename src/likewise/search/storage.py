"""How an index lies on the disk: rows spooled to one file, stored in one commit, published by one rename."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from likewise.errors import InputError, RunError
from likewise.search.about import ABOUT
from likewise.search.rows import ID, TEXT, VECTOR, Rows, Survey

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import NDArray

    from likewise.encoders import Embedder

__all__ = ["Progress", "building", "disk", "only_writer", "reader_of", "schema_of", "spool"]

Progress = Callable[[int, int | None], None]
"""Called with the rows done and the rows there are (None where that is not known)."""


def schema_of(types: dict[str, pa.DataType], dim: int) -> pa.Schema:
    """Return the columns of an index: id, text, metadata, vector."""
    metadata = [(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in types.items()]
    return pa.schema([(ID, pa.string()), (TEXT, pa.string()), *metadata, (VECTOR, pa.list_(pa.float32(), dim))])


def spool(
    path: Path,
    rows: Rows,
    survey: Survey,
    schema: pa.Schema,
    embedder: Embedder,
    *,
    vectors: Float[Tensor, "N D"] | None,
    batch_size: int,
    precision: str,
    progress: Progress | None,
) -> None:
    """Embed all rows, a block at a time, and write them to one Arrow file.

    Args:
        path: File to write.
        rows: The source.
        survey: What was found out of it.
        schema: Columns to write.
        embedder: Encodes the texts or pictures with role "document".
        vectors: Vectors that exist already, in the order of the rows.
        batch_size: Texts encoded at a time.
        precision: How they are encoded.
        progress: Called after each block.

    Raises:
        InputError: A vector is zero or not finite.
        RunError: The disk is full.
    """
    types = {field.name: field.type for field in schema if field.name not in (ID, TEXT, VECTOR)}
    dim = schema.field(VECTOR).type.list_size
    with _writer(path, schema) as writer:
        for block in rows.blocks():
            texts, end = rows.texts(block), block.start + len(block.rows)
            if vectors is None:
                inputs = texts if rows.image_column is None else rows.pictures(block)
                embeddings = embedder.encode(inputs, role="document", batch_size=batch_size, precision=precision)
            else:
                embeddings = vectors[block.start : end]
            columns = {
                ID: pa.array(survey.ids_of(rows, block), type=pa.string()),
                TEXT: pa.array(texts, type=pa.string()),
                **survey.columns_of(block, types),
                VECTOR: pa.FixedSizeListArray.from_arrays(pa.array(_sound(embeddings, rows, block.start)), dim),
            }
            with disk(path.parent):
                writer.write_batch(pa.record_batch([columns[name] for name in schema.names], schema=schema))
            if progress is not None:
                progress(end, rows.num_rows)


def _sound(embeddings: Tensor, rows: Rows, start: int) -> NDArray[np.float32]:
    """Return vectors one behind the other, after checking that each has a direction."""
    embeddings = embeddings.detach().to("cpu", torch.float32)
    bad = (~torch.isfinite(embeddings).all(dim=1) | ~embeddings.any(dim=1)).nonzero()
    if len(bad):
        raise InputError(
            f"{rows.where(start + int(bad[0]))}: its vector is zero or not finite; a model that gives finite vectors "
            "with a direction is needed. Look at its training curve."
        )
    flat: NDArray[np.float32] = embeddings.numpy().reshape(-1)
    return flat


@contextlib.contextmanager
def _writer(path: Path, schema: pa.Schema) -> Iterator[Any]:
    with disk(path.parent):
        sink = pa.OSFile(str(path), "wb")
        writer = pa.ipc.new_file(sink, schema)
    try:
        yield writer
    except BaseException:
        with contextlib.suppress(OSError):  # closing writes, too, and must not hide what went wrong
            writer.close()
        sink.close()
        raise
    with disk(path.parent):
        writer.close()
        sink.close()


@contextlib.contextmanager
def reader_of(path: Path) -> Iterator[pa.RecordBatchReader]:
    """Open a spooled file as a stream that holds one block at a time."""
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        batches = (file.get_batch(i) for i in range(file.num_record_batches))
        yield pa.RecordBatchReader.from_batches(file.schema, batches)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Turn what a full or forbidden disk raises into one sentence.

    Raises:
        RunError: Writing into the folder failed.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = str(error).split(", /")[0].split("\n")[0]  # without the line of LanceDB's own source
        raise RunError(
            f"cannot write into '{folder}' ({reason}); no index was changed. Make room or give another folder, and run "
            "it again."
        ) from error


@contextlib.contextmanager
def only_writer(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock file; it is let go when the process ends, however it ends.

    Raises:
        InputError: Another process holds it.
    """
    held = filelock.FileLock(lock)
    try:
        with disk(lock.parent):
            held.acquire(timeout=0)
    except RunError as error:
        if isinstance(error.__cause__, filelock.Timeout):
            raise InputError(f"{what} is being written by another process; wait until it has finished.") from None
        raise
    try:
        yield
    finally:
        held.release()


@contextlib.contextmanager
def building(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside ``folder`` that becomes it when all went well, and is removed otherwise.

    What a killed process left behind is removed by the next one that makes the same index.

    Args:
        folder: What is to be made.
        overwrite: Replace an index that is there.

    Raises:
        InputError: The folder exists and may not be replaced, or another process is making it.
        RunError: The disk is full or may not be written.
    """
    folder = folder.absolute()
    _refuse_to_replace(folder, overwrite)
    work = folder.with_name(f".{folder.name}.unfinished")
    lock = folder.with_name(f".{folder.name}.lock")
    with disk(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(lock, f"the index '{folder}'"):
        try:
            with disk(folder.parent):
                shutil.rmtree(work, ignore_errors=True)
                work.mkdir()
            yield work
            with disk(folder.parent):
                _publish(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _refuse_to_replace(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / ABOUT).exists():
        raise InputError(f"'{folder}' exists and is no index; give a folder that does not exist yet.")
    if not overwrite:
        raise InputError(
            f"the index '{folder}' exists; give another folder, add the rows to it, or ask for it to be overwritten."
        )


def _publish(work: Path, folder: Path) -> None:
    replaced = folder.with_name(f".{folder.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    work.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)
