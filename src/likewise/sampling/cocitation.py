"""Pairs from a graph of citations: what is cited together belongs together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

__all__ = ["cocited_pairs", "pairs_never_cocited"]

Pair = tuple[str, str]


def cocited_pairs(cites: Mapping[str, Sequence[str]], domains: Mapping[str, str] | None = None) -> Iterator[Pair]:
    """Yield every pair of things that some thing of their own domain cites, each once, the earlier one first.

    Args:
        cites: What each thing cites, by its id. Only things that are keys here count: what is cited from outside, or
            of another domain than what cites it, is passed over, and so is what cites itself.
        domains: Domain of each thing; None: all are of one.

    Cost: memory for the pairs; ``r (r - 1) / 2`` pairs of a thing that cites ``r``.
    Source: Hallee et al., arXiv 2401.15713, co-citation pairs.

    Example:
        >>> list(cocited_pairs({"a": [], "b": [], "c": ["a", "b"], "d": ["b", "e", "d", "x"], "e": []}))
        [('a', 'b'), ('b', 'e')]
    """
    place = {name: number for number, name in enumerate(cites)}
    seen: set[tuple[int, int]] = set()
    for citing, cited in cites.items():
        inside = sorted({
            place[name]
            for name in cited
            if name in place and name != citing and (domains is None or domains[name] == domains[citing])
        })  # fmt: skip
        for pair in itertools.combinations(inside, 2):
            seen.add(pair)
    names = list(cites)
    for one, other in sorted(seen):
        yield names[one], names[other]


def pairs_never_cocited(names: Sequence[str], pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    """Draw pairs of things that are never cited together, evenly and each once.

    Args:
        names: The things, of one domain.
        pairs: Those that are.
        count: How many; fewer are returned where there are fewer.
        seed: Of the draw.
    """
    place = {name: number for number, name in enumerate(names)}
    taken = {(min(place[a], place[b]), max(place[a], place[b])) for a, b in pairs if a in place and b in place}
    size = len(names)
    free = size * (size - 1) // 2 - len(taken)
    random = np.random.default_rng(seed)
    if free <= 4 * count:  # few are left: list them
        every = [pair for pair in itertools.combinations(range(size), 2) if pair not in taken]
        chosen = [every[i] for i in random.permutation(len(every))[:count]]
    else:
        drawn: dict[tuple[int, int], None] = {}
        while len(drawn) < count:
            one, other = sorted(random.integers(0, size, 2).tolist())
            if one != other and (one, other) not in taken:
                drawn[one, other] = None
        chosen = list(drawn)
    return [(names[one], names[other]) for one, other in chosen]
