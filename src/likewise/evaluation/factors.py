"""How much of what vectors say is due to each of several known factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.evaluation.bootstrap import Floats

__all__ = ["feature_weights"]


def feature_weights(vectors: Float[Floats, "N D"], factors: Mapping[str, Sequence[Any] | Floats]) -> dict[str, float]:
    """Return how far each factor moves the vectors, all other factors held.

    ``r = a + sum_f B_f u_f + rest`` is fitted by least squares, a factor of names as one indicator for each name. The
    weight of a factor is the root mean square, over the rows, of the length of its centred part ``B_f (u_f - mean)``;
    for a number of variance 1 that is ``|d E[r] / d u_f|``. Divide by the largest, or by the weight of one factor, to
    compare two layers: what one layer multiplies all vectors with does not matter then.

    Args:
        vectors: ``[N, D]``, as they are (a normalisation would mix the factors).
        factors: Values of each factor for every row: numbers ``[N]``, which are used as they are, or names.

    Raises:
        ValueError: A factor has another number of rows.

    Cost: O(N (D + K) K) with K numbers and names in all.
    Source: Xue et al. 2024, arXiv 2403.11391, section 3 (the weight of a feature in a linear model).

    Example:
        >>> u = np.array([-1.0, 1.0, -1.0, 1.0])
        >>> v = np.array([-1.0, -1.0, 1.0, 1.0])
        >>> feature_weights(np.stack([3 * u, v], axis=1), {"u": u, "v": v})
        {'u': 3.0, 'v': 1.0}
    """
    parts = {}
    for name, values in factors.items():
        given = np.asarray(values)
        if given.shape != (len(vectors),):
            raise ValueError(
                f"feature_weights: factor '{name}' has the shape {list(given.shape)}; one value for each of the "
                f"{len(vectors)} vectors is needed."
            )
        if given.dtype.kind in "fiu":
            part = given.astype(np.float64)[:, None]
        else:
            part = (given[:, None] == np.unique(given)).astype(np.float64)
        parts[name] = part - part.mean(axis=0)
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    solution = np.linalg.lstsq(np.concatenate(list(parts.values()), axis=1), centred, rcond=None)[0]
    weights, first = {}, 0
    for name, part in parts.items():
        moved = part @ solution[first : first + part.shape[1]]
        weights[name] = round(float(np.sqrt(np.square(moved).sum(axis=1).mean())), 12)
        first += part.shape[1]
    return weights
