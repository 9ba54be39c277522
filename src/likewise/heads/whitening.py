"""Whitening: maps after which channels have mean 0, variance 1 and nothing to do with each other.

:class:`ShuffledGroupWhitening` does so with the statistics of the batch, in training, on groups of channels that are
drawn anew each time; :class:`Whitening` with those of a corpus, once and for good.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from likewise import distributed, pairwise
from likewise.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["Engine", "ShuffledGroupWhitening", "Statistics", "Whitening", "whitening_matrix"]

logger = logging.getLogger(__name__)

Engine = Literal["zca", "cholesky"]
Statistics = Literal["all", "process"]

_CHUNK = 8192
"""Vectors of a corpus that are turned into float64 at a time."""


class ShuffledGroupWhitening(nn.Module):
    """Whitens a batch in groups of channels, of which each call draws another division.

    A permutation of the ``D`` channels is drawn and cut into ``G`` groups of ``m = D / G``; each group is centred over
    the batch and multiplied by a matrix ``W_g`` that makes its covariance the identity, ``W_g^T C_g W_g = I`` with
    ``C_g = y_g^T y_g / N``; then every channel goes back to its place. Two calls on the same rows give two different
    pictures of them where ``1 < m < D``.

    The map is of the batch, not of a row: it belongs into training and not into a model that is served.

    Args:
        dim: Channels, ``D``.
        groups: Groups, ``G`` >= 1, a divisor of ``dim``; ``dim`` standardises each channel by itself, 1 whitens all
            channels together. A covariance of m channels needs some ten times m rows to be more than noise.
        shuffle: Whether the channels are permuted; else neighbours form a group, the same in each call.
        engine: "zca" takes ``W = C^-1/2``, the whitening that moves the rows least; "cholesky" takes ``W = L^-T`` where
            ``C = L L^T``, which depends on the order of the channels.
        eps: Added to every variance, as a share of the mean variance of all channels, >= 0, so that a channel that says
            nothing is not blown up (official: 0).
        detach: Whether ``W`` is a constant in the backward pass, as in the official code; the gradient then flows
            through the product and the centring alone.
        statistics: Of whose rows mean and covariance are: "all" processes, which makes several processes one, or each
            "process" by itself.
        seed: Seed of the permutations, >= 0; drawn from torch's generator where not given.

    Raises:
        InputError: ``groups`` is no divisor of ``dim``, or ``eps`` is negative.

    State: ``seed``, and ``drawn``, how many permutations there have been: the k-th is a function of the two alone. So
        all processes draw alike, and a resumed run goes on with the permutation that would have come.
    Cost: O(B D m) for the covariances and the product, O(D m^2) for the matrices; with statistics of all processes an
        exchange of ``D m`` numbers each way, and no exchange of rows.
    Source: Zhuo et al. 2023 (WhitenedCSE), arXiv 2305.17746, section 3.3; the official ``ShuffledGroupWhitening``.

    Example:
        >>> whitening = ShuffledGroupWhitening(4, 2, eps=0.0, seed=0)
        >>> rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 5.0, 9.0])
        >>> [round(x, 4) for x in whitening(rows).square().mean(dim=0).tolist()]
        [1.0, 1.0, 1.0, 1.0]
    """

    seed: Tensor
    drawn: Tensor

    def __init__(
        self,
        dim: int,
        groups: int,
        *,
        shuffle: bool = True,
        engine: Engine = "zca",
        eps: float = 1e-5,
        detach: bool = True,
        statistics: Statistics = "all",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        _check_groups(dim, groups)
        _check_eps(eps)
        self.dim, self.groups, self.shuffle = dim, groups, shuffle
        self.engine, self.eps, self.detach, self.statistics = engine, eps, detach, statistics
        start = torch.randint(2**62, ()) if seed is None else torch.tensor(seed, dtype=torch.int64)
        self.register_buffer("seed", start)
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))
        self._warned = False

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Whiten the rows of one view, with a permutation of its own; see :meth:`whiten`."""
        return self.whiten(features, self.draw())

    def draw(self) -> Int[Tensor, "D"]:
        """Return the next permutation of the channels; without ``shuffle`` the one that changes nothing."""
        if not self.shuffle:
            return torch.arange(self.dim)
        random = np.random.default_rng([int(self.seed), int(self.drawn)])
        self.drawn += 1
        return torch.from_numpy(random.permutation(self.dim))

    def whiten(self, features: Float[Tensor, "B D"], permutation: Int[Tensor, "D"]) -> Float[Tensor, "B D"]:
        """Whiten the rows in the groups of a given permutation.

        Args:
            features: Rows of this process.
            permutation: Channel number ``permutation[k]`` stands at place ``k`` when the groups are cut.

        Returns:
            ``[B, D]``, channels in their own places; float64 stays float64, anything else becomes float32. In each
            group the mean is 0 and the covariance the identity, up to ``eps``. Rows that are all equal become 0.

        Raises:
            ValueError: The features are no matrix of ``D`` columns.
            InputError: With ``eps=0``: no more rows than channels in a group, or a covariance that is singular.
        """
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ValueError(
                f"ShuffledGroupWhitening: features is {list(features.shape)}; it is [rows, {self.dim}]. Give the rows "
                "of one view."
            )
        wide = features if features.dtype == torch.float64 else features.float()
        place = permutation.to(features.device)
        with pairwise.without_autocast(features.device):  # sums over rows, and a root, lose too much in bf16
            grouped = wide[:, place].unflatten(1, (self.groups, -1)).transpose(0, 1)  # [G, B, m]
            number = len(features) if self.statistics == "process" else sum(distributed.row_counts(len(features)))
            self._check_rows(number)
            divisor = max(number, 1)  # a process may have no row
            centred = grouped - self._sum(grouped.sum(dim=1, keepdim=True)) / divisor
            seen = centred.detach() if self.detach else centred
            covariance = self._sum(seen.mT @ seen) / divisor  # [G, m, m]
            white = centred @ whitening_matrix(covariance, engine=self.engine, eps=self.eps)
            back: Tensor = white.transpose(0, 1).flatten(1)[:, torch.argsort(place)]
        return back

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return (
            f"dim={self.dim}, groups={self.groups}, shuffle={self.shuffle}, engine={self.engine}, eps={self.eps:g}, "
            f"detach={self.detach}, statistics={self.statistics}"
        )

    def _sum(self, part: Tensor) -> Tensor:
        """Add up over the processes whose rows the statistics are of."""
        return distributed.sum_over_processes(part, with_grad=True) if self.statistics == "all" else part

    def _check_rows(self, rows: int) -> None:
        channels = self.dim // self.groups
        if rows > channels:
            self._warned = True  # a whole batch was large enough; the last one of an epoch may be short
            return
        if not self.eps:
            raise InputError(
                f"a batch of {rows} rows is too small for groups of {channels} channels: their covariance is singular. "
                f"More rows than channels are needed; use more groups than {self.groups}, a larger batch, or an eps "
                "above 0."
            )
        if not self._warned:
            self._warned = True
            logger.warning(
                "a batch of %d rows is too small for groups of %d channels: whitened so, all rows of a group lie "
                "equally far from each other. Use more groups than %d, or a larger batch",
                rows,
                channels,
                self.groups,
            )


class Whitening(nn.Module):
    """A linear map, fitted on the vectors of a corpus, after which these have mean 0 and the identity as covariance.

    ``(v - mean) @ matrix``, to be used on vectors, or as a layer of a model that is kept (:meth:`as_linear`).

    Args:
        dim: Length of a vector, ``D``.
        engine: As in :class:`ShuffledGroupWhitening`.
        eps: As in :class:`ShuffledGroupWhitening`; above 0, fewer vectors than ``D`` will do.

    Raises:
        InputError: ``eps`` is negative.

    State: ``mean [D]``, ``matrix [D, D]`` and ``rows``, how many vectors it was fitted on.
    Source: Su et al. 2021, "Whitening Sentence Representations for Better Semantics and Faster Retrieval", arXiv
        2103.15316 (there along the principal axes: the same up to a rotation, and so in all cosines); Kessy et al.
        2018, "Optimal Whitening and Decorrelation", arXiv 1512.00809, for the choice of the matrix.

    Example:
        >>> vectors = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 5.0], [2.0, -5.0]])
        >>> Whitening(2, eps=0.0).fit(vectors).transform(vectors)
        tensor([[-1.4142,  0.0000],
                [ 1.4142,  0.0000],
                [ 0.0000,  1.4142],
                [ 0.0000, -1.4142]])
    """

    mean: Tensor
    matrix: Tensor
    rows: Tensor

    def __init__(self, dim: int, *, engine: Engine = "zca", eps: float = 1e-5) -> None:
        super().__init__()
        _check_eps(eps)
        self.dim, self.engine, self.eps = dim, engine, eps
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("matrix", torch.eye(dim))
        self.register_buffer("rows", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def fit(self, vectors: Float[Tensor, "n D"]) -> Whitening:
        """Take mean and covariance from some vectors.

        Args:
            vectors: ``n`` of them, at least 2, in any floating dtype; float64 makes the map float64.

        Returns:
            Itself.

        Raises:
            ValueError: The vectors are no matrix of ``D`` columns, fewer than 2, or not finite (the row is named).
            InputError: With ``eps=0``: the covariance is singular.

        Cost: O(n D^2) time, O(D^2) memory beside the vectors; sums are taken in float64.
        """
        self._check("fit", vectors)
        if len(vectors) < 2:
            raise ValueError(f"fit: {len(vectors)} vector given; a covariance needs at least 2, and well more than "
                             f"{self.dim} to be good. Give more vectors.")  # fmt: skip
        total = torch.zeros(self.dim, dtype=torch.float64)
        for start in range(0, len(vectors), _CHUNK):
            part = vectors[start : start + _CHUNK].double().cpu()
            bad = (~part.isfinite().all(dim=1)).nonzero()
            if len(bad):
                raise ValueError(
                    f"fit: vector {start + int(bad[0])} holds a value that is not finite; look at its text."
                )
            total += part.sum(dim=0)
        mean = total / len(vectors)
        covariance = torch.zeros(self.dim, self.dim, dtype=torch.float64)
        for part in vectors.split(_CHUNK):
            centred = part.double().cpu() - mean
            covariance.addmm_(centred.mT, centred)
        matrix = whitening_matrix(covariance / len(vectors), engine=self.engine, eps=self.eps)
        wide = vectors.dtype if vectors.dtype == torch.float64 else torch.float32
        self.mean, self.matrix = (x.to(self.mean.device, wide) for x in (mean, matrix))
        self.rows.fill_(len(vectors))
        return self

    def transform(self, vectors: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
        """Whiten vectors; the result is not of unit norm.

        Raises:
            ValueError: It was not fitted yet, or the vectors are no matrix of ``D`` columns.
        """
        self._check("transform", vectors)
        self._check_fitted("transform")
        with pairwise.without_autocast(vectors.device):
            wide: Tensor = (vectors.to(self.mean.dtype) - self.mean) @ self.matrix
        return wide

    def forward(self, vectors: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
        """As :meth:`transform`."""
        return self.transform(vectors)

    def as_linear(self) -> nn.Linear:
        """Return the map as a linear layer, ``x @ matrix - mean @ matrix``, for a model that is kept.

        Raises:
            ValueError: It was not fitted yet.
        """
        self._check_fitted("as_linear")
        layer = nn.Linear(self.dim, self.dim, dtype=self.matrix.dtype, device=self.matrix.device)
        with torch.no_grad():
            layer.weight.copy_(self.matrix.T)
            layer.bias.copy_(-(self.mean.double() @ self.matrix.double()))
        return layer

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"dim={self.dim}, engine={self.engine}, eps={self.eps:g}, rows={int(self.rows)}"

    def _check(self, caller: str, vectors: Tensor) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim or not vectors.is_floating_point():
            raise ValueError(
                f"{caller}: vectors is {vectors.dtype} {list(vectors.shape)}; it is floating [vectors, {self.dim}]. "
                "Give one vector a row."
            )

    def _check_fitted(self, caller: str) -> None:
        if not self.rows:
            raise ValueError(f"{caller}: the whitening has no statistics yet; fit it on the vectors of a corpus first.")


def whitening_matrix(
    covariance: Float[Tensor, "G m m"] | Float[Tensor, "m m"], *, engine: Engine = "zca", eps: float = 1e-5
) -> Tensor:
    """Return ``W`` with ``W^T C W = I`` for each of some covariances ``C``, for rows that are multiplied from the left.

    Differentiable, also where eigenvalues are equal: the derivative of ``C^-1/2`` exists there, other than that of the
    eigenvectors through which it is usually taken.

    Args:
        covariance: Symmetric, positive semi-definite.
        engine: "zca": ``C^-1/2``; "cholesky": ``L^-T`` where ``C = L L^T``.
        eps: Share of the mean variance of all channels that is added to each, >= 0.

    Returns:
        As ``covariance`` in shape and dtype. Where there is no variance at all (and ``eps`` > 0), the identity.

    Raises:
        InputError: A covariance is singular, up to rounding, and ``eps`` is 0 or too small to help.

    Cost: O(G m^3).

    Example:
        >>> whitening_matrix(torch.diag(torch.tensor([4.0, 0.25])), eps=0.0)
        tensor([[0.5000, 0.0000],
                [0.0000, 2.0000]])
    """
    if eps:
        share = eps * covariance.diagonal(dim1=-2, dim2=-1).mean()
        added = torch.where(share > 0, share, torch.ones_like(share))
        covariance = covariance + added * torch.eye(covariance.shape[-1]).to(covariance)
    else:
        _check_positive(covariance.detach())
    if engine == "zca":
        root: Tensor = _InverseRoot.apply(covariance)
        return root
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any():
        raise _singular(eps)
    unit = torch.eye(covariance.shape[-1]).to(covariance).expand_as(covariance)
    inverse: Tensor = torch.linalg.solve_triangular(lower, unit, upper=False)
    return inverse.mT


class _InverseRoot(torch.autograd.Function):
    """``C^-1/2`` of symmetric positive matrices."""

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrices)
        roots = values.clamp(min=torch.finfo(values.dtype).tiny).rsqrt()  # rounding may leave a negative one
        ctx.save_for_backward(roots, vectors)
        root: Tensor = (vectors * roots[..., None, :]) @ vectors.mT
        return root

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        roots, vectors = ctx.saved_tensors
        one, other = roots[..., :, None], roots[..., None, :]
        # (a - b) / (a^-2 - b^-2), the slope of x^-1/2 between two eigenvalues, written so that equal ones are no case.
        slopes = -((one * other) ** 2) / (one + other)
        inner = vectors.mT @ ((grads[0] + grads[0].mT) / 2) @ vectors
        gradient: Tensor = vectors @ (slopes * inner) @ vectors.mT
        return gradient


def _check_positive(covariance: Tensor) -> None:
    values = torch.linalg.eigvalsh(covariance)
    rounding = torch.finfo(values.dtype).eps * values.shape[-1]
    if not bool((values[..., 0] > rounding * values[..., -1]).all()):
        raise _singular(0.0)


def _singular(eps: float) -> InputError:
    return InputError(
        f"whitening: a covariance is singular with eps {eps:g}: a channel is constant, or a sum of others. Channels "
        "that vary by themselves are accepted; use an eps above that, as 1e-5, or more rows."
    )


def _check_groups(dim: int, groups: int) -> None:
    if groups < 1 or dim % groups:
        fitting = [number for number in range(1, dim + 1) if dim % number == 0]
        near = sorted(sorted(fitting, key=lambda number: abs(number - groups))[:3])
        raise InputError(
            f"groups is {groups}, but the {dim} channels cannot be cut into so many equal groups; a divisor of {dim} "
            f"is accepted. The nearest are {', '.join(map(str, near))}."
        )


def _check_eps(eps: float) -> None:
    if not 0 <= eps < float("inf"):
        raise InputError(f"the eps of the whitening is {eps}; it is a share of the mean variance, 0 or more, as 1e-5.")
