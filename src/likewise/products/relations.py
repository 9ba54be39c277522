"""What classes share: the dimensions that the gate of each pair of them leaves open."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError, unknown
from likewise.products.base import Product, ProductResult, folder_for_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from likewise.artefact import Model

__all__ = ["Relations"]

ON_MAP = 60
"""Most classes on the map; of more, those that share most with any other."""


@dataclass(frozen=True)
class Relations(Product):
    """A map of pairs of classes; see :meth:`run`."""

    summary: ClassVar[str] = "Show which classes share how many dimensions, by the gates of their pairs"

    label: str = ""
    """Show the pairs of this class alone; all pairs where not given."""
    top: int = 20
    """Most pairs that are shown, >= 1, those that share most first."""
    threshold: float = 0.5
    """A dimension is open where the gate is larger than this, in [0, 1)."""
    out: str = ""
    """Folder for relations.csv (all pairs, with the numbers of their open dimensions) and relations.html (the map);
    nothing is written without it."""

    def run(self, model: Model) -> ProductResult:
        """Ask the gate for every pair of classes, each with itself too.

        A row has the two classes, how many dimensions are ``open``, their ``share`` of all, and the ``mean`` of the
        gate. Pairs are in the order of the mean, the largest first.

        Raises:
            InputError: The model keeps no gate, a class is unknown, or a number is out of its range.
        """
        import torch

        from likewise.heads import PairGate

        if "gate" not in model.kept:
            raise InputError(f"{model.embedder.name} keeps no gate of pairs; train it with hydra.")
        if self.top < 1:
            raise InputError(f"top is {self.top}; it must be at least 1.")
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold is {self.threshold}; a number from 0 to less than 1 is accepted.")
        folder_for_files(self.out)
        classes: list[str] = list(model.kept["classes"])
        if self.label and self.label not in classes:
            raise unknown("class", self.label, classes)
        gate = PairGate.of(model.kept["gate"])
        first, second = torch.triu_indices(len(classes), len(classes))
        with torch.inference_mode():
            gates = torch.cat([gate(*part) for part in zip(first.split(4096), second.split(4096), strict=True)])
        order = gates.mean(dim=1).argsort(descending=True, stable=True).tolist()
        listed = [
            {
                "first": classes[int(first[i])],
                "second": classes[int(second[i])],
                "open": int((gates[i] > self.threshold).sum()),
                "share": round(float((gates[i] > self.threshold).float().mean()), 4),
                "mean": round(float(gates[i].mean()), 4),
            }
            for i in order
        ]
        shown = [row for row in listed if not self.label or self.label in (row["first"], row["second"])]
        figures = {"classes": len(classes), "pairs": len(listed), "dimensions": gates.shape[1]}
        files = []
        if self.out:
            table, page = (folder_for_files(self.out) / f"relations.{kind}" for kind in ("csv", "html"))
            table.parent.mkdir(parents=True, exist_ok=True)
            self._write_table(table, listed, gates[order])
            mean = torch.zeros(len(classes), len(classes))
            mean[first, second] = mean[second, first] = gates.mean(dim=1)
            self._write_map(page, classes, mean, shown)
            files = [table, page]
        return ProductResult(figures, shown[: self.top], files)

    def _write_table(self, path: Path, rows: Sequence[Mapping[str, Any]], gates: Tensor) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*rows[0], "dimensions"])
            for row, gate in zip(rows, gates, strict=True):
                numbers = (gate > self.threshold).nonzero()[:, 0].tolist()
                writer.writerow([*row.values(), " ".join(map(str, numbers))])

    def _write_map(self, path: Path, classes: Sequence[str], mean: Tensor, pairs: Sequence[Mapping[str, Any]]) -> None:
        """Write the means of all pairs as a map on which classes that share alike stand together."""
        from likewise.report import Page
        from likewise.report.plots import heatmap

        order = _neighbours_together(mean)
        shown = f"All {len(classes)} classes" if len(order) == len(classes) else (
            f"The {len(order)} of {len(classes):,} classes that share most with another"
        )  # fmt: skip
        page = Page(
            "What classes share",
            "For each pair of classes a gate says how far each dimension of the projection is open to both. It knows "
            "their names alone, and was trained with the pictures: look whether it says what you would say.",
        )
        page.section("Map")
        page.figure(
            heatmap(mean[order][:, order].numpy(), [classes[i] for i in order], [classes[i] for i in order],
                    name="mean of the gate"),
            caption=f"{shown}, in an order that brings classes together which share with the same others.",
            alt="Heat map of the mean of the gate for each pair of classes.",
        )  # fmt: skip
        of = f" of {self.label}" if self.label else ""
        others = [row for row in pairs if row["first"] != row["second"]]
        least = others[self.top :][::-1][: self.top]
        for title, part in (("share most", others[: self.top]), *([("share least", least)] if least else [])):
            page.section(f"Pairs{of} that {title}")
            page.table(
                ["first", "second", "open dimensions", "mean of the gate"],
                [[row["first"], row["second"], f"{row['open']:,}", f"{row['mean']:.3f}"] for row in part],
                numbers=["open dimensions", "mean of the gate"],
                caption=f"A dimension is open where the gate is larger than {self.threshold:g}.",
            )
        page.write(path)


def _neighbours_together(mean: Tensor) -> list[int]:
    """Order classes by a tree of how alike their rows of the map are."""
    import torch
    from scipy.cluster.hierarchy import leaves_list, linkage

    own = torch.eye(len(mean), dtype=torch.bool)
    chosen = mean.masked_fill(own, 0).amax(dim=1).topk(min(ON_MAP, len(mean))).indices.sort().values
    if len(chosen) < 3:
        return [int(i) for i in chosen]
    tree = linkage(mean[chosen][:, chosen].numpy(), method="average", optimal_ordering=True)
    return [int(chosen[i]) for i in leaves_list(tree)]
