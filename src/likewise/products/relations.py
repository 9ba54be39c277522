"""What classes share: the dimensions that the gate of each pair of them leaves open."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from likewise.errors import InputError, unknown
from likewise.products.base import Product, ProductResult

if TYPE_CHECKING:
    from likewise.artefact import Model

__all__ = ["Relations"]


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
    """CSV file for all pairs, with the numbers of their open dimensions; nothing is written without it."""

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
        files = []
        if self.out:
            path = Path(self.out)
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow([*listed[0], "dimensions"])
                for i, row in zip(order, listed, strict=True):
                    numbers = (gates[i] > self.threshold).nonzero()[:, 0].tolist()
                    writer.writerow([*row.values(), " ".join(map(str, numbers))])
            files.append(path)
        shown = [row for row in listed if not self.label or self.label in (row["first"], row["second"])]
        figures = {"classes": len(classes), "pairs": len(listed), "dimensions": gates.shape[1]}
        return ProductResult(figures, shown[: self.top], files)
