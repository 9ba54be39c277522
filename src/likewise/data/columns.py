"""What a row must bring: columns and the kinds of value they hold."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from likewise.data.images import StoredImage, image_problem, strict_decoding

__all__ = ["Column", "Image", "Kind", "Label", "Number", "Row", "Text", "Vector", "needed_columns", "shown"]

Row = dict[str, Any]
"""One row: the value of each declared column that the source has."""


def shown(value: object, width: int = 40) -> str:
    """Return a value as a message shows it: short, with what it is.

    Example:
        >>> shown(5), shown(["a"]), shown(None)
        ('a number (5)', "a list (['a'])", 'missing')
    """
    if value is None:
        return "missing"
    names = {bool: "true/false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    name = names.get(type(value), f"of type {type(value).__name__}")
    text = repr(value)
    return f"{name} ({text if len(text) <= width else text[: width - 3] + '...'})"


class Kind:
    """A kind of value that a column holds: what is acceptable, and how it is stored.

    A kind is used as a class and never made into an object: ``Column("text", Text)``.
    """

    name: ClassVar[str]
    """What the value is called in messages: "text"."""
    must: ClassVar[str]
    """What a row needs, as the end of a sentence: "a non-empty text"."""
    stored: ClassVar[pa.DataType]
    """How the value is stored in an Arrow file."""
    as_stored: ClassVar[bool] = True
    """Whether rows hold a value as files and Arrow do; where not, ``taken`` and ``restored`` stand between."""
    block_rows: ClassVar[int | None] = None
    """How many rows are checked at once, where values are so large that it matters."""

    @classmethod
    def problem(cls, value: Any) -> str | None:
        """Say what is wrong with a value ("is empty"), or return None where it is acceptable."""
        raise NotImplementedError

    @classmethod
    def problems(cls, values: Sequence[Any]) -> list[str | None]:
        """Say of each of several values what is wrong with it."""
        return list(map(cls.problem, values))

    @classmethod
    def taken(cls, value: Any, folder: Path | None) -> Any:
        """Bring a value from the form that files hold to the one that is checked; what cannot be stays as it is.

        Args:
            value: As a file or somebody in Python gives it.
            folder: Where the file lies, for values that name other files; None for the current folder.
        """
        return value

    @classmethod
    def restored(cls, value: Any) -> Any:
        """Bring a value from the form that Arrow gives to the one that rows hold."""
        return value

    @classmethod
    def digestible(cls, array: pa.Array) -> pa.Array:
        """Return texts or numbers that stand for the contents of stored values, for fingerprints."""
        return array

    @classmethod
    def files_of(cls, array: pa.Array) -> list[str]:
        """Return the files beside the table that stored values are read from."""
        return []

    @classmethod
    def parse(cls, text: str) -> Any:
        """Read a value from a format in which everything is text (csv, tsv, txt); what cannot be read stays a text."""
        return text

    @classmethod
    def absent(cls, value: Any) -> bool:
        """Tell whether an optional column has no value in a row."""
        return value is None

    @classmethod
    def all_good(cls, values: list[Any]) -> bool:
        """Tell quickly whether every value of a block is acceptable; False sends each one through ``problem``."""
        return not any(map(cls.problem, values))

    @classmethod
    def array(cls, values: Sequence[Any]) -> pa.Array:
        """Store acceptable values, or None, as Arrow does."""
        return pa.array(values, type=cls.stored)


class Text(Kind):
    """A non-empty text (something is left when the spaces around it are taken away)."""

    name = "text"
    must = "a non-empty text"
    stored = pa.string()

    @classmethod
    def problem(cls, value: Any) -> str | None:
        """Say what is wrong with a text.

        Example:
            >>> Text.problem("a dog"), Text.problem("  "), Text.problem(5)
            (None, 'is empty', 'is a number (5)')
        """
        if not isinstance(value, str):
            return f"is {shown(value)}"
        if not value.strip():
            return "is empty"
        try:
            value.encode()
        except UnicodeEncodeError:
            return "holds half a character (a lone surrogate), which is no valid Unicode"
        return None

    @classmethod
    def absent(cls, value: Any) -> bool:
        """Tell whether there is no text: none at all, or only spaces."""
        return value is None or (isinstance(value, str) and not value.strip())

    @classmethod
    def all_good(cls, values: list[Any]) -> bool:
        """Tell whether all are non-empty texts; that they can be encoded is found when they are stored."""
        return set(map(type, values)) <= {str} and all(map(str.strip, values))


class Number(Kind):
    """A finite number; integers are stored as float64."""

    name = "number"
    must = "a finite number"
    stored = pa.float64()

    @classmethod
    def problem(cls, value: Any) -> str | None:
        """Say what is wrong with a number.

        Example:
            >>> Number.problem(3), Number.problem(float("nan")), Number.problem("3,5")
            (None, 'is not finite (nan)', "is a text ('3,5')")
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"is {shown(value)}"
        try:
            finite = math.isfinite(value)
        except OverflowError:
            return "is too large a number"
        return None if finite else f"is not finite ({value})"

    @classmethod
    def parse(cls, text: str) -> Any:
        """Read a decimal number; an empty field is no value, anything else stays a text.

        Example:
            >>> Number.parse(" 3.5 "), Number.parse(""), Number.parse("1_000")
            (3.5, None, '1_000')
        """
        if not text.strip():
            return None
        try:
            return text if "_" in text else float(text)
        except ValueError:
            return text

    @classmethod
    def all_good(cls, values: list[Any]) -> bool:
        """Tell whether all are finite floats; integers are looked at one by one."""
        return set(map(type, values)) <= {float} and all(map(math.isfinite, values))

    @classmethod
    def array(cls, values: Sequence[Any]) -> pa.Array:
        """Store numbers as float64, integers too."""
        return pa.array([None if value is None else float(value) for value in values], type=cls.stored)


class Label(Kind):
    """The name of a class, a user, an item: a non-empty text or a finite number, stored as text.

    A whole number is written without a point, whether a file holds it as integer or not, and spaces around a text are
    taken away: 3, 3.0 and " 3" are one label.
    """

    name = "label"
    must = "a label: a non-empty text or a number"
    stored = pa.string()

    @classmethod
    def problem(cls, value: Any) -> str | None:
        """Say what is wrong with a label.

        Example:
            >>> Label.problem("sports"), Label.problem(3), Label.problem(" "), Label.problem(["a"])
            (None, None, 'is empty', "is a list (['a'])")
        """
        if isinstance(value, bool | str):
            return Text.problem(str(value))
        return Number.problem(value)

    @classmethod
    def absent(cls, value: Any) -> bool:
        """Tell whether there is no label: none at all, or only spaces."""
        return Text.absent(value)

    @classmethod
    def array(cls, values: Sequence[Any]) -> pa.Array:
        """Store labels as text.

        Example:
            >>> Label.array(["sports ", 3, 3.0, 2.5, True, None]).to_pylist()
            ['sports', '3', '3', '2.5', 'true', None]
        """
        return pa.array(list(map(cls._written, values)), type=cls.stored)

    @staticmethod
    def _written(value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value).strip()


class Vector(Kind):
    """A list of finite numbers, stored as float32: an embedding, the scores of several classes.

    A single number is a list of one. Files in which everything is text hold it as JSON, ``[0.5, -1]``.
    """

    name = "vector"
    must = "a list of finite numbers"
    stored = pa.list_(pa.float32())

    @classmethod
    def problem(cls, value: Any) -> str | None:
        """Say what is wrong with a vector.

        Example:
            >>> Vector.problem([0.5, -1]), Vector.problem([]), Vector.problem([1, float("inf")])
            (None, 'is an empty list', 'is not finite (inf) (number 2 of its list)')
        """
        if not isinstance(value, list | tuple):
            return Number.problem(value)
        if not value:
            return "is an empty list"
        problems = ((i, Number.problem(one)) for i, one in enumerate(value, 1))
        return next((f"{problem} (number {i} of its list)" for i, problem in problems if problem), None)

    @classmethod
    def parse(cls, text: str) -> Any:
        """Read a vector written as JSON; an empty field is no value, anything else stays a text.

        Example:
            >>> Vector.parse("[0.5, -1]"), Vector.parse("2"), Vector.parse(""), Vector.parse("a")
            ([0.5, -1], 2, None, 'a')
        """
        if not text.strip():
            return None
        try:
            return json.loads(text)
        except ValueError:
            return text

    @classmethod
    def array(cls, values: Sequence[Any]) -> pa.Array:
        """Store vectors as lists of float32."""
        listed = [None if v is None else list(v) if isinstance(v, list | tuple) else [v] for v in values]
        return pa.array(listed, type=cls.stored)


class Image(Kind):
    """A picture; rows hold a ``StoredImage``.

    It is stored as ``datasets.Image`` does: the bytes of its file, or the file's path. What may be given is said at
    :meth:`StoredImage.of`; a path goes on from the folder of the file that it stands in.
    """

    name = "image"
    must = "a picture that can be decoded"
    stored = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    as_stored = False
    block_rows = 64

    @classmethod
    def problem(cls, value: Any) -> str | None:
        """Say what is wrong with a picture; it is decoded whole.

        Example:
            >>> Image.problem(b"a text"), Image.problem(5)
            ('cannot be decoded (no picture of a known format)', 'is a number (5)')
        """
        return cls.problems([value])[0]

    @classmethod
    def problems(cls, values: Sequence[Any]) -> list[str | None]:
        """Say of each of several pictures what is wrong with it, decoding some at the same time."""
        with strict_decoding():
            if len(values) < 2:
                return list(map(cls._problem, values))
            with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:  # decoders let go of the interpreter
                return list(pool.map(cls._problem, values))

    @classmethod
    def _problem(cls, value: Any) -> str | None:
        if cls.absent(value):
            return "is missing"
        try:
            picture = StoredImage.of(value)
        except TypeError:
            return f"is {shown(value)}"
        except Exception as error:  # a damaged picture that was opened in Python, or an array of another shape
            return str(error).rstrip(".") or f"is {shown(value)}"
        return image_problem(picture)

    @classmethod
    def absent(cls, value: Any) -> bool:
        """Tell whether there is no picture: nothing, an empty path, or neither bytes nor path."""
        if isinstance(value, Mapping):
            return {"bytes", "path"} >= set(value) and all(one is None for one in value.values())
        return value is None or (isinstance(value, str) and not value.strip())

    @classmethod
    def all_good(cls, values: list[Any]) -> bool:
        """Tell whether all can be decoded."""
        return not any(cls.problems(values))

    @classmethod
    def taken(cls, value: Any, folder: Path | None) -> Any:
        """Store a picture however it is given; a path goes from the folder on."""
        if cls.absent(value):
            return None
        try:
            picture = StoredImage.of(value)
        except Exception:  # ``problem`` says what is wrong with it
            return value
        if picture.data is None and picture.path is not None:
            return StoredImage(path=os.path.abspath(os.path.join(folder or "", picture.path)))  # noqa: PTH100, PTH118
        return picture

    @classmethod
    def restored(cls, value: Any) -> StoredImage | None:
        """Make a picture again of what Arrow gives."""
        return None if value is None else StoredImage(value["bytes"], value["path"])

    @classmethod
    def array(cls, values: Sequence[Any]) -> pa.Array:
        """Store pictures as bytes and path.

        Example:
            >>> Image.array([StoredImage(path="a.png"), None]).to_pylist()
            [{'bytes': None, 'path': 'a.png'}, None]
        """
        pictures = [None if value is None else StoredImage.of(value) for value in values]
        listed = [None if one is None else {"bytes": one.data, "path": one.path} for one in pictures]
        return pa.array(listed, type=cls.stored)

    @classmethod
    def digestible(cls, array: pa.Array) -> pa.Array:
        """Return the sha256 of each picture's bytes, wherever its file is."""
        restored = map(cls.restored, array.to_pylist())
        return pa.array([None if one is None else one.digest() for one in restored], type=pa.string())

    @classmethod
    def files_of(cls, array: pa.Array) -> list[str]:
        """Return the paths of the pictures that are not stored themselves."""
        listed = array.filter(array.field("bytes").is_null())
        return [path for path in listed.field("path").to_pylist() if path is not None]


@dataclass(frozen=True)
class Column:
    """A column that a method reads.

    Args:
        name: How rows name it.
        kind: What it holds: ``Text``, ``Number``, ``Label``, ``Vector``, ``Image``.
        required: Whether every row needs a value. In an optional column a row without one has None (or, with
            ``many``, an empty list).
        many: Whether a row may bring a list of values; rows then always hold a list.
        all_or_none: Whether an optional column has a value in every row or in no row; the first row that can be used
            decides which.
        instead_of: Another column in whose place a source may bring this one: one of the two is needed, the other then
            not, the same in all files. A source that brings both has to have values in both.
        help: What it is for, in a few words; shown by ``likewise methods NAME``.
        option: Option that says which column of the file it is, where that is not ``--columns``.

    Example:
        >>> Column("negative", Text, required=False, many=True).problem(["a", " "])
        'is empty (value 2 of its list)'
    """

    name: str
    kind: type[Kind]
    required: bool = True
    many: bool = False
    all_or_none: bool = False
    help: str = ""
    instead_of: str = ""
    option: str = ""

    @property
    def must(self) -> str:
        """What a row needs, as the end of a sentence."""
        return f"{self.kind.must} or a list of them" if self.many else self.kind.must

    @property
    def needed(self) -> str:
        """Which rows need it, as tables of columns say."""
        if self.instead_of:
            return f"in place of {self.instead_of}"
        return "yes" if self.required else "in all rows or in none" if self.all_or_none else "no"

    def tidy(self, value: Any) -> Any:
        """Return a value in the form that rows hold: None or a value; with ``many`` always a list."""
        if not self.many:
            return None if not self.required and self.kind.absent(value) else value
        values = list(value) if isinstance(value, list | tuple) else [value]
        return [] if not self.required and all(map(self.kind.absent, values)) else values

    def taken(self, values: list[Any], folder: Path | None) -> list[Any]:
        """Bring values in the form of ``tidy`` from the form of files to the one that is checked."""
        if self.kind.as_stored:
            return values
        if self.many:
            return [[self.kind.taken(one, folder) for one in several] for several in values]
        return [self.kind.taken(value, folder) for value in values]

    def restored(self, values: list[Any]) -> list[Any]:
        """Bring values from the form that Arrow gives to the one that rows hold."""
        if self.kind.as_stored:
            return values
        if self.many:
            return [list(map(self.kind.restored, several)) for several in values]
        return list(map(self.kind.restored, values))

    def problems(self, values: list[Any]) -> dict[int, str]:
        """Say which values in the form of ``tidy`` are wrong and what is wrong with them, by their places."""
        if self.many:
            found: Iterable[str | None] = map(self.problem, values)
        else:
            looked_at = [i for i, value in enumerate(values) if self.required or value is not None]
            told = dict(zip(looked_at, self.kind.problems([values[i] for i in looked_at]), strict=True))
            found = map(told.get, range(len(values)))
        return {i: problem for i, problem in enumerate(found) if problem}

    def array(self, values: list[Any]) -> pa.Array:
        """Store acceptable values in the form of ``tidy`` as Arrow does."""
        if not self.many:
            return self.kind.array(values)
        ends = list(itertools.accumulate(map(len, values), initial=0))
        return pa.ListArray.from_arrays(pa.array(ends, type=pa.int32()), self.kind.array(list(_flat(values))))

    def checked_array(self, values: list[Any]) -> pa.Array | None:
        """Store the values where every one of them is acceptable; None where one is not."""
        if self.many and self.required and not all(values):
            return None
        flat: Iterable[Any] = _flat(values) if self.many else values
        if not self.kind.all_good([one for one in flat if self.required or one is not None]):
            return None
        try:
            return self.array(values)
        except UnicodeEncodeError:
            return None

    def problem(self, value: Any) -> str | None:
        """Say what is wrong with a value in the form of ``tidy``, or return None."""
        if not self.many:
            return None if value is None and not self.required else self.kind.problem(value)
        if not value:
            return "is an empty list" if self.required else None
        problems = [(i, problem) for i, one in enumerate(value, 1) if (problem := self.kind.problem(one))]
        if not problems:
            return None
        i, problem = problems[0]
        return problem if len(value) == 1 else f"{problem} (value {i} of its list)"


def needed_columns(columns: Iterable[Column]) -> list[tuple[Column, ...]]:
    """Return the columns that a row needs; where one may stand in another's place, both together.

    Example:
        >>> columns = (Column("text", Text), Column("title", Text, instead_of="text"), Column("label", Label))
        >>> [[one.name for one in either] for either in needed_columns(columns)]
        [['text', 'title'], ['label']]
    """
    listed = [column for column in columns if column.required]
    return [
        (column, *(other for other in listed if other.instead_of == column.name))
        for column in listed
        if not column.instead_of
    ]


def _flat(values: Iterable[Iterable[Any]]) -> Iterator[Any]:
    return itertools.chain.from_iterable(values)
