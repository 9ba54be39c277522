"""Pictures on a page: a row of small copies, each with a word below it, inside the page's own file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["picture_gallery"]

PICTURE = 64
"""Side of a picture on the page, in pixels."""


def picture_gallery(pictures: Iterable[tuple[Image, str, str]]) -> str:
    """Return the markup of pictures side by side, for :meth:`Fragment.raw`.

    Args:
        pictures: Of each the picture, the words below it, and where it is from.
    """
    parts = "".join(_picture(*one) for one in pictures)
    return f'<div style="display:flex;flex-wrap:wrap;gap:10px">{parts}</div>'


def _picture(picture: Image, words: str, place: str) -> str:
    from PIL.Image import Resampling

    scale = PICTURE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    held = io.BytesIO()
    picture.resize(size, Resampling.NEAREST if scale > 1 else Resampling.LANCZOS).save(held, format="PNG")
    code, where = base64.b64encode(held.getvalue()).decode(), html.escape(place, quote=True)
    return (
        f'<figure style="margin:0;text-align:center"><img src="data:image/png;base64,{code}" alt="{where}" '
        f'title="{where}" width="{size[0]}" height="{size[1]}"><figcaption class="soft">{html.escape(words)}'
        "</figcaption></figure>"
    )
