"""From texts to directions: every text is encoded once, checked, and put on the unit sphere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize

from likewise.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.encoders import Embedder
    from likewise.encoders.embedder import Role

__all__ = ["class_numbers", "unit_vectors"]


def unit_vectors(
    embedder: Embedder,
    texts: Sequence[str],
    *,
    name: str,
    role: Role | None = None,
    batch_size: int = 256,
    precision: str = "auto",
    progress: bool = False,
) -> Float[Tensor, "N D"]:
    """Encode texts and put their vectors on the unit sphere, where a product is a cosine.

    Args:
        embedder: The model.
        texts: What is encoded; a text that occurs several times is encoded once.
        name: What a message calls the data.
        role: Side of the texts, for encoders that treat the two differently.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded.
        progress: Show progress on stderr.

    Returns:
        float64 ``[N, D]``, so that nothing is lost in what is fitted to them.

    Raises:
        InputError: A vector is zero or not finite.
    """
    places = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    embeddings = embedder.encode(
        list(places), role=role, batch_size=batch_size, precision=precision, progress=progress
    ).double()
    bad = (~torch.isfinite(embeddings).all(dim=1) | ~embeddings.any(dim=1)).nonzero()
    if len(bad):
        raise InputError(
            f"{name}: the vector of {list(places)[int(bad[0])]!r} is zero or not finite ({len(bad)} of {len(places)} "
            "are); a model that gives finite vectors with a direction is needed. Look at its training curve."
        )
    found: Tensor = normalize(embeddings, dim=1)
    return found if len(places) == len(texts) else found[torch.tensor([places[text] for text in texts])]


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the place of each label among the classes."""
    places = {one: number for number, one in enumerate(classes)}
    return [places[label] for label in labels]
