"""The same probe on every layer of a head: which of them tells labels apart, and which is led by a spurious sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.data.split_data import SplitData, held_out_rows, input_keys
from likewise.errors import InputError
from likewise.evaluation.bootstrap import interval, mean_replicates
from likewise.evaluation.factors import feature_weights
from likewise.evaluation.linear import fitted_classifier, standardised
from likewise.evaluation.result import Interval, Result
from likewise.evaluation.sweep import HELD_OUT_SHARE
from likewise.evaluation.tasks.probe import ProbeSettings, probe
from likewise.evaluation.vectors import class_numbers
from likewise.geometry import effective_rank

__all__ = ["Cell", "LayerReport", "layerwise_probe"]


@dataclass(frozen=True)
class Cell:
    """How well the rows of one class in one group are told.

    Args:
        label: The class.
        group: The group.
        rows: How many rows of the test it has.
        accuracy: Share of them that is right, in [0, 1].
        interval: 95 % bootstrap interval of it.
    """

    label: str
    group: str
    rows: int
    accuracy: float
    interval: Interval


@dataclass(frozen=True)
class LayerReport:
    """What one layer is good for.

    Args:
        dim: Length of its vectors.
        result: The probe on it, fitted to standardised vectors.
        effective_rank: How many directions the centred vectors of the test use.
        weights: How far each factor moves them (:func:`likewise.evaluation.feature_weights`), as a share of the factor
            that moves them most.
        worst: The class in a group that the probe does worst on; None without groups.
        balanced: The same of a probe to which every class in every group weighs the same; None without groups.
        balanced_accuracy: Accuracy of that probe on all rows; None without groups.
    """

    dim: int
    result: Result
    effective_rank: float
    weights: Mapping[str, float]
    worst: Cell | None = None
    balanced: Cell | None = None
    balanced_accuracy: float | None = None


def layerwise_probe(
    layers: Mapping[str, tuple[Tensor, Tensor]],
    data: SplitData,
    *,
    groups: tuple[Sequence[str], Sequence[str]] | None = None,
    least: int = 5,
    max_iterations: int = ProbeSettings.max_iterations,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, LayerReport]:
    """Probe every layer on the same rows with the same draws, so that their results can be compared in pairs.

    Vectors are standardised before they are fitted to: else a dimension of small weight looks as if it were not there,
    though a linear layer can read it. The strength is chosen for each layer by itself, on training rows held out.

    With groups (the background of a picture, the device that took it) the worst class in a group says whether the probe
    is led by what goes with a class in the training rows alone. The balanced probe is the cure that needs no new tower:
    the last layer fitted again with every class in every group weighing the same.

    Args:
        layers: By name, the vectors of the training and of the test rows, ``[., D]``, as the layer gives them.
        data: Rows with labels to fit on and to test on.
        groups: The group of each row of both.
        least: Fewest rows of the test that a class in a group needs to be looked at, >= 1.
        max_iterations: Most iterations of one fit.
        bootstrap: Replicates of the intervals; 0: none.
        seed: Seed of the replicates.

    Raises:
        InputError: All vectors of a layer are equal, one is zero or not finite, or no class in a group has ``least``
            rows.

    Source: Xue et al. 2024, arXiv 2403.11391 (probing before and behind the head); Kirichenko et al. 2023 (DFR), arXiv
        2204.02937, for the balanced probe (there L1, and groups cut to one size; here weights, so that all rows count).
    """
    held = held_out_rows(
        data.train.inputs, data.train.targets, HELD_OUT_SHARE, data.seed, 1, name=data.train.table.name,
        every_class=False,
    )  # fmt: skip
    classes = sorted(set(data.train.targets))
    truth = [np.array(class_numbers(part.targets, classes)) for part in (data.train, data.test)]
    cells: list[NDArray[np.int64]] = []
    if groups is not None:
        sides = list(zip((data.train.targets, data.test.targets), groups, strict=True))
        names = sorted({cell for targets, of in sides for cell in zip(targets, of, strict=True)})
        places = {cell: number for number, cell in enumerate(names)}
        cells = [np.array([places[cell] for cell in zip(targets, of, strict=True)]) for targets, of in sides]
        looked_at = [number for number in range(len(names)) if (cells[1] == number).sum() >= least]
        if not looked_at:
            raise InputError(
                f"{data.name}: no class has {least} rows of the test in one group; add rows, or leave the column "
                "'group' out."
            )

    def worst(right: NDArray[np.float64]) -> Cell:
        number = min(looked_at, key=lambda one: (right[cells[1] == one].mean(), one))
        chosen = right[cells[1] == number]
        ends = interval(mean_replicates(chosen[:, None], bootstrap, seed)[:, 0]) if bootstrap else (np.nan, np.nan)
        return Cell(*names[number], len(chosen), float(chosen.mean()), ends)

    found = {}
    for name, (train, test) in layers.items():
        result = probe(
            _Known(name, data, train, test), data, standardise=True, max_iterations=max_iterations,
            precision="fp32", bootstrap=bootstrap, seed=seed,
        )  # fmt: skip
        factors: dict[str, Sequence[Any]] = {"label": data.test.targets}
        more: dict[str, Any] = {}
        if groups is not None:
            factors["group"] = groups[1]
            x, x_test = standardised(_unit(train), _unit(test), name=data.name)
            model, _ = fitted_classifier(
                x, truth[0], held, num_classes=len(classes), max_iterations=max_iterations, name=data.name,
                cells=cells[0],
            )  # fmt: skip
            right = (model.predict(x_test) == truth[1]).astype(np.float64)
            more = {"worst": worst(np.asarray(result.per_item["accuracy"])), "balanced": worst(right)}
            more["balanced_accuracy"] = float(right.mean())
        weights = feature_weights(test.double().numpy(), factors)
        largest = max(weights.values()) or 1.0
        shares = {factor: weight / largest for factor, weight in weights.items()}
        found[name] = LayerReport(test.shape[1], result, effective_rank(test, center=True), shares, **more)
    return found


def _unit(vectors: Tensor) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = torch.nn.functional.normalize(vectors.double(), dim=1).numpy()
    return unit


class _Known:
    """An embedder whose vectors are known: those of one layer for the rows of a split."""

    def __init__(self, name: str, data: SplitData, train: Tensor, test: Tensor) -> None:
        self.name, self.dim, self.fingerprint = name, train.shape[1], ""
        inputs = [*data.train.inputs, *data.test.inputs]
        self._vectors = dict(zip(input_keys(inputs), torch.cat([train, test]), strict=True))

    def encode(self, inputs: Sequence[Any], **_: Any) -> Tensor:
        return torch.stack([self._vectors[key] for key in input_keys(inputs)])

    def save(self, folder: Path) -> None:
        raise NotImplementedError("vectors that are known are part of a model, not one")
