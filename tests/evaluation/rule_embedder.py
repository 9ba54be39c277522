"""An embedder whose vectors are known."""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch


class RuleEmbedder:
    """Gives each text a vector by a rule, and remembers what it was asked."""

    def __init__(self, dim: int, rule: Callable[[str], list[float]], fingerprint: str = "0123abcd") -> None:
        self.name = "by rule"
        self.dim = dim
        self.rule = rule
        self.fingerprint = fingerprint
        self.asked: list[tuple[str | None, list[str]]] = []

    def encode(
        self,
        inputs: Sequence[Any],
        *,
        role: str | None = None,
        batch_size: int = 256,
        precision: str = "auto",
        progress: bool = False,
    ) -> torch.Tensor:
        self.asked.append((role, list(inputs)))
        return torch.tensor([self.rule(text) for text in inputs], dtype=torch.float32).reshape(-1, self.dim)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def random_vector(text: str, dim: int = 8) -> list[float]:
    """A vector that depends on the text alone, not of unit norm."""
    generator = torch.Generator().manual_seed(zlib.crc32(text.encode()))
    return (torch.randn(dim, generator=generator) * 3).tolist()


def random_embedder(dim: int = 8, fingerprint: str = "0123abcd") -> RuleEmbedder:
    """An embedder that gives each text a random direction of its own."""
    return RuleEmbedder(dim, lambda text: random_vector(text, dim), fingerprint)
