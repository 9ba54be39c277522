"""Drawing SVG files."""

from __future__ import annotations

from likewise.data.images import StoredImage
from likewise.errors import InputError
from likewise.extras import optional

__all__ = ["drawn"]


def drawn(svg: str, size: int) -> bytes:
    """Draw an SVG file into the middle of a square with resvg, on nothing, without the machine's fonts.

    Args:
        svg: The file's text; "currentColor" is black.
        size: Pixels of a side.

    Returns:
        A PNG file.

    Raises:
        InputError: resvg is not installed, or the file cannot be drawn.
    """
    import PIL.Image

    resvg = optional("resvg_py", extra="image", use="draws pictures of lines")
    try:
        png = bytes(resvg.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True))
    except ValueError as error:
        raise InputError(f"an SVG file cannot be drawn ({error}); give another.") from error
    picture = StoredImage(png).open()
    if picture.size == (size, size):
        return png
    square = PIL.Image.new("RGBA", (size, size))
    square.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return StoredImage.of(square).encoded()
