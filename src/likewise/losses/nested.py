"""Nested dimensions and layers: any objective, at several depths of a tower and several widths of an embedding at once.

One pass of the tower gives the features of several of its layers. The objective is computed on each of them, whole and
cut to its first numbers, and the features of a lower layer are drawn to those of the last by a divergence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise import distributed
from likewise.errors import InputError, unknown
from likewise.losses.reduction import RowLosses

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["LayerWeighting", "Nested2D", "NestedDraw", "NestedVariant", "compression", "kl_rows", "nested_widths"]

NestedVariant = Literal["paper", "improved", "sbert", "ese"]
LayerWeighting = Literal["uniform", "linear", "log"]

_SMALLEST_WIDTH = 8
_COMPRESSED_WIDTH = 128
_TEMPERATURE = {"paper": 1.0, "improved": 1.0, "sbert": 0.3, "ese": 1.0}
_BELOW_LAST = {"paper": 1, "improved": 1, "sbert": 0, "ese": 0}
"""The lowest depth of each variant; 0: the vectors that go into the first layer."""


def nested_widths(dim: int, variant: NestedVariant = "paper") -> tuple[int, ...]:
    """Return the widths that a variant draws from where none are given.

    The ladder 8, 16, 32, ... strictly below the dimension (``get_geometric_hidden_sizes`` of AnglE); with ``sbert`` the
    dimension too; with ``ese`` 128 alone, or the widest of the ladder where that is less.

    Args:
        dim: Length of an embedding, ``D``.
        variant: The variant.

    Raises:
        InputError: The dimension is no more than 8: there is nothing below it.

    Example:
        >>> nested_widths(384), nested_widths(384, "ese"), nested_widths(20, "sbert")
        ((8, 16, 32, 64, 128, 256), (128,), (8, 16, 20))
    """
    ladder, width = [], _SMALLEST_WIDTH
    while width < dim:
        ladder.append(width)
        width *= 2
    if not ladder:
        raise InputError(f"an embedding of {dim} numbers has no width of {_SMALLEST_WIDTH} below it; give dims.")
    if variant == "ese":
        return (max(width for width in ladder if width <= _COMPRESSED_WIDTH),)
    return (*ladder, dim) if variant == "sbert" else tuple(ladder)


def kl_rows(teacher: Float[Tensor, "B D"], student: Float[Tensor, "B D"], temperature: float) -> Float[Tensor, "B"]:
    r"""Divergence of a student's numbers from a teacher's, both read as logits over the ``D`` coordinates.

    ``rows[i] = sum_k P_ik log(P_ik / R_ik)``, ``P_i = softmax(teacher_i / T)``, ``R_i = softmax(student_i / T)``.

    Args:
        teacher: Features, not normalised.
        student: Features of the same rows.
        temperature: ``T`` > 0.

    Returns:
        A value >= 0 for each row, in nats.

    Cost: O(B D).

    Example:
        >>> kl_rows(torch.tensor([[1.0, 0.0, -1.0, 2.0]]), torch.tensor([[0.0, 1.0, 0.0, 1.0]]), temperature=1.0)
        tensor([0.3278])
    """
    log_teacher = F.log_softmax(teacher / temperature, dim=-1)
    log_student = F.log_softmax(student / temperature, dim=-1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(-1)


@torch.no_grad()
def compression(features: Float[Tensor, "B D"], width: int) -> Float[Tensor, "B d"]:
    """Compress features to their ``d`` principal combinations, as Espresso has it; a constant.

    ``c = e U_d diag(S_d)`` with the first ``d`` left singular vectors and values of ``softmax(e^T e / sqrt(D))``, the
    softmax taken over each row of the ``D x D`` products over the rows of all processes.

    Args:
        features: Features of this process's rows, not normalised.
        width: ``d``, in [1, D].

    Returns:
        ``[B, d]``. A singular vector is the same with either sign; here its largest entry is positive.

    Cost: O(N D^2 + D^3).
    Source: Li et al. 2024, arXiv 2402.14776 v2; ``pca_compress`` of AnglE, which decomposes at random (so that the
        signs are left to a draw, and vectors of near values too).
    """
    products = distributed.sum_over_processes(features.T @ features)
    dependencies = torch.softmax(products / features.shape[1] ** 0.5, dim=-1)
    left, values, _ = torch.linalg.svd(dependencies)
    left = left[:, :width]
    largest = left.abs().argmax(0, keepdim=True)
    compressed: Tensor = features @ (left * left.gather(0, largest).sign() * values[:width])
    return compressed


@dataclass(frozen=True)
class NestedDraw:
    """Depths and widths of one step.

    Args:
        below: Depths below the last that take part: one at random, all (``ese``), or none.
        width: To how many numbers the last layer is cut.
        width_below: The same of the depths below.
        layers: Depths for which features are needed, in the order in which :class:`Nested2D` takes them: ``below``,
            then the last.
    """

    below: tuple[int, ...]
    width: int
    width_below: int
    layers: tuple[int, ...]


class Nested2D(nn.Module):
    r"""Any objective, nested in depths of a tower and widths of an embedding.

    With ``l`` the objective, ``h_n`` the features after ``n`` of ``N`` layers and ``h^d`` their first ``d`` numbers::

        paper, improved  l(h_N) + l(h_N^d) + a_n (l(h_n) + l(h_n^d)) + c_n T^p mean_rows KL(h_N || h_n)
        sbert            l(h_N^d) + a_n l(h_n^d') + T mean_rows KL(h_N || h_n)
        ese              l(h_N) + l(h_N^d) + A(h_N) + 1 / (N - 1) sum_{i=0}^{N-2} a_i (l(h_i^d) + A(h_i))
                         A(e) = mean (e^d - c)^2 + T mean_rows KL(c || e^d),  c the compression of e

        ========  ====================  ==========  ======  ================================
        variant   a_n                   c_n         T, p    n, d
        ========  ====================  ==========  ======  ================================
        paper     1                     1           1, 2    one each at random; n >= 1
        improved  1 / n                 log(2 + n)  1, 1    one each at random; n >= 1
        sbert     1 / (1 + n)           1           0.3, 1  at random, d and d' apart; n >= 0
        ese       1 / (1 + log(1 + n))  -           1, 1    d given; all n but N - 1
        ========  ====================  ==========  ======  ================================

    Depth 0 is the vectors that go into the first layer. Which depth and width a step has is a function of a seed and
    the number of the step alone: the same on all processes, and the same when a run goes on.

    Args:
        base_loss: The objective: called with sets of vectors by name, and with the options that :meth:`forward` is
            given, it returns :class:`RowLosses`. It may have weights, but no buffers: it is called on several spaces in
            each step, so it cannot keep vectors from call to call.
        dims: Widths to draw from, each in [1, D]; of ``ese`` one.
        layers: Depths that are trained, ascending; the last is ``N``.
        variant: See above.
        layer_weight: Multiplier of all losses below the last layer, >= 0.
        kl_weight: Multiplier of all divergences, >= 0. Where both are 0 there is no depth below the last: widths alone.
        kl_temperature: ``T`` > 0; None: the variant's.
        layer_weighting: ``a_n`` of another variant: uniform 1, linear 1 / (1 + n), log 1 / (1 + log(1 + n)); None: the
            variant's own.
        detach_teacher: Whether the divergence leaves ``h_N`` alone; no released code of the authors does so,
            sentence-transformers 6.2 does.
        normalise: Whether vectors get unit norm before the objective sees them, behind the cut; off for an objective
            that does so itself, or that needs lengths.

    State: ``seed`` and ``step`` (buffers), and the weights of the objective.

    Raises:
        InputError: A width, depth, weight or temperature is out of its range.
        ValueError: The objective keeps something from call to call.

    Cost: the objective four times (``sbert`` twice, ``ese`` N + 1 times), each at its own width; O(B D) for
        divergences.
    Source: Li et al. 2024, arXiv 2402.14776; AnglE at commits 74e5ba2 (paper), cf7eeb4 (improved), 5155458 (ese);
        ``Matryoshka2dLoss`` of sentence-transformers (sbert).

    Example:
        >>> from likewise.losses import InfoNCE
        >>> nested = Nested2D(InfoNCE(1.0), dims=(1,), layers=(1, 2))
        >>> draw = nested.draw()
        >>> draw.layers, draw.width
        ((1, 2), 1)
        >>> features = torch.eye(2)[:, None].repeat(1, 2, 1)  # [B, K, D]: both layers say the same
        >>> {name: round(x.item(), 4) for name, x in nested({"query": features, "key": features}, draw).items()}
        {'whole': 0.3133, 'narrow': 0.5032, 'lower': 0.3133, 'lower_narrow': 0.5032, 'kl': 0.0}
    """

    seed: Tensor
    step: Tensor

    def __init__(
        self,
        base_loss: Callable[..., RowLosses],
        dims: Sequence[int],
        layers: Sequence[int],
        variant: NestedVariant = "paper",
        *,
        layer_weight: float = 1.0,
        kl_weight: float = 1.0,
        kl_temperature: float | None = None,
        layer_weighting: LayerWeighting | None = None,
        detach_teacher: bool = False,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        if variant not in get_args(NestedVariant):
            raise unknown("variant", variant, get_args(NestedVariant))
        if layer_weighting is not None and layer_weighting not in get_args(LayerWeighting):
            raise unknown("layer_weighting", layer_weighting, get_args(LayerWeighting))
        _refuse_memory(base_loss)
        _check_widths(dims, variant)
        self.variant, self.dims, self.layers = variant, tuple(dims), tuple(layers)
        self.layer_weight, self.kl_weight = layer_weight, kl_weight
        self.temperature = _TEMPERATURE[variant] if kl_temperature is None else kl_temperature
        self.layer_weighting = layer_weighting
        self.detach_teacher, self.normalise = detach_teacher, normalise
        for name, value in (("layer_weight", layer_weight), ("kl_weight", kl_weight)):
            if not 0 <= value < math.inf:
                raise InputError(f"{name} is {value}; it is 0 (leave that part out) or more.")
        if not 0 < self.temperature < math.inf:
            raise InputError(f"kl_temperature is {self.temperature}; it divides features and must be greater than 0.")
        self._below = self._depths_below()
        self.base_loss = base_loss
        # From the generator that also draws fresh weights, so a function of the run's seed.
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def draw(self) -> NestedDraw:
        """Return the depths and widths of this step."""
        random = np.random.default_rng([int(self.seed), int(self.step)])
        below = self._below
        if below and self.variant != "ese":
            below = (below[int(random.integers(len(below)))],)
        width = self.dims[int(random.integers(len(self.dims)))]
        other = self.dims[int(random.integers(len(self.dims)))] if self.variant == "sbert" else width
        return NestedDraw(below, width, other, (*below, self.layers[-1]))

    def after_step(self) -> None:
        """Go on to the draw of the next step."""
        self.step += 1

    def forward(
        self, features: Mapping[str, Float[Tensor, "B K D"]], draw: NestedDraw, **options: Any
    ) -> dict[str, Tensor]:
        """Return the loss term by term, averaged over the rows of all processes.

        Args:
            features: Features at the depths ``draw.layers`` for each set of vectors that the objective takes, by its
                name there (``query``, ``key``, ``negatives``); the number of rows may differ from set to set.
            draw: The depths and widths, from :meth:`draw`.
            **options: What else the objective takes.

        Returns:
            ``whole`` and ``narrow`` (last layer), ``lower`` and ``lower_narrow`` (layers below), ``kl``, or
            ``compression`` (ese); those that the variant has.

        Raises:
            ValueError: A set of vectors has another number of depths, or fewer numbers than the widths ask for.
        """
        self._check(features, draw)
        every = torch.cat(list(features.values()))  # [T, K, D]: the divergence goes over all texts
        dim, last = every.shape[-1], len(draw.below)
        if self.variant == "ese":
            return self._espresso(features, every, draw, options)
        whole = self.variant != "sbert"
        terms = {"whole": self._loss(features, last, dim, options)} if whole else {}
        terms["narrow"] = self._loss(features, last, draw.width, options)
        for place, layer in enumerate(draw.below):
            weight = self.layer_weight * self._layer_weight(layer)
            if weight:
                if whole:
                    terms["lower"] = weight * self._loss(features, place, dim, options)
                terms["lower_narrow"] = weight * self._loss(features, place, draw.width_below, options)
            if self.kl_weight:
                teacher = every[:, last].detach() if self.detach_teacher else every[:, last]
                weight = self.kl_weight * self._kl_weight(layer)
                terms["kl"] = weight * _mean(kl_rows(teacher, every[:, place], self.temperature))
        return terms

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"variant={self.variant}, dims={self.dims}, layers={self.layers}, temperature={self.temperature:g}"

    def _espresso(
        self, features: Mapping[str, Tensor], every: Tensor, draw: NestedDraw, options: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        width, last = draw.width, len(draw.below)
        terms = {
            "whole": self._loss(features, last, every.shape[-1], options),
            "narrow": self._loss(features, last, width, options),
        }
        shares = [1.0, *(self.layer_weight * self._layer_weight(layer) / len(self._below) for layer in draw.below)]
        places = [last, *range(last)]
        lower = [share * self._loss(features, place, width, options)
                 for share, place in zip(shares[1:], places[1:], strict=True) if share]  # fmt: skip
        if lower:
            terms["lower_narrow"] = torch.stack(lower).sum()
        if self.kl_weight:
            aligned = [share * self._aligned(every[:, place], width)
                       for share, place in zip(shares, places, strict=True) if share]  # fmt: skip
            terms["compression"] = self.kl_weight * torch.stack(aligned).sum()
        return terms

    def _aligned(self, features: Tensor, width: int) -> Tensor:
        """Distance of the first numbers from the compression of all of them."""
        target, kept = compression(features, width), features[:, :width]
        squared = (kept - target).square().mean(1)
        return _mean(squared + self.temperature * kl_rows(target, kept, self.temperature))

    def _loss(self, features: Mapping[str, Tensor], place: int, width: int, options: Mapping[str, Any]) -> Tensor:
        """The objective at one depth and one width."""
        cut = {name: several[:, place, :width].contiguous() for name, several in features.items()}
        if self.normalise:
            cut = {name: F.normalize(vectors, dim=-1) for name, vectors in cut.items()}
        return self.base_loss(**cut, **options).mean()

    def _layer_weight(self, layer: int) -> float:
        """``a_n``."""
        if self.layer_weighting is None:
            own = {"paper": 1.0, "improved": 1 / max(layer, 1), "sbert": 1 / (1 + layer)}
            return own[self.variant] if self.variant in own else 1 / (1 + math.log(1 + layer))
        return {"uniform": 1.0, "linear": 1 / (1 + layer), "log": 1 / (1 + math.log(1 + layer))}[self.layer_weighting]

    def _kl_weight(self, layer: int) -> float:
        """``c_n T^p``."""
        scale = self.temperature ** (2 if self.variant == "paper" else 1)
        return scale * math.log(2 + layer) if self.variant == "improved" else scale

    def _depths_below(self) -> tuple[int, ...]:
        """Check the depths, and return those below the last that may take part."""
        layers = self.layers
        least = _BELOW_LAST[self.variant]
        if not layers or list(layers) != sorted(set(layers)) or layers[0] < least:
            raise InputError(
                f"layers is {layers}; each is a number of layers, {least} or more, given once and in ascending order, "
                "and the last is all of them."
            )
        below = layers[:-1]
        if self.variant == "ese":
            below = tuple(layer for layer in below if layer != layers[-1] - 1)  # the official loop ends before it
        if self.layer_weight == self.kl_weight == 0 or self.variant == "sbert":
            return below if self.layer_weight or self.kl_weight else ()
        if not below:
            raise InputError(
                f"the variant '{self.variant}' trains a layer below the last and needs at least two layers; use a "
                "deeper encoder, or --layer-weight 0 --kl-weight 0 to nest widths alone."
            )
        return below

    def _check(self, features: Mapping[str, Tensor], draw: NestedDraw) -> None:
        for name, several in features.items():
            if several.ndim != 3 or several.shape[1] != len(draw.layers) or several.shape[2] < max(self.dims):
                raise ValueError(
                    f"Nested2D: {name} is {list(several.shape)}; [B, {len(draw.layers)}, D] is accepted, features "
                    f"at the depths {draw.layers}, with D at least {max(self.dims)}. Ask the encoder with "
                    "return_layers, and give widths that it has."
                )


def _mean(rows: Tensor) -> Tensor:
    return RowLosses.of(rows).mean()


def _refuse_memory(base_loss: Callable[..., RowLosses]) -> None:
    if isinstance(base_loss, nn.Module):
        for name, _ in base_loss.named_buffers():
            raise ValueError(
                f"Nested2D: the objective {type(base_loss).__name__} keeps '{name}' from call to call, but is called "
                "on several spaces in every step; an objective without buffers is accepted. Nest one that sees the "
                "batch alone."
            )


def _check_widths(dims: Sequence[int], variant: str) -> None:
    if not dims or any(width < 1 for width in dims) or len(set(dims)) < len(dims):
        raise InputError(f"dims is {tuple(dims)}; give one width or more, each at least 1, none of them twice.")
    if variant == "ese" and len(dims) > 1:
        raise InputError(f"dims is {tuple(dims)}; the variant 'ese' has one width (its authors: 128).")
