"""How strongly a linear model on frozen vectors is regularised: found on rows held out of the training rows."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["COARSE", "HELD_OUT_SHARE", "best_exponent"]

COARSE = (6.0, 4.0, 2.0, 0.0, -2.0, -4.0, -6.0)
"""Exponents of ten that are tried first, the strongest regularisation first."""

FINE = (1.0, 0.5, 0.25, 0.125)
"""Steps on both sides of the best so far, one after the other: down to 8 strengths a decade."""

HELD_OUT_SHARE = 0.2
"""Share of the training rows that strengths are compared on."""


def best_exponent(score: Callable[[float], float | tuple[float, ...]]) -> float:
    """Return the exponent of ten of the best strength; of equal ones the strongest regularisation.

    Args:
        score: Fits with ``10 ** exponent`` times the squared weights and returns how good that is, higher is better;
            of a tuple the first value counts, the next one where it is equal.

    Source: Radford et al. 2021, CLIP, arXiv 2103.00020, appendix A.3: seven strengths from 1e-6 to 1e6, then halving
    steps around the peak, down to 8 strengths a decade.

    Example:
        >>> best_exponent(lambda exponent: -abs(exponent - 0.6))
        0.625
    """
    scores = {exponent: score(exponent) for exponent in COARSE}
    for step in FINE:
        best = max(scores, key=lambda exponent: (scores[exponent], exponent))
        for near in (best + step, best - step):
            if near not in scores and COARSE[-1] <= near <= COARSE[0]:
                scores[near] = score(near)
    return max(scores, key=lambda exponent: (scores[exponent], exponent))
