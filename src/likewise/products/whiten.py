"""Whiten a model: the cheapest change of a space, by a linear layer that is fitted on texts and needs no training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult, new_folder, save_changed

if TYPE_CHECKING:
    from torch import Tensor

    from likewise.artefact import Model

__all__ = ["Whiten"]

_FEW = 10
"""Texts for each number of an embedding below which the statistics are poor."""


@dataclass(frozen=True)
class Whiten(Product):
    """Settings of ``whiten``."""

    summary: ClassVar[str] = "Write the model anew with a last layer that whitens its embeddings, fitted on your texts"

    data: str = ""
    """The texts, like those that will be embedded: a file of lines, or one with the column text; more of them than an
    embedding has numbers, and better ten times as many."""
    out: str = ""
    """Folder of the new model; new or empty."""
    columns: tuple[str, ...] = ()
    """text=THEIRS: which column of the file holds the texts."""
    eps: float = 1e-5
    """Added to the variance of each number, as a share of the mean variance, >= 0."""
    batch_size: int = 256
    """Texts that are encoded at a time, >= 1."""

    def run(self, model: Model) -> ProductResult:
        """Embed the texts, fit the layer, write the model; tell the space of the texts before and after.

        Raises:
            InputError: No data or folder is given, the folder is not empty, or there are too few texts.
        """
        from torch.nn.functional import normalize

        from likewise.data import Column, Text, open_table
        from likewise.data.renaming import parse_renaming
        from likewise.heads import Whitening

        if not self.data:
            raise InputError("no data given; say which texts the layer is fitted on with --data.")
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}; it must be at least 1.")
        out = new_folder(self.out)
        dim = model.text_encoder.dim
        whitening = Whitening(dim, eps=self.eps)
        table = open_table(self.data, columns=(Column("text", Text),), rename=parse_renaming(self.columns))
        texts = [row["text"] for row in table.stream()]
        if len(texts) <= dim:
            raise InputError(
                f"{self.data} has {len(texts)} texts and the embeddings {dim} numbers; whitening needs more texts than "
                f"numbers, and better {_FEW * dim:,}. Give more texts."
            )
        vectors = model.text_encoder.encode(texts, batch_size=self.batch_size, precision="fp32", progress=True)
        after = normalize(whitening.fit(vectors).transform(vectors), dim=1)
        before, now = _space(vectors), _space(after)
        rows = [{"figure": name, "before": before[name], "after": now[name]} for name in before]
        save_changed(model, model.text_encoder.mapped(whitening.as_linear()), out)
        with (out / "README.md").open("a", encoding="utf-8") as card:
            card.write(
                f"\n## Whitened\n\nBehind `{model.text_encoder.name}` follow a linear layer and a normalisation. "
                f"After the layer the embeddings of {len(texts):,} texts of `{Path(self.data).name}` have mean 0 and "
                f"the identity as covariance (ZCA, eps {self.eps:g}). Made by `likewise use MODEL whiten`.\n"
            )
        return ProductResult({"texts": len(texts), "numbers": dim}, rows, [out])


def _space(vectors: Tensor) -> dict[str, float]:
    from likewise.geometry import channel_correlation, summary

    space = summary(vectors)
    kept = {name: space[name] for name in ("mean_cosine", "uniformity", "effective_rank")}
    return {**kept, "channel_correlation": channel_correlation(vectors)}
