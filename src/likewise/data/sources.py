"""What a source means: a file, several by pattern, a folder, a hub name, a demo, or rows from Python."""

from __future__ import annotations

import glob
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likewise.data.blocks import Block
from likewise.data.readers import (
    BINARY_FORMATS,
    COMPRESSIONS,
    FORMATS,
    UTF_8,
    read_documents,
    read_file,
    read_rows,
    read_tables,
    rows_at_once,
)
from likewise.errors import InputError, nearest, unknown

if TYPE_CHECKING:
    import datasets

__all__ = [
    "DOCUMENTS",
    "DataFile",
    "Source",
    "dataset_source",
    "documents_source",
    "file_source",
    "find_files",
    "hub_source",
    "kind_of_file",
    "matching",
    "nearest_file",
    "rows_source",
    "source_of_files",
]

DOCUMENTS = "documents:"
"""What a source of documents begins with."""

DATA_NAMES = ", ".join(FORMATS)
COMPRESSED_NAMES = ", ".join(COMPRESSIONS)
READ_ROWS = 4096
"""Rows that are read from a Hugging Face table at a time."""
READ_LARGE_ROWS = 64
"""The same where they hold pictures and nothing tells how large these are."""
ENDS = 1 << 16
"""Bytes at either end of a file that tell it from another of the same size."""


@dataclass(frozen=True)
class Source:
    """Where rows come from: one or more files, or what reads like one."""

    name: str
    """What messages and results call it as a whole."""
    files: Sequence[str]
    """What messages call each file."""
    read: Callable[[int], Iterator[Block]]
    """Reads the file of this number from its beginning."""
    identity: Sequence[Any] | None
    """What the contents depend on, as JSON: a stored copy with the same identity is good. None: nothing is stored."""
    content: str = ""
    """Hex digest that stands for the contents where they are not read beforehand."""
    given: bool = field(default=False)
    """Whether the rows were given from Python rather than read from a file."""
    paths: Sequence[Path] = ()
    """Where the files are; empty where rows come from no files."""

    def folder(self, i: int) -> Path | None:
        """Return the folder of the file of this number, from which values that name other files go on."""
        return self.paths[i].parent if self.paths else None


@dataclass(frozen=True)
class DataFile:
    """A file of rows: where it is, what messages call it, and how it is read."""

    path: Path
    name: str
    format: str
    """One of ``readers.FORMATS``: ".jsonl"."""
    compression: str | None
    """One of ``readers.COMPRESSIONS``: ".gz"; None for a plain file."""


def file_source(source: str | Path, encoding: str = UTF_8) -> Source:
    """Make a source of a path, a folder or a pattern.

    Args:
        source: As :func:`find_files` takes it.
        encoding: How the characters of the files are written.

    Raises:
        InputError: Nothing is there, a file is empty or of an unknown type, or a folder holds several formats.
    """
    files = find_files(source)
    if encoding != UTF_8 and files[0].format in BINARY_FORMATS:
        raise InputError(f"{files[0].name} is no file of text and needs no encoding; leave {encoding} out.")

    def read(i: int) -> Iterator[Block]:
        return read_file(files[i].path, files[i].name, files[i].format, files[i].compression, encoding)

    return source_of_files(source, files, read, *([] if encoding == UTF_8 else [encoding]))


def source_of_files(
    source: str | Path, files: Sequence[DataFile], read: Callable[[int], Iterator[Block]], *how: str
) -> Source:
    """Make a source of files.

    Args:
        source: What names them, for messages where there are several.
        files: The files.
        read: Reads the file of a number from its beginning.
        *how: What else the rows depend on beside the contents: the encoding, the format.
    """
    states = [(str(one.path.resolve()), one.path.stat()) for one in files]
    content = _ends_digest(files)  # the clock of a file system may be too coarse for two quick writes
    return Source(
        name=files[0].name if len(files) == 1 else str(source),
        files=[one.name for one in files],
        read=read,
        identity=["files", *how, content, *([path, state.st_size, state.st_mtime_ns] for path, state in states)],
        content=content,
        paths=[one.path for one in files],
    )


def documents_source(source: str, encoding: str = UTF_8) -> Source:
    """Make a source of ``documents:PATH``: texts of several languages, one sentence a line, a document a row.

    A row has the columns ``sentences`` (a list) and ``language``. Empty lines stand between documents. ``PATH`` is

    - a folder with a folder for each language, ``de/*.txt``; the folder's name is the language;
    - a folder of files, or a single file, ``de.txt``, ``de.news.txt``; the language is the name up to the first point.

    All files may be compressed.

    Args:
        source: As said.
        encoding: How the characters of all files are written.

    Raises:
        InputError: Nothing is there, or a file is empty or no text file.
    """
    path = Path(source.removeprefix(DOCUMENTS)).expanduser()
    found = _files_by_language(path)
    digest = _ends_digest([file for _, file in found])
    states = [(str(file.path.resolve()), file.path.stat()) for _, file in found]

    def read(i: int) -> Iterator[Block]:
        language, file = found[i]
        for block in read_documents(file.path, file.name, file.compression, encoding):
            block.columns["language"] = [language] * len(block)
            yield block

    return Source(
        name=str(source),
        files=[file.name for _, file in found],
        read=read,
        identity=[
            "documents",
            digest,
            encoding,
            *([where, state.st_size, state.st_mtime_ns] for where, state in states),
        ],
        content=digest,
    )


def _files_by_language(path: Path) -> list[tuple[str, DataFile]]:
    folders = sorted(one for one in path.iterdir() if one.is_dir() and one.name[0] not in "._") if path.is_dir() else []
    if folders:
        found = [
            (folder.name, DataFile(file.path, f"{folder.name}/{file.name}", file.format, file.compression))
            for folder in folders
            for file in find_files(folder)
        ]
    else:
        found = [(file.name.partition(".")[0], file) for file in find_files(path)]
    for _, file in found:
        if file.format != ".txt":
            raise InputError(
                f"{file.name} is no text file; documents are read from files that end in .txt (perhaps with "
                f"{COMPRESSED_NAMES} behind it), one sentence a line and an empty line between documents."
            )
    return found


def _ends_digest(files: Sequence[DataFile]) -> str:
    """Digest the size and both ends of each file: cheap, and independent of place and date."""
    digest = hashlib.sha256()
    for file in files:
        size = file.path.stat().st_size
        with file.path.open("rb") as stream:
            digest.update(f"{file.name} {size}\n".encode(errors="surrogateescape") + stream.read(ENDS))
            stream.seek(max(0, size - ENDS))
            digest.update(stream.read(ENDS))
    return digest.hexdigest()


def rows_source(rows: Iterable[Any]) -> Source:
    """Make a source of rows given as Python dicts."""
    listed = list(rows)
    return Source("rows", ["rows"], lambda _: read_rows(listed), identity=None, given=True)


def dataset_source(dataset: datasets.Dataset, name: str | None = None) -> Source:
    """Make a source of a Hugging Face table."""
    called = name or getattr(dataset.info, "dataset_name", None) or "dataset"

    def read(_: int) -> Iterator[Block]:
        rows = rows_at_once(dataset.data.nbytes, dataset.data.num_rows, READ_ROWS)
        return read_tables(dataset.with_format("arrow").iter(batch_size=rows))

    return Source(called, [called], read, identity=["dataset", dataset._fingerprint], content=dataset._fingerprint)


def hub_source(source: str, *, streaming: bool) -> Source:
    """Make a source of ``hf:owner/name[:config][:split]``, fetched through ``datasets`` (and kept in its cache).

    Raises:
        InputError: There is no such data set, configuration or split, or it cannot be fetched.
    """
    import datasets

    name, config, split = parse_hub_name(source)
    with _fetching(source):
        configs = datasets.get_dataset_config_names(name)
        if config is None and split is not None and split in configs:
            config, split = split, None
        if config is None and len(configs) > 1 and "default" not in configs:
            raise InputError(
                f"'{source}' has several configurations; name one: hf:{name}:CONFIG, of {', '.join(configs)}."
            )
        if config is not None and config not in configs:
            raise unknown(f"configuration of {name}", config, configs)
        splits = datasets.get_dataset_split_names(name, config)
        split = split or ("train" if "train" in splits or len(splits) > 1 else splits[0])
        if split not in splits:
            raise unknown(f"split of {name}", split, splits)
        loaded = datasets.load_dataset(name, config, split=split, streaming=streaming)
    called = ":".join(["hf", name, *([config] if config else []), split])
    if not streaming:
        return dataset_source(loaded, called)

    large = any(isinstance(feature, datasets.Image) for feature in (loaded.features or {}).values())

    def read(_: int) -> Iterator[Block]:
        return read_tables(loaded.with_format("arrow").iter(batch_size=READ_LARGE_ROWS if large else READ_ROWS))

    return Source(called, [called], read, identity=None, content=hashlib.sha256(called.encode()).hexdigest())


@contextmanager
def _fetching(source: str) -> Iterator[None]:
    """Fetch without progress bars and reports of retries, and turn the hub's errors into a sentence."""
    import datasets

    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"'{source}' cannot be loaded ({reason}); check the name and the network, or give a local file."
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not hidden:
            datasets.enable_progress_bars()


def kind_of_file(path: Path) -> tuple[str, str | None] | None:
    """Tell format and compression of a file by its name; None where it is no data file.

    Example:
        >>> kind_of_file(Path("notes.jsonl.gz")), kind_of_file(Path("notes.doc"))
        (('.jsonl', '.gz'), None)
    """
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else None
    return (suffixes[-1], compression) if suffixes and suffixes[-1] in FORMATS else None


def find_files(source: str | Path) -> list[DataFile]:
    """Find the files that a path, a folder or a pattern names, in the order of their names.

    Args:
        source: A file; a folder whose data files are all of one format; or a pattern (``data/*.jsonl``, ``**`` for
            any depth).

    Raises:
        InputError: Nothing is there, a file is empty or of an unknown type, or a folder holds several formats.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        files = _files_of_folder(path)
    elif path.exists():
        files = [_data_file(path, path.name)]
    elif glob.has_magic(str(source)):
        found = matching(path)
        if not found:
            raise InputError(f"no file matches '{source}'; the pattern is looked up from {Path.cwd()}.")
        files = _named(found)
    else:
        raise nearest_file(path, "give a file, a folder, a pattern, hf:NAME or demo:NAME.")
    for file in files:
        if file.path.stat().st_size == 0:
            raise InputError(f"{file.name} is empty (0 bytes); a data file needs at least one row.")
    return files


def matching(pattern: Path) -> list[Path]:
    """Return the files that a pattern matches, in the order of their names; hidden ones only where it asks for them."""
    fixed = next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))
    found = Path(*pattern.parts[:fixed]).glob(str(Path(*pattern.parts[fixed:])))
    hidden = pattern.name.startswith(".")
    return sorted(one for one in found if one.is_file() and (hidden or not one.name.startswith(".")))


def nearest_file(path: Path, otherwise: str) -> InputError:
    """Build the error for a path at which nothing is; it offers the nearest name beside it.

    Args:
        path: What was given.
        otherwise: What to do where no name is near.
    """
    parent = path.parent
    beside = nearest(path.name, (one.name for one in parent.iterdir())) if parent.is_dir() else None
    hint = f"did you mean '{parent / beside}'?" if beside else otherwise
    return InputError(f"there is no file or folder '{path}': {hint}")


def _data_file(path: Path, name: str) -> DataFile:
    kind = kind_of_file(path)
    if kind is None:
        raise _unknown_type(path, name)
    file_format, compression = kind
    if file_format == ".parquet" and compression:
        raise InputError(f"{name}: a Parquet file is compressed inside; unpack it to '{path.stem}'.")
    return DataFile(path, name, file_format, compression)


def _unknown_type(path: Path, name: str) -> InputError:
    suffixes = [suffix for suffix in path.suffixes[-2:] if suffix.lower() not in COMPRESSIONS]
    if not suffixes:
        return InputError(
            f"{name}: the file type is read from the end of the name, and there is none; name the file so that it ends "
            f"in one of {DATA_NAMES} (perhaps with {COMPRESSED_NAMES} behind it)."
        )
    problem = unknown("file type", suffixes[-1], FORMATS)
    return InputError(f"{name}: {problem} Each may be compressed ({COMPRESSED_NAMES}).")


def _files_of_folder(folder: Path) -> list[DataFile]:
    found = sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith((".", "_")))
    kinds = [(one, kind) for one in found if (kind := kind_of_file(one))]
    if not kinds:
        deeper = any(one.is_dir() for one in folder.iterdir())
        hint = f" A folder for each language, with documents in them, is given as documents:{folder}." if deeper else ""
        raise InputError(
            f"the folder '{folder}' holds no data file; files that end in {DATA_NAMES} are read "
            f"(perhaps compressed: {COMPRESSED_NAMES}), and pictures in it or in a folder for each class.{hint}"
        )
    counts = Counter(kind[0] for _, kind in kinds)
    if len(counts) > 1:
        several = " and ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        raise InputError(
            f"the folder '{folder}' holds files of several formats ({several}); name one by a pattern, for example "
            f"'{folder / ('*' + next(iter(counts)))}'."
        )
    return [_data_file(one, one.name) for one, _ in kinds]


def _named(paths: list[Path]) -> list[DataFile]:
    """Name the files by their last part where that tells them apart, else by their whole path."""
    distinct = len({path.name for path in paths}) == len(paths)
    return [_data_file(path, path.name if distinct else str(path)) for path in paths]


def parse_hub_name(source: str) -> tuple[str, str | None, str | None]:
    """Read ``hf:owner/name[:config][:split]``; a single part behind the name is returned as the split.

    Example:
        >>> parse_hub_name("hf:owner/name:train")
        ('owner/name', None, 'train')
    """
    name, *parts = source.removeprefix("hf:").split(":")
    if not name or len(parts) > 2 or not all(parts):
        raise InputError(
            f"'{source}' is no hub name; write hf:OWNER/NAME, hf:OWNER/NAME:SPLIT or hf:OWNER/NAME:CONFIG:SPLIT."
        )
    return name, parts[0] if len(parts) == 2 else None, parts[-1] if parts else None
