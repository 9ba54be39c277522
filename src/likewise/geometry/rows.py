"""What every figure of geometry asks of the vectors it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["checked", "sampled", "unit_rows"]


def checked(embeddings: Float[Tensor, "N D"], caller: str, *, at_least: int = 1) -> Float[Tensor, "N D"]:
    """Return the embeddings as floating point without their graph, after checking their shape and values.

    Args:
        embeddings: One vector a row.
        caller: Function named in messages.
        at_least: Fewest rows accepted.

    Returns:
        ``[N, D]``: float64 stays float64, anything else becomes float32.

    Raises:
        ValueError: Not a matrix, too few rows, or a value that is not finite (the row is named).
    """
    if embeddings.ndim != 2 or not embeddings.shape[1]:
        raise ValueError(
            f"{caller}: the embeddings have shape {list(embeddings.shape)}; a matrix [rows, dimensions] is accepted. "
            "Give one vector a row."
        )
    if len(embeddings) < at_least:
        rows = f"{len(embeddings)} row{'' if len(embeddings) == 1 else 's'}"
        raise ValueError(f"{caller}: {rows} given; at least {at_least} are needed. Give more vectors.")
    rows_ = embeddings.detach().to(torch.float64 if embeddings.dtype == torch.float64 else torch.float32)
    bad = (~torch.isfinite(rows_).all(dim=1)).nonzero()
    if len(bad):
        raise ValueError(
            f"{caller}: row {int(bad[0])} holds a value that is not finite ({len(bad)} of {len(rows_)} rows do); "
            "finite numbers are accepted. Look at the input of that row."
        )
    return rows_


def unit_rows(embeddings: Float[Tensor, "N D"], caller: str, *, at_least: int = 1) -> Float[Tensor, "N D"]:
    """Return the embeddings on the unit sphere, after the checks of :func:`checked`.

    Raises:
        ValueError: As :func:`checked`, and for a row of zeros, which has no direction.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0]]), "example")
        tensor([[0.6000, 0.8000]])
    """
    rows = checked(embeddings, caller, at_least=at_least)
    largest = rows.abs().amax(dim=1, keepdim=True)
    if not largest.all():
        raise ValueError(
            f"{caller}: row {int((largest[:, 0] == 0).nonzero()[0])} is all zeros and has no direction; vectors other "
            "than zero are accepted. Look at the input of that row."
        )
    rows = rows / largest  # squares of very large or very small numbers would leave the range of float32
    return torch.nn.functional.normalize(rows, dim=1)


def sampled(embeddings: Float[Tensor, "N D"], max_rows: int | None, seed: int) -> Float[Tensor, "n D"]:
    """Return ``max_rows`` rows drawn without replacement in their order, or all where there are no more."""
    if max_rows is None or len(embeddings) <= max_rows:
        return embeddings
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(embeddings), generator=generator)[:max_rows].sort().values
    return embeddings[chosen.to(embeddings.device)]
