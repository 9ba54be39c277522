"""A vector for each of many classes, made once and never trained: what a text is told to belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from likewise import pairwise
from likewise.encoders import TextEncoder

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["PrototypeTable", "mean_embeddings"]

ENCODED = 8192
"""Texts that are encoded, and held as vectors, at a time."""


class PrototypeTable(nn.Module):
    """``E`` frozen vectors, and which encoder made them.

    The vectors are constants: no parameter, so that no optimiser sees them; and no buffer, because data-parallel
    wrappers send buffers at every step and checkpoints write them, where the file they came from holds them already.
    They go to a device with the module they are part of.

    Args:
        vectors: ``[E, D]``, kept as they are; not normalised.
        version: Names what they were made by: the fingerprint of an encoder, and what was done after it.

    State: ``digest`` ``[16]``, of version and vectors. A state of another table is refused when it is loaded.
    Cost: O(E D) memory.
    Source: Liu 2024 (DefSent+), arXiv 2405.16153.

    Example:
        >>> table = PrototypeTable(torch.eye(3), version="by hand")
        >>> scores, rows = table.nearest(torch.tensor([[0.1, 0.9, 0.0]]), 2)
        >>> scores, rows
        (tensor([[0.9000, 0.1000]]), tensor([[1, 0]]))
    """

    digest: Tensor

    def __init__(self, vectors: Float[Tensor, "E D"], version: str) -> None:
        super().__init__()
        if vectors.ndim != 2 or not vectors.is_floating_point():
            raise ValueError(
                f"PrototypeTable: vectors is {vectors.dtype} {list(vectors.shape)}; it is a floating [E, D]."
            )
        self.vectors = vectors.detach().clone()
        self.version = version
        found = hashlib.blake2b(version.encode(), digest_size=16)
        found.update(self.vectors.cpu().contiguous().view(torch.uint8).numpy().data)
        self.register_buffer("digest", torch.tensor(list(found.digest()), dtype=torch.uint8))

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Length of a vector, ``D``."""
        return int(self.vectors.shape[1])

    @torch.no_grad()
    def nearest(self, query: Float[Tensor, "N D"], k: int) -> tuple[Float[Tensor, "N k"], Int[Tensor, "N k"]]:
        """Return the k largest products of each query with the vectors, and their rows; as ``pairwise.topk``."""
        return pairwise.topk(query, self.vectors, min(k, len(self)), precision="fp32")

    def extra_repr(self) -> str:
        """Return the sizes, for printing."""
        return f"prototypes={len(self)}, dim={self.dim}, version={self.version}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PrototypeTable:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own has no types
        self.vectors = fn(self.vectors)
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        errors: list[str] = rest[-1]
        saved = state_dict.get(f"{prefix}digest")
        if saved is not None and not torch.equal(saved.to(self.digest.device), self.digest):
            errors.append(f"{prefix}digest: the state is that of another table of prototypes; prepare the same data.")
        super()._load_from_state_dict(state_dict, prefix, *rest)


def mean_embeddings(
    encoder: TextEncoder, texts: Sequence[str], owner: Int[Tensor, "n"], number: int
) -> Float[Tensor, "E D"]:
    """Return the mean of what an encoder makes of the texts of each owner, before any normalisation.

    The encoder is in evaluation mode (dropout would make targets that no encoder can reach) and computes in float32,
    and there is no gradient. The order of the texts does not matter beyond rounding.

    Args:
        encoder: A text tower; it is left in the mode that it was in.
        texts: ``n`` of them.
        owner: Which of the ``E`` prototypes each belongs to, int64 in [0, E); each has at least one.
        number: How many there are, ``E``.

    Raises:
        ValueError: A prototype has no text.

    Cost: O(E D) memory in float64, beside some thousand texts at a time.
    """
    sums = torch.zeros(number, encoder.dim, dtype=torch.float64)
    for start in range(0, len(texts), ENCODED):
        part = slice(start, start + ENCODED)
        vectors = encoder.encode_tokens(encoder.tokenizer(texts[part]), precision="fp32")
        sums.index_add_(0, owner[part], vectors.double())
    counts = torch.bincount(owner, minlength=number)
    if not bool((counts > 0).all()):
        raise ValueError(f"mean_embeddings: prototype {int(counts.argmin())} has no text; each needs at least one.")
    return (sums / counts[:, None]).float()
