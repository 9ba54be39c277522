"""Domains: parts of the data (a language, a subject) that one model encodes each in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from likewise.state import read_state, write_state

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Domain", "read_domains", "write_domains"]

FOLDER = "domains"


@dataclass(frozen=True)
class Domain:
    """What a model does differently for texts of one domain.

    Args:
        first_token: Id that stands in the place of the first special token of every text; None: the usual one.
        shift: Taken from every embedding before anything else ``[D]``; None: nothing.
        matrix: What an embedding is multiplied by, ``(e - shift) @ matrix``, ``[D, D]``, before a trailing
            normalisation; None: nothing.
    """

    first_token: int | None = None
    shift: Float[torch.Tensor, "D"] | None = None
    matrix: Float[torch.Tensor, "D D"] | None = None

    @property
    def changes_embeddings(self) -> bool:
        """Whether an embedding is moved."""
        return self.shift is not None or self.matrix is not None

    def map_of(self, dim: int) -> nn.Linear:
        """Return the affine map of embeddings of length ``dim`` as a layer."""
        matrix = torch.eye(dim) if self.matrix is None else self.matrix.detach().float()
        shift = torch.zeros(dim) if self.shift is None else self.shift.detach().float()
        layer = nn.Linear(dim, dim)
        with torch.no_grad():
            layer.weight.copy_(matrix.T)
            layer.bias.copy_(-shift @ matrix)
        return layer.requires_grad_(False)


def write_domains(folder: Path, domains: Mapping[str, Domain], *, needed: bool, first_token: int | None) -> None:
    """Write the domains of a tower beside it, in their order."""
    content = {
        "needed": needed,
        "first_token": first_token,
        "domains": {
            name: {"first_token": one.first_token, "shift": one.shift, "matrix": one.matrix}
            for name, one in domains.items()
        },
    }
    write_state(folder, content, FOLDER)


def read_domains(folder: Path) -> tuple[dict[str, Domain], bool, int | None]:
    """Return the domains of a saved tower, whether one has to be named, and the id that begins every text."""
    if not (folder / FOLDER).is_dir():
        return {}, False, None
    content = read_state(folder, FOLDER)
    return (
        {name: Domain(**one) for name, one in content["domains"].items()},
        content["needed"],
        content["first_token"],
    )
