"""An index over a corpus: embed once, then find by meaning, by words, or by both."""

from likewise.search.hit import Hit
from likewise.search.index import APPROXIMATE_FROM, Index, Mode

__all__ = ["APPROXIMATE_FROM", "Hit", "Index", "Mode"]
