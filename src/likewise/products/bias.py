"""What sways a model's similarities beside meaning: words in common, and equal length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult

if TYPE_CHECKING:
    from likewise.artefact import Model

__all__ = ["Bias"]


@dataclass(frozen=True)
class Bias(Product):
    """How far shared words and equal length sway the cosine, on pairs that people have scored; see :meth:`run`."""

    summary: ClassVar[str] = "Tell how far shared words and equal length sway a model's similarities"

    data: str = ""
    """Pairs with the score of people: a file with the columns score, sentence1 and sentence2. Without it the pairs that
    the model was trained on are described."""
    measure: Literal["edit", "bigram", "length"] = "edit"
    """What likeness on the surface is: edit distance of words, shared pairs of neighbouring words, or the ratio of
    lengths."""
    bins: int = 5
    """Parts into which the range of scores is cut, >= 1; in each, pairs are about equally alike."""

    def run(self, model: Model) -> ProductResult:
        """Measure the biases, and describe the pairs of training where the model keeps that.

        With the cosine c of a pair, its likeness on the surface u, the difference in length d (in words) and the score
        g, the figures are: ``spearman`` of c and g, the model's quality; ``overlap``, the partial rank correlation of c
        and u given g (0: words in common do not matter beyond what they mean); ``overlap_in_bins``, the rank
        correlation of c and u among pairs of about one score; ``length``, the partial rank correlation of c and -d
        given g; and ``overlap_of_people``, the rank correlation of u and g.

        Raises:
            InputError: No pairs are given and the model keeps nothing of its training pairs; or a row is bad.
        """
        rows = [_shown(row) for row in model.kept.get("pairs", [])]
        if not self.data and not rows:
            raise InputError(
                "no pairs are given, and this model keeps nothing of the pairs that it was trained on; give pairs with "
                "--data (columns score, sentence1 and sentence2)."
            )
        if self.bins < 1:
            raise InputError(f"bins is {self.bins}; it is 1 or more (usual: 5).")
        return ProductResult(figures=self._measured(model) if self.data else {}, rows=rows)

    def _measured(self, model: Model) -> dict[str, Any]:
        import numpy as np
        import torch

        from likewise.data import open_table
        from likewise.evaluation import SIMILARITY_COLUMNS, similarity
        from likewise.geometry import correlation_within, partial_correlation
        from likewise.sampling import SurfaceTexts

        table = open_table(self.data, columns=SIMILARITY_COLUMNS)
        quality = similarity(model.text_encoder, table, bootstrap=0, precision="fp32")
        first, second = (table.column(side).to_pylist() for side in ("sentence1", "sentence2"))
        score = torch.tensor(table.column("score").to_pylist(), dtype=torch.float64)
        vectors = torch.nn.functional.normalize(model.text_encoder.encode([*first, *second], precision="fp32"), dim=1)
        cosine = torch.linalg.vecdot(*vectors.chunk(2)).double()
        words = SurfaceTexts([*first, *second])
        places = np.arange(len(first))
        surface = torch.from_numpy(words.similarity(places, places + len(first), self.measure))
        apart = torch.from_numpy(words.lengths).double().chunk(2)
        return {
            "pairs": len(table),
            "spearman": quality.metrics["spearman"],
            "overlap": partial_correlation(cosine, surface, score),
            "overlap_in_bins": correlation_within(cosine, surface, score, bins=self.bins),
            "length": partial_correlation(cosine, -(apart[0] - apart[1]).abs(), score),
            "overlap_of_people": correlation_within(surface, score, torch.zeros(len(score)), bins=1),
        }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the description of training pairs, its list of lengths cut to what is read at a glance."""
    lengths = row["length_difference"]
    kept = {name: value for name, value in row.items() if name != "length_difference"}
    return {**kept, "same_length": lengths[0], "over_4_words_apart": sum(lengths[5:])}
