"""Pictures as rows hold them: encoded, and decoded when somebody looks at them."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likewise.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["IMAGE_NAMES", "StoredImage", "as_rgb", "image_problem", "strict_decoding"]

IMAGE_NAMES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Ends of the names of picture files."""
DECODERS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""The formats that are decoded, told by a file's contents. Pillow knows more, some of which start other programs."""
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", *SIXTEEN_BITS)
"""Forms of pixels of which it is known what is black and what is white."""


@dataclass(frozen=True, eq=False, repr=False)
class StoredImage:
    """A picture: the bytes of its file, or the path of a file that is read when needed.

    Two are equal where their bytes are or, where neither has bytes, their paths are.

    Args:
        data: The encoded picture, as a file holds it.
        path: Where the file is; beside ``data`` only a name.

    Raises:
        ValueError: There is neither.

    Example:
        >>> import numpy as np
        >>> picture = StoredImage.of(np.zeros((2, 3, 3), dtype=np.uint8))
        >>> picture.rgb().size, picture == StoredImage(picture.data, "black.png")
        ((3, 2), True)
    """

    data: bytes | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if self.data is None and self.path is None:
            raise ValueError("a StoredImage needs the bytes of a picture file or its path, and both are None")

    @classmethod
    def of(cls, value: Any) -> StoredImage:
        """Store a picture, however it is given.

        Args:
            value: A path (``str`` or ``Path``), the bytes of a file, a ``PIL.Image.Image``, a uint8 array ``[H, W]``
                (grey), ``[H, W, 3]`` (red, green, blue) or ``[H, W, 4]`` (and opacity), a dict with ``bytes`` and
                ``path`` as ``datasets`` holds pictures, or one that is stored. Arrays and PIL pictures become PNG
                files, with the orientation that their EXIF data tell applied.

        Raises:
            TypeError: It is none of these.
            ValueError: It is an array of another shape or type, a picture whose pixels cannot be brought to RGB, or a
                dict without either.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str | os.PathLike):
            return cls(path=str(Path(os.fspath(value)).expanduser()))
        if isinstance(value, bytes | bytearray | memoryview):
            return cls(data=bytes(value))
        if isinstance(value, Mapping) and {"bytes", "path"} >= set(value):
            data, path = value.get("bytes"), value.get("path")
            if not isinstance(data, bytes | None) or not isinstance(path, str | None):
                raise TypeError("its 'bytes' are no bytes, or its 'path' is no text")
            return cls(data, path)
        import numpy as np
        import PIL.Image

        if isinstance(value, np.ndarray):
            channels = value.shape[2:]
            if (
                value.dtype != np.uint8
                or value.ndim not in (2, 3)
                or channels not in ((), (3,), (4,))
                or not value.size
            ):
                shape = ", ".join(map(str, value.shape))
                raise ValueError(
                    f"is an array of {value.dtype} [{shape}]; uint8 [H, W], [H, W, 3] or [H, W, 4] is accepted"
                )
            return cls(_png(PIL.Image.fromarray(value)))
        if isinstance(value, PIL.Image.Image):
            return cls(_png(_upright(value.copy())))
        raise TypeError(f"is of type {type(value).__name__}; a path, bytes, a PIL picture or a uint8 array is accepted")

    def encoded(self) -> bytes:
        """Return the bytes of the picture's file.

        Raises:
            InputError: The file cannot be read.
        """
        if self.data is not None:
            return self.data
        try:
            return Path(self.path or "").read_bytes()
        except OSError as error:
            raise InputError(
                f"the picture '{self.path}' cannot be read ({error.strerror or error}); put it back where it was, or "
                "leave its row out."
            ) from error

    def open(self) -> PIL.Image.Image:
        """Decode the picture: as large and in the mode that it has, turned as its EXIF data say.

        Of a file with several pictures (an animated GIF) it is the first.

        Raises:
            InputError: The file cannot be read or decoded.
        """
        encoded = self.encoded()
        try:
            return _decoded(encoded)
        except Exception as error:  # decoders of damaged files raise whatever they stumble over
            raise InputError(
                f"the picture {self} cannot be decoded ({_reason(error)}); fetch or make it again, or leave its row "
                "out."
            ) from error

    def rgb(self, background: str | tuple[int, int, int] = "white") -> PIL.Image.Image:
        """Decode the picture and bring it to red, green and blue of 8 bits; see :func:`as_rgb`.

        Raises:
            InputError: The file cannot be read or decoded.
        """
        return as_rgb(self.open(), background)

    def digest(self) -> str:
        """Return the sha256 of the picture's bytes, in hex.

        Raises:
            InputError: The file cannot be read.
        """
        return hashlib.sha256(self.encoded()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredImage) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __str__(self) -> str:
        """Tell what it is in a few characters: the path in quotation marks, or the number of bytes."""
        return f"'{self.path}'" if self.path is not None else f"of {len(self.data or b''):,} bytes"

    def __repr__(self) -> str:
        return f"StoredImage({self})"

    @property
    def _content(self) -> bytes | str | None:
        return self.path if self.data is None else self.data


def as_rgb(picture: PIL.Image.Image, background: str | tuple[int, int, int] = "white") -> PIL.Image.Image:
    """Bring a decoded picture to red, green and blue of 8 bits.

    What is transparent is laid on a background. Grey, palettes, CMYK and grey of 16 bits (65,535 is white) are
    converted; colour profiles are not applied.

    Args:
        picture: As :meth:`StoredImage.open` returns it.
        background: What shows through, as Pillow takes colours: "white", "#ff8800", (255, 136, 0).

    Raises:
        ValueError: The background is no colour, or it is not known which values of the picture are black and white.

    Example:
        >>> from PIL import Image
        >>> as_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 0)), "red").getpixel((0, 0))
        (255, 0, 0)
        >>> as_rgb(Image.new("I;16", (1, 1), 65535)).getpixel((0, 0))
        (255, 255, 255)
    """
    import numpy as np
    import PIL.Image

    if picture.mode not in MODES:
        raise ValueError(f"has pixels of the form '{picture.mode}', of which black and white are not known")
    if picture.mode in SIXTEEN_BITS:
        values = np.asarray(picture).astype(np.uint32)
        picture = PIL.Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    above = picture.convert("RGBA")
    below = PIL.Image.new("RGBA", above.size, background)
    return PIL.Image.alpha_composite(below, above).convert("RGB")


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Refuse pictures of more pixels than Pillow thinks safe, and let decoders say nothing else meanwhile."""
    import PIL.Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        yield


def image_problem(picture: StoredImage) -> str | None:
    """Say what is wrong with a picture ("cannot be decoded (truncated)"), or return None; it is decoded whole.

    Example:
        >>> image_problem(StoredImage(b"text")), image_problem(StoredImage(path="none.png"))
        ('cannot be decoded (no picture of a known format)', "names the file 'none.png', which does not exist")
    """
    named = "" if picture.data is not None else f"'{picture.path}': "
    if picture.path is not None:
        try:
            picture.path.encode()
        except UnicodeEncodeError:
            return "has a file name that is no valid Unicode"
    if picture.data is None and not Path(picture.path or "").is_file():
        return f"names the file '{picture.path}', which does not exist"
    try:
        encoded = picture.encoded()
    except InputError as error:
        return f"cannot be read ({named}{_reason(error.__cause__ or error)})"
    try:
        if not encoded:
            raise ValueError("0 bytes")
        decoded = _decoded(encoded)
        if decoded.mode not in MODES:
            raise ValueError(f"pixels of the form '{decoded.mode}', of which black and white are not known")
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        return f"cannot be decoded ({named}{_reason(error)})"
    return None


def _decoded(encoded: bytes) -> PIL.Image.Image:
    import PIL.Image

    picture = PIL.Image.open(io.BytesIO(encoded), formats=DECODERS)
    picture.load()
    return _upright(picture)


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Turn a picture as its EXIF data say; damaged ones say nothing."""
    import PIL.ImageOps

    with suppress(Exception):  # the pixels are whole, and no viewer minds
        PIL.ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _png(picture: PIL.Image.Image) -> bytes:
    if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        picture = picture.convert("RGBA") if picture.mode in ("PA", "RGBa") else as_rgb(picture)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _reason(error: BaseException) -> str:
    """Say in a few words what a decoder stumbled over."""
    import PIL
    import PIL.Image

    text = str(error).strip().rstrip(".")
    if isinstance(error, PIL.UnidentifiedImageError):
        return "no picture of a known format"
    if isinstance(error, PIL.Image.DecompressionBombWarning | PIL.Image.DecompressionBombError):
        return f"more than {PIL.Image.MAX_IMAGE_PIXELS or 0:,} pixels"
    if "truncated" in text.lower():
        return "truncated"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text or type(error).__name__
