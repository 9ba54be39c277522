"""What several losses refuse in the same words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_own_key", "check_temperature"]


def check_own_key(name: str, query: Tensor, key: Tensor) -> None:
    """Refuse keys that do not belong to the rows one by one.

    Raises:
        ValueError: Shapes differ.
    """
    if query.shape != key.shape:
        raise ValueError(
            f"{name}: query is {list(query.shape)} but key is {list(key.shape)}; every row of query has its own key. "
            "Give as many, of the same length."
        )


def check_temperature(name: str, temperature: float, *, usual: str) -> None:
    """Refuse a temperature that is not > 0 and finite.

    Raises:
        ValueError: As said; ``usual`` says which values are.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"{name}: temperature is {temperature}; it must be > 0 and finite. Usual values are {usual}.")
