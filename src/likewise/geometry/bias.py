"""What vectors should not tell: the length of a text, how common its words are, and which words two texts share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from likewise.geometry.rows import CHUNK, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["correlation_within", "frequency_bias", "length_bias", "partial_correlation", "words_of"]


@torch.no_grad()
def length_bias(
    x: Float[Tensor, "N D"], lengths: Tensor | Sequence[float], *, num_pairs: int = 10_000, seed: int = 0
) -> float:
    """How strongly the cosine of two unrelated texts depends on whether they are of one length.

    Spearman's rank correlation of ``cosine(x_i, x_j)`` and ``-|length_i - length_j|`` over random pairs ``i != j``.

    Args:
        x: Vectors of texts that have nothing to do with each other; rows are put on the unit sphere first.
        lengths: Length of each text, in words or tokens.
        num_pairs: Pairs drawn with replacement, >= 2.
        seed: Seed of the draw.

    Returns:
        A number in ``[-1, 1]``; 0: length does not matter (or all lengths are equal), towards 1: texts of one length
        look alike. 0.17 to 0.24 was measured for small sentence encoders.

    Raises:
        ValueError: Fewer than two rows, not as many lengths as rows, num_pairs < 2, a row is not finite or is zero.

    Cost: O(N D + num_pairs), the vectors of 8,192 pairs at a time.
    Source: Wu et al. 2022, ESimCSE, arXiv 2109.04380 (the observation); the rank correlation is ours.

    Example:
        >>> angles = torch.linspace(0, 1, 20)  # the direction is the length
        >>> rows = torch.stack([angles.cos(), angles.sin()], dim=1)
        >>> length_bias(rows, torch.arange(20)) > 0.99
        True
    """
    rows = unit_rows(x, "length_bias", at_least=2)
    sizes = torch.as_tensor(lengths, dtype=torch.float64)
    if sizes.shape != (len(rows),):
        raise ValueError(
            f"length_bias: lengths are {list(sizes.shape)} for {len(rows)} rows; one a row is accepted. Give every row "
            "its length."
        )
    if num_pairs < 2:
        raise ValueError(f"length_bias: num_pairs is {num_pairs}; at least 2 are accepted. 10,000 are usual.")
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(len(rows), (num_pairs,), generator=generator)
    second = (first + torch.randint(1, len(rows), (num_pairs,), generator=generator)) % len(rows)
    cosines = torch.cat(
        [
            torch.linalg.vecdot(rows[i.to(rows.device)], rows[j.to(rows.device)])
            for i, j in zip(first.split(CHUNK), second.split(CHUNK), strict=True)
        ]
    )
    return _rank_correlation(cosines, -(sizes[first] - sizes[second]).abs())


@torch.no_grad()
def frequency_bias(
    x: Float[Tensor, "N D"], texts: Sequence[str], *, frequencies: Mapping[str, float] | None = None
) -> float:
    """How strongly vectors encode how common the words of a text are.

    Spearman's rank correlation of the mean log frequency of a text's words and the cosine of its vector with the mean
    vector of all texts.

    Args:
        x: Vectors of the texts; rows are put on the unit sphere first.
        texts: The text of each row; words are runs of letters and digits, in lower case.
        frequencies: How often each word occurs, > 0, in any unit; one that is missing counts as the rarest. None:
            counted in ``texts``.

    Returns:
        A number in ``[-1, 1]``; 0: no dependence; towards 1: texts of common words lie in the middle of the cone and
        texts of rare words outside, towards -1: the reverse.

    Raises:
        ValueError: Fewer than two rows, not as many texts as rows, a frequency <= 0, a row is not finite or is zero.

    Cost: O(N D) and the words.
    Source: Li et al. 2020, BERT-flow, arXiv 2011.05864, section 3: words lie the nearer to the origin the
        more frequent they are. There norms and distances of single words; here, since sentence vectors have unit norm,
        the cosine with the mean vector.

    Example:
        >>> rows = torch.tensor([[1.0, 0.1], [1.0, -0.1], [1.0, 0.9]])
        >>> round(frequency_bias(rows, ["the dog", "the cat", "axolotl"]), 4)
        0.866
    """
    rows = unit_rows(x, "frequency_bias", at_least=2)
    if len(texts) != len(rows):
        raise ValueError(
            f"frequency_bias: {len(texts)} texts for {len(rows)} rows; one a row is accepted. Give every row its text."
        )
    words = [words_of(text) for text in texts]
    known = Counter(word for row in words for word in row) if frequencies is None else frequencies
    if not known or not min(known.values()) > 0:
        raise ValueError("frequency_bias: a frequency is 0 or less, or none is given; give numbers above 0.")
    rarest = min(known.values())
    common = [sum(math.log(known.get(word, rarest)) for word in row) / len(row) for row in words]
    middle = torch.nn.functional.normalize(rows.mean(dim=0, dtype=torch.float64), dim=0).to(rows.dtype)
    return _rank_correlation(rows @ middle, torch.tensor(common, dtype=torch.float64))


def partial_correlation(
    first: Tensor | Sequence[float], second: Tensor | Sequence[float], given: Tensor | Sequence[float]
) -> float:
    """How strongly two values go together beyond what both have in common with a third: of ranks.

    With Spearman's correlations ``r``: ``(r_12 - r_13 r_23) / sqrt((1 - r_13^2) (1 - r_23^2))``. For the bias of shared
    words: the cosine of pairs, their likeness on the surface, and the score that people gave them.

    Args:
        first: Values ``[P]``.
        second: Values ``[P]``.
        given: Values whose share is taken out ``[P]``.

    Returns:
        A number in ``[-1, 1]``; 0 where a side is the same throughout, or follows from ``given`` alone.

    Raises:
        ValueError: The numbers of values differ, or there are fewer than three.

    Example:
        >>> score = [1.0, 2.0, 3.0, 4.0]
        >>> round(partial_correlation([1.0, 2.0, 4.0, 3.0], [1.0, 2.0, 4.0, 3.0], score), 4)
        1.0
    """
    one, other, third = _columns_of("partial_correlation", first, second, given)
    with_other = _rank_correlation(one, other)
    one_third, other_third = _rank_correlation(one, third), _rank_correlation(other, third)
    left = (1 - one_third**2) * (1 - other_third**2)
    if left < 1e-12:
        return 0.0
    return max(-1.0, min(1.0, (with_other - one_third * other_third) / math.sqrt(left)))


def correlation_within(
    first: Tensor | Sequence[float], second: Tensor | Sequence[float], given: Tensor | Sequence[float], *, bins: int = 5
) -> float:
    """How strongly two values go together among pairs that are about equal in a third: of ranks.

    The range of ``given`` is cut into bins of equal width; the result is the mean of Spearman's correlations within
    them, each counting by its pairs. Bins of fewer than three pairs are left out, and so are those in which a side is
    the same throughout.

    Args:
        first: Values ``[P]``.
        second: Values ``[P]``.
        given: Values that are about equal in a bin ``[P]``.
        bins: How many, >= 1.

    Returns:
        A number in ``[-1, 1]``; 0 where no bin can be told.

    Raises:
        ValueError: The numbers of values differ, there are fewer than three, or bins < 1.

    Example:
        >>> correlation_within([0.1, 0.2, 0.3, 0.9, 0.8, 0.7], [1, 2, 3, 1, 2, 3], [0, 0, 0, 5, 5, 5])
        0.0
        >>> correlation_within([0.1, 0.2, 0.3, 0.9, 0.8, 0.7], [1, 2, 3, 3, 2, 1], [0, 0, 0, 5, 5, 5])
        1.0
    """
    one, other, third = _columns_of("correlation_within", first, second, given)
    if bins < 1:
        raise ValueError(f"correlation_within: bins is {bins}; at least 1 is accepted. 5 are usual.")
    width = float(third.max() - third.min()) / bins or 1.0
    place = ((third - third.min()) / width).long().clamp(max=bins - 1)
    total = pairs = 0.0
    for number in place.unique().tolist():
        inside = place == number
        a, b = one[inside], other[inside]
        if len(a) >= 3 and float(a.max() - a.min()) and float(b.max() - b.min()):
            total += len(a) * _rank_correlation(a, b)
            pairs += len(a)
    return total / pairs if pairs else 0.0


def _columns_of(name: str, *columns: Tensor | Sequence[float]) -> list[Tensor]:
    values = [torch.as_tensor(one, dtype=torch.float64).cpu() for one in columns]
    if len({one.shape for one in values}) > 1 or values[0].ndim != 1 or len(values[0]) < 3:
        raise ValueError(
            f"{name}: the values are {[list(one.shape) for one in values]}; three of one length are accepted, of at "
            "least 3 pairs. Give every pair its three values."
        )
    return values


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case; a text without letters or digits is one word.

    Example:
        >>> words_of("The dog's bone."), words_of("?!")
        (['the', 'dog', 's', 'bone'], ['?!'])
    """
    return re.findall(r"\w+", text.lower()) or [text]


def _rank_correlation(first: Tensor, second: Tensor) -> float:
    """Return Spearman's correlation; 0 where one side is the same throughout."""
    from scipy import stats  # half a second to import

    one, other = first.double().cpu().numpy(), second.double().cpu().numpy()
    if not np.ptp(one) or not np.ptp(other):
        return 0.0
    return float(stats.spearmanr(one, other).statistic)
