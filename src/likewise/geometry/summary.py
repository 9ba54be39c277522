"""The geometry of a space in a handful of figures, and in one line for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from likewise.geometry.rows import unit_rows
from likewise.geometry.spectrum import effective_rank
from likewise.geometry.sphere import alignment, even_uniformity, mean_cosine, positive_cosine, uniformity

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["one_line", "summary"]


def summary(
    embeddings: Float[Tensor, "N D"],
    positives: Float[Tensor, "N D"] | None = None,
    *,
    max_rows: int | None = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """Describe where vectors lie on the unit sphere.

    Args:
        embeddings: Vectors of different things; rows are put on the unit sphere first.
        positives: Row i is a positive of row i of the embeddings; None where no pairs are known.
        max_rows: Uniformity looks at all pairs and so at no more than this many rows, drawn without replacement; None:
            all rows. The other figures are always exact.
        seed: Seed of that draw.

    Returns:
        ``rows``, ``dim``, ``effective_rank``, ``mean_cosine``, ``uniformity`` (t = 2), ``uniformity_rows`` (rows it was
        computed on), ``even_uniformity`` (its best value in this dimension), and with positives ``alignment``
        (alpha = 2) and ``positive_cosine``. Each is explained at the function of its name.

    Raises:
        ValueError: Fewer than two rows, shapes that differ, a row that is not finite or is zero.

    Cost: O(N D^2) time, and O(max_rows^2 D) for uniformity.

    Example:
        >>> import torch
        >>> round(summary(torch.eye(2))["effective_rank"], 6)
        2.0
    """
    rows = unit_rows(embeddings, "summary", at_least=2)
    figures: dict[str, float] = {
        "rows": len(rows),
        "dim": rows.shape[1],
        "effective_rank": effective_rank(rows),
        "mean_cosine": mean_cosine(rows),
        "uniformity": uniformity(rows, max_rows=max_rows, seed=seed),
        "uniformity_rows": len(rows) if max_rows is None else min(len(rows), max_rows),
        "even_uniformity": even_uniformity(rows.shape[1]),
    }
    if positives is not None:
        figures["alignment"] = alignment(rows, positives)
        figures["positive_cosine"] = positive_cosine(rows, positives)
    return figures


def one_line(figures: Mapping[str, float]) -> str:
    """Say a :func:`summary` in one line for people.

    Example:
        >>> import torch
        >>> print(one_line(summary(torch.eye(3), torch.eye(3))))
        3 vectors in 3 dimensions: effective rank 3.0 (at most 3), mean cosine 0.00 between any two and 1.00 within
        pairs, uniformity -4.00 (evenly spread: -2.08), alignment 0.00.
    """
    rows, dim = int(figures["rows"]), int(figures["dim"])
    cosine = f"mean cosine {figures['mean_cosine']:.2f} between any two"
    spread = f"uniformity {figures['uniformity']:.2f} (evenly spread: {figures['even_uniformity']:.2f})"
    pairs = ""
    if "alignment" in figures:
        cosine += f" and {figures['positive_cosine']:.2f} within pairs"
        pairs = f", alignment {figures['alignment']:.2f}"
    rank = f"effective rank {figures['effective_rank']:.1f} (at most {min(rows, dim)})"
    line = f"{rows:,} vectors in {dim:,} dimensions: {rank}, {cosine}, {spread}{pairs}."
    return line.replace("-0.00", "0.00")
