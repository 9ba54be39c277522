"""Quality against speed and size: one model at every depth and width, on the user's own data."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult

if TYPE_CHECKING:
    from likewise.artefact import Model
    from likewise.encoders import TextEncoder
    from likewise.encoders.embedder import Role

__all__ = ["Sizes"]

SMALLEST = 16
"""Narrowest width of the table where none are asked for."""

FEW_LAYERS = 6
"""Layers up to which each depth is in the table where none are asked for; of more, each quarter."""


@dataclass(frozen=True)
class Sizes(Product):
    """A table of depths and widths; see the module."""

    summary: ClassVar[str] = "A table of quality, speed and bytes at each number of layers and of dimensions"

    data: str = ""
    """What quality is measured on: a file, folder or name, read as the task needs it."""
    task: str = ""
    """Task of likewise evaluate; where not given, similarity for rows with a score, else retrieval."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pairs: which column of the file is which of ours, as query=question."""
    layers: tuple[int, ...] = ()
    """Numbers of layers; where not given, all up to six, or each quarter of more."""
    dims: tuple[int, ...] = ()
    """Numbers of dimensions; where not given, the powers of two from 16 on, and all."""
    timed_texts: int = 512
    """Most texts of the data that are encoded for the speed, >= 1."""
    rounds: int = 3
    """How often each depth is timed, in turn, >= 1; the median is shown."""
    batch_size: int = 256
    """Texts encoded at a time, >= 1."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Format of the encoder's products, as in likewise encode."""

    def run(self, model: Model) -> ProductResult:
        """Measure the quality of every cell and the speed of every depth.

        Raises:
            InputError: No data, a number out of its range, or data that the task cannot read.
        """
        from likewise.data.renaming import parse_renaming
        from likewise.evaluation.tasks import get_task

        if not self.data:
            raise InputError("no data given; say what to measure quality on with --data.")
        for name in ("timed_texts", "rounds", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        whole, rename = model.text_encoder, parse_renaming(self.columns)
        layers = self.layers or _depths(whole.num_layers)
        dims = self.dims or _widths(whole.dim)
        for width in dims:
            whole.truncated(dims=width)  # says so before anything is measured, where it cannot be
        towers = {layer: whole.truncated(layers=layer) for layer in layers}
        task = get_task(self.task or _fitting_task(self.data, rename))
        opened = task.open(self.data, rename=rename)
        quality: dict[tuple[int, int], float] = {}
        texts: list[str] = []
        for layer, tower in towers.items():
            cut = _Cut(tower)
            for width in dims:
                cut.width = width
                measured = task.measure(cut, opened, bootstrap=0, batch_size=self.batch_size, precision=self.precision)
                quality[layer, width] = measured.metrics[task.main_metric]
            texts = texts or cut.texts[: self.timed_texts]
        speed = self._texts_per_s({**towers, whole.num_layers: whole}, texts)
        rows = [
            {
                "layers": layer,
                "dims": width,
                task.main_metric: round(quality[layer, width], 4),
                "texts/s": round(speed[layer]),
                "speed-up": round(speed[layer] / speed[whole.num_layers], 2),
                "bytes/text": 4 * width,
                "model MB": round(_bytes(tower) / 1e6),
            }
            for layer, tower in towers.items()
            for width in dims
        ]
        return ProductResult({"task": task.name, "metric": task.main_metric, "timed_texts": len(texts)}, rows)

    def _texts_per_s(self, towers: dict[int, TextEncoder], texts: Sequence[str]) -> dict[int, float]:
        """Time every depth in each round, so that what else the machine does falls on all of them."""
        took: dict[int, list[float]] = {layer: [] for layer in towers}
        for _ in range(self.rounds):
            for layer, tower in towers.items():
                began = time.perf_counter()
                tower.encode(texts, batch_size=self.batch_size, precision=self.precision)
                took[layer].append(time.perf_counter() - began)
        return {layer: len(texts) / statistics.median(seconds) for layer, seconds in took.items()}


class _Cut:
    """An embedder of one depth at a width that can be changed: texts are encoded once for all widths."""

    def __init__(self, tower: TextEncoder) -> None:
        self._tower, self.width = tower, tower.dim
        self._done: dict[tuple[Any, ...], Tensor] = {}
        self.texts: list[str] = []

    @property
    def dim(self) -> int:
        return self.width

    @property
    def name(self) -> str:
        return self._tower.name

    @property
    def fingerprint(self) -> str:
        return self._tower.truncated(dims=self.width).fingerprint

    def encode(
        self,
        inputs: Sequence[str],
        *,
        role: Role | None = None,
        batch_size: int = 256,
        precision: str = "auto",
        progress: bool = False,
    ) -> Tensor:
        key = (role, precision, *inputs)
        if key not in self._done:
            self._done[key] = self._tower.encode(
                inputs, role=role, batch_size=batch_size, precision=precision, progress=progress
            )
            self.texts += list(inputs)
        kept = self._done[key][:, : self.width]
        return F.normalize(kept, dim=-1) if self._tower.normalises else kept

    def save(self, folder: Path) -> None:
        self._tower.truncated(dims=self.width).save(folder)


def _depths(count: int) -> tuple[int, ...]:
    """Return the depths that are looked at by default."""
    if count <= FEW_LAYERS:
        return tuple(range(1, count + 1))
    return tuple(sorted({round(count * quarter / 4) for quarter in range(1, 5)}))


def _widths(dim: int) -> tuple[int, ...]:
    powers = [SMALLEST * 2**step for step in range(dim.bit_length()) if SMALLEST * 2**step < dim]
    return (*powers, dim)


def _fitting_task(data: str, rename: dict[str, str]) -> str:
    """Tell rows with a score from pairs and collections."""
    from likewise.data import Column, Number, open_table

    if data.startswith("demo:") or Path(data).is_dir():
        return "retrieval"
    renamed = {ours: theirs for ours, theirs in rename.items() if ours == "score"}
    table = open_table(data, columns=(Column("score", Number, required=False),), rename=renamed)
    return "similarity" if "score" in table.column_names else "retrieval"


def _bytes(tower: TextEncoder) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in torch.nn.Module.state_dict(tower.tower).values())
