"""What evaluation, search and studies see of a trained thing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Embedder", "HasDomains", "Role"]

Role = Literal["query", "document"]


@runtime_checkable
class Embedder(Protocol):
    """Turns inputs into vectors; the same object trains, is evaluated, and serves."""

    @property
    def dim(self) -> int:
        """Length of an embedding, ``D``."""
        ...

    @property
    def name(self) -> str:
        """Where it came from: a folder or a model's name, for messages and reports."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of weights and preprocessing: equal fingerprints embed equally."""
        ...

    def encode(
        self,
        inputs: Sequence[Any],
        *,
        role: Role | None = None,
        batch_size: int = 256,
        precision: str = "auto",
        progress: bool = False,
    ) -> Tensor:
        """Embed the inputs in their order.

        Args:
            inputs: What is embedded, ``n`` of them.
            role: "query" or "document" for encoders that treat the two sides differently (prompts); None: neither.
            batch_size: Inputs encoded at a time, >= 1; the result does not depend on it beyond rounding.
            precision: "auto" (bf16 where the processor computes it fast), "bf16" or "fp32".
            progress: Show a progress bar on stderr.

        Returns:
            float32 ``[n, D]`` on the CPU, of unit norm where the model normalises.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write everything that ``encode`` needs into an existing or new folder."""
        ...


@runtime_checkable
class HasDomains(Protocol):
    """An embedder that encodes parts of the data (languages, subjects) each in its own way."""

    def for_domain(self, name: str) -> Embedder:
        """Return the embedder of one domain."""
        ...
