"""How a picture is written into the documentation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["written"]

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def written(figure: Figure, name: str) -> str:
    """Write ``docs/images/NAME.svg``, the same file for the same figures, close the figure, and return the file's name.

    matplotlib ends lines of a path with a space, which a tool for text files takes away; here they are written without.
    """
    from matplotlib import pyplot as plt

    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    plt.close(figure)
    lines = (line.rstrip() for line in content.getvalue().splitlines())
    path = IMAGES / f"{name}.svg"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.name
