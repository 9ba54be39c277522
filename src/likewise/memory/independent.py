"""Independent components: a set of vectors turned and scaled so that it is alike in every direction."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from likewise.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["IndependentComponents"]

RANK_TOLERANCE = 1e-4
"""Smallest singular value of the standardised vectors, relative to the largest, of a direction that counts: below it
stands what rounding in float32 leaves of a direction in which nothing varies."""


@dataclass(frozen=True)
class IndependentComponents:
    """The affine map ``(x - shift) @ matrix`` that makes the vectors it was fitted to isotropic.

    Columns are standardised, whitened, turned to be as independent as possible (FastICA), and multiplied by a number.
    What comes out has mean 0 and the covariance ``scale^2 I``. A direction in which the vectors do not vary at all
    becomes a column of zeros: the last layer norm of a transformer leaves one such direction always, and dividing by
    its spread would make a column of nothing but rounding.

    Args:
        shift: ``[D]``.
        matrix: ``[D, D]``; the last columns may be zeros.
        iterations: How many it took to find it; 0 where that is not known.

    Source: Hyvärinen and Oja 2000, "Independent Component Analysis: Algorithms and Applications"; Liu 2024
        (DefSent+), arXiv 2405.16153, for tables of entries.
    """

    shift: Tensor
    matrix: Tensor
    iterations: int = 0

    @classmethod
    def fit(
        cls,
        vectors: Float[Tensor, "E D"],
        *,
        scale: float = 100.0,
        max_iterations: int = 1000,
        tolerance: float = 1e-4,
        seed: int = 42,
        warn: Callable[[str], None] = lambda _: None,
    ) -> IndependentComponents:
        """Fit the map with scikit-learn's FastICA (contrast logcosh, whitening to unit variance).

        Args:
            vectors: At least as many as they are long.
            scale: Standard deviation of every column afterwards, > 0 (paper: 100).
            max_iterations: When to stop, >= 1 (paper: 1000).
            tolerance: Smallest change of a direction that goes on, > 0 (paper: 1e-4).
            seed: Seed of the first directions (paper: 42).
            warn: Called with a line where it stopped before the directions settled.

        Raises:
            InputError: There are fewer vectors than directions.

        Cost: O(E D^2) an iteration.
        """
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        number, width = vectors.shape
        if number < width:
            raise InputError(
                f"independent components of {width} directions need at least as many vectors, and there are {number}; "
                "give more entries, or leave the components out."
            )
        x = vectors.double().numpy()
        mean, deviation = x.mean(0), x.std(0)
        deviation[deviation == 0] = 1.0
        standardised = (x - mean) / deviation
        spread = np.linalg.svd(standardised, compute_uv=False)
        rank = int((spread > RANK_TOLERANCE * spread[0]).sum())
        ica = FastICA(
            rank, whiten="unit-variance", fun="logcosh", max_iter=max_iterations, tol=tolerance, random_state=seed
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            ica.fit(standardised)
        if any(issubclass(one.category, ConvergenceWarning) for one in caught):
            warn(
                f"the independent components have not settled after {ica.n_iter_} iterations; the table is isotropic "
                "all the same, but its directions are less independent than they could be (--ica-max-iterations)"
            )
        matrix = np.zeros((width, width))
        matrix[:, :rank] = scale * ica.components_.T / deviation[:, None]
        shift = mean + deviation * ica.mean_
        return cls(torch.from_numpy(shift), torch.from_numpy(matrix), int(ica.n_iter_))

    def __call__(self, vectors: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Map vectors, those it was fitted to or new ones; computed in float64, returned in their own dtype."""
        return ((vectors.double() - self.shift) @ self.matrix).to(vectors.dtype)
