"""From the vectors of two texts to the scores of the pair, split so that most of it is done once a text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

__all__ = ["PairHead", "Prepared"]

Kind = Literal["concat", "dot"]


@dataclass(frozen=True)
class Prepared:
    """Candidates with what of the first layer depends on them alone; made by :meth:`PairHead.prepared`.

    Args:
        vectors: The candidates ``[M, D]``.
        as_second: Their share of the first layer as second side, ``[M, h]``; None for the head "dot".
        as_first: Likewise as first side; None where only one order is scored.
    """

    vectors: Tensor
    as_second: Tensor | None = None
    as_first: Tensor | None = None

    def select(self, index: Tensor | slice) -> Prepared:
        """Return some of the candidates."""
        parts = (self.vectors, self.as_second, self.as_first)
        return Prepared(*(cast("Tensor", None if part is None else part[index]) for part in parts))


class PairHead(nn.Module):
    """Score pairs of vectors: ``g(u, v) = [u, v, u * v, |u - v|]``, then layers with ReLU between them.

    With ``kind="dot"`` g is the one number ``u . v``; without a hidden layer it is the score itself, so that the best
    candidates of a query are those of the largest product.

    The first layer splits: ``W g = A u + B v + C (u * v) + D |u - v|``. For one query among M candidates ``A u`` is
    computed once, ``B v`` once a candidate for all queries (:meth:`prepared`), and the other two for each pair
    (:meth:`against`).

    Args:
        dim: Length of a vector, ``D``.
        num_scores: Scores of a pair, ``C``.
        kind: "concat" or "dot".
        dims: Widths of the hidden layers.

    Raises:
        ValueError: A width is < 1, or "dot" without a hidden layer for more than one score.

    Source: Barkan et al. 2020 (DSE), arXiv 1908.05161, eq. 2 and 3; official ``CombineSiameseHead`` (there ``dims``
        holds C too).

    Example:
        >>> PairHead.features(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]))
        tensor([[ 1.,  2.,  3., -1.,  3., -2.,  2.,  3.]])
        >>> PairHead(2, kind="dot", dims=())(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]))
        tensor([[1.]])
    """

    def __init__(self, dim: int, num_scores: int = 1, *, kind: Kind = "concat", dims: Sequence[int] = (512,)) -> None:
        super().__init__()
        if kind not in ("concat", "dot"):
            raise ValueError(f"PairHead: kind is '{kind}'; accepted are concat, dot.")
        if min((dim, num_scores, *dims)) < 1:
            raise ValueError(f"PairHead: dim {dim}, dims {tuple(dims)}, num_scores {num_scores}; each is 1 or more.")
        if kind == "dot" and not dims and num_scores != 1:
            raise ValueError(
                f"PairHead: a product is one score, but {num_scores} are asked for; give dims, or take kind='concat'."
            )
        self.dim, self.num_scores, self.kind, self.dims = dim, num_scores, kind, tuple(dims)
        widths = [4 * dim if kind == "concat" else 1, *dims, num_scores]
        if kind == "dot" and not dims:
            widths = []
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(widths))

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> PairHead:
        """Make a head from what :attr:`settings` gave."""
        return cls(**settings)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments it was made with."""
        return {"dim": self.dim, "num_scores": self.num_scores, "kind": self.kind, "dims": list(self.dims)}

    @property
    def is_product(self) -> bool:
        """Whether the score is the product of the vectors and nothing else."""
        return not self.layers

    @staticmethod
    def features(first: Tensor, second: Tensor) -> Tensor:
        """Return ``[u, v, u * v, |u - v|]``, ``[B, 4 D]``, of ``first [B, D]`` and ``second [B, D]``."""
        return torch.cat([first, second, first * second, (first - second).abs()], dim=-1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Score ``B`` pairs.

        Args:
            first: Vectors of the first sides ``[B, D]``; not normalised.
            second: Vectors of the second sides ``[B, D]``.

        Returns:
            ``[B, C]``.
        """
        if self.kind == "dot":
            product = (first * second).sum(dim=-1, keepdim=True)
            return product if self.is_product else self._behind(self._first(product))
        return self._behind(self._first(self.features(first, second)))

    def prepared(self, candidates: Tensor, *, both_orders: bool = False) -> Prepared:
        """Compute what depends on the candidates alone.

        Args:
            candidates: ``[M, D]``.
            both_orders: Whether pairs will be scored in both orders.
        """
        if self.kind == "dot":
            return Prepared(candidates)
        of_first, of_second, _, _ = self._blocks()
        return Prepared(candidates, candidates @ of_second.T, candidates @ of_first.T if both_orders else None)

    def against(self, query: Tensor, candidates: Prepared) -> Tensor:
        """Score one query, as first side, with prepared candidates; of both orders the mean, where prepared so.

        Args:
            query: ``[D]``.
            candidates: ``M`` of them.

        Returns:
            ``[M, C]``: what :meth:`forward` gives, up to rounding.

        Cost: ``2 h D`` products a candidate, with h the width of the first layer, in place of ``4 h D``.
        """
        vectors = candidates.vectors
        if candidates.as_second is None:
            whole: Tensor = self(query.expand_as(vectors), vectors)
            return whole
        of_first, of_second, of_product, of_difference = self._blocks()
        of_both = vectors @ (of_product * query).T + (vectors - query).abs() @ of_difference.T
        shared = of_both + self._first.bias  # [M, h]
        scores = self._behind(shared + candidates.as_second + of_first @ query)
        if candidates.as_first is None:
            return scores
        return (scores + self._behind(shared + candidates.as_first + of_second @ query)) / 2

    @property
    def _first(self) -> nn.Linear:
        return cast(nn.Linear, self.layers[0])

    def _blocks(self) -> tuple[Tensor, ...]:
        """Cut the first layer's weights into what meets u, v, u * v and |u - v|, each ``[h, D]``."""
        first, second, product, difference = self._first.weight.split(self.dim, dim=1)
        return first, second, product, difference

    def _behind(self, hidden: Tensor) -> Tensor:
        """Go on behind the first layer."""
        for layer in list(self.layers)[1:]:
            hidden = layer(torch.relu(hidden))
        return hidden

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())
