"""A smaller model of a model: its first layers and the first numbers of its embeddings, in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult

if TYPE_CHECKING:
    from likewise.artefact import Model

__all__ = ["Truncate"]


@dataclass(frozen=True)
class Truncate(Product):
    """Save a truncated model; see the module."""

    summary: ClassVar[str] = "Save a smaller model: the first layers alone, and the first dimensions"

    layers: int | None = None
    """Layers that are kept, >= 1; all where not given."""
    dims: int | None = None
    """Numbers of an embedding that are kept, >= 1; all where not given."""
    out: str = ""
    """Folder of the smaller model; new or empty."""

    def run(self, model: Model) -> ProductResult:
        """Cut the model and save it.

        Raises:
            InputError: Nothing is cut, the folder is taken, or the model cannot be cut there.
        """
        from likewise import artefact

        if self.layers is None and self.dims is None:
            raise InputError("nothing is cut; give --layers, --dims, or both.")
        if not self.out:
            raise InputError("no folder given; say where the smaller model goes with --out.")
        folder = Path(self.out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} exists and is not empty; give another --out, or remove it first.")
        cut = model.embedder.truncated(self.layers, self.dims)
        known = model.about
        if known and not model.kept:  # what a method keeps beside its model belongs to the whole of it
            about = {name: known[name] for name in ("method", "paper", "settings", "data", "training")}
            artefact.save(cut, folder, artefact.About(**about))
        else:
            cut.save(folder)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        figures = {"layers": cut.num_layers, "dims": cut.dim, "bytes": size, "fingerprint": cut.fingerprint}
        return ProductResult(figures, files=[folder])
