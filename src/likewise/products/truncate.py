"""A smaller model of a model: its first layers and the first numbers of its embeddings, in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult, new_folder, save_changed

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
        if self.layers is None and self.dims is None:
            raise InputError("nothing is cut; give --layers, --dims, or both.")
        folder = new_folder(self.out)
        cut = model.text_encoder.truncated(self.layers, self.dims)
        save_changed(model, cut, folder)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        figures = {"layers": cut.num_layers, "dims": cut.dim, "bytes": size, "fingerprint": cut.fingerprint}
        return ProductResult(figures, files=[folder])
