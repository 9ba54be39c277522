"""A queue of earlier rows whose rows have a cluster, so that neighbours are looked for among the alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise import distributed, pairwise
from likewise.errors import InputError
from likewise.memory.kmeans import clusters_of
from likewise.memory.queue import KeyQueue
from likewise.memory.sinkhorn import sinkhorn

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from likewise.pairwise import Side

__all__ = ["ClusteredQueue"]

ROUNDS = 10
"""Rounds of scaling of an assignment (paper's code)."""
NONE = -1
"""Cluster of a row that came before there were any."""


class ClusteredQueue(nn.Module):
    """The newest ``M`` rows of all processes, each in one of ``P`` clusters of about equal size; the same on each.

    It fills up, first in, first out. Once it is full its rows are clustered by k-means, over their directions, and from
    then on rows that come are shared out among the prototypes in equal parts: at the least distance on the sphere, by
    entropic optimal transport over all rows of a push. Prototypes then are the means of their rows; one without rows
    stays. Give it what a step made in ``after_step``, so that a step looks for neighbours in what came before it.

    Args:
        capacity: Most rows that are held, ``M``, over all processes.
        dim: Length of a row, ``D``.
        prototypes: How many clusters, ``P``, from 1 to ``M``.
        epsilon: Weight of the entropy in an assignment, > 0, in units of a distance between unit vectors.
        momentum: Weight of the old prototype when it becomes the mean of its rows, in [0, 1).
        farthest: Share rows out at the *largest* distance, as the paper's official code does (it gives distances to a
            function that takes similarities); only to see what that does.

    Raises:
        InputError: There are more prototypes than rows, or a number is out of its range.

    State: that of a :class:`KeyQueue` (``queue``, with the column ``cluster``), ``prototypes [P, D]``, ``seed`` and
        ``clusterings`` (how often k-means has been used; it decides the seed of the next time).
    Cost: O((M + P) D) memory on every process. A push costs a product of N x P x D and a pass over the M rows; k-means,
        some ten thousand row-prototype products a row.
    Source: Poulakakis-Daktylidis, Jamali-Rad 2024 (BECLR: DyCE), arXiv 2402.02444, section 4.1 and algorithm 2; with
        equal shares as Caron et al. 2020 (SwAV), arXiv 2006.09882.

    Example:
        >>> memory = ClusteredQueue(4, 2, prototypes=2)
        >>> memory.push(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]))
        >>> memory.ready, memory.nearest(torch.tensor([[9.0, 1.0]]), 1)[1]
        (True, tensor([[1]]))
    """

    prototypes: Tensor
    seed: Tensor
    clusterings: Tensor

    def __init__(
        self,
        capacity: int,
        dim: int,
        prototypes: int,
        *,
        epsilon: float = 0.05,
        momentum: float = 0.0,
        farthest: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= prototypes <= capacity:
            raise InputError(
                f"the memory has {prototypes} prototypes for {capacity} rows; from 1 to {capacity} are accepted. Use "
                "fewer prototypes, or more rows."
            )
        if not epsilon > 0:
            raise InputError(f"epsilon of the memory is {epsilon}; it must be above 0 (paper: about 0.05).")
        if not 0 <= momentum < 1:
            raise InputError(f"momentum of the prototypes is {momentum}; it is the weight of the old, in [0, 1).")
        self.epsilon, self.momentum, self.farthest = epsilon, momentum, farthest
        self.queue = KeyQueue(capacity, dim, {"cluster": torch.int64})
        self.register_buffer("prototypes", torch.zeros(prototypes, dim))
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.register_buffer("clusterings", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.queue)

    @property
    def rows(self) -> Float[Tensor, "F D"]:
        """The rows that are held, as they were pushed, in the order of their places; a view, valid until a push."""
        return self.queue.keys

    @property
    def clusters(self) -> Int[Tensor, "F"]:
        """The cluster of each of :attr:`rows`; -1 for all where there are none yet."""
        return self.queue.column("cluster")

    @property
    def ready(self) -> bool:
        """Whether there are clusters, and so neighbours."""
        return bool(self.clusterings > 0)

    @torch.no_grad()
    def push(self, rows: Float[Tensor, "B D"]) -> None:
        """Share out the rows of all processes among the prototypes, and let them take the places of the oldest.

        Every process has to call this, with any number of rows, none too.

        Args:
            rows: Rows of this process, oldest first; of any length but 0.

        Raises:
            ValueError: The rows have another length than those of the memory, or are not finite.
        """
        if rows.ndim != 2 or rows.shape[1] != self.prototypes.shape[1]:
            raise ValueError(
                f"ClusteredQueue: rows is {list(rows.shape)}; it is [rows, {self.prototypes.shape[1]}]. Push what the "
                "memory was made for."
            )
        arrived = distributed.gather_rows(rows.to(self.prototypes.device, self.prototypes.dtype), with_grad=False)
        if not len(arrived):
            return
        none = torch.full((len(arrived),), NONE, device=arrived.device)
        self.queue.write(arrived, cluster=self.assigned(arrived) if self.ready else none)
        if self.ready:
            self._move_prototypes()
        elif len(self) == self.queue.capacity:
            self.cluster()

    @torch.no_grad()
    def cluster(self) -> bool:
        """Find clusters and prototypes anew by k-means, over the directions of all rows.

        Returns:
            Whether that was done; what was before stays where fewer than ``P`` clusters are found.

        Cost: the main process computes, the others wait.
        """
        number, unit = len(self.prototypes), F.normalize(self.rows)
        if len(unit.unique(dim=0)) < number:
            return False
        found: list[int] = []
        with distributed.others_wait():
            if distributed.rank() == 0:
                found = clusters_of(unit.cpu().numpy(), number, seed=int(self.seed + self.clusterings) % 2**31).tolist()
        clusters = torch.tensor(distributed.gather_objects(found)[0], device=unit.device)
        if len(clusters.unique()) < number:
            return False
        self.clusters.copy_(clusters)
        self.prototypes.copy_(_means(unit, clusters, number)[0])
        self.clusterings += 1
        return True

    @torch.no_grad()
    def assigned(self, rows: Float[Tensor, "N D"]) -> Int[Tensor, "N"]:
        """Return the cluster of each row, in equal shares of all of them; nothing is changed."""
        unit, prototypes = F.normalize(rows), F.normalize(self.prototypes)
        distance = torch.cdist(unit, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
        cost = -distance if self.farthest else distance
        # Prototypes are scaled before rows, as in the paper's code: ten rounds need not be the last.
        plan = sinkhorn(cost.T, epsilon=self.epsilon, iterations=ROUNDS, tolerance=0.0)  # [P, N]
        return plan.argmax(0)

    @torch.no_grad()
    def nearest(self, rows: Float[Tensor, "B D"], k: int) -> tuple[Float[Tensor, "B k"], Int[Tensor, "B k"]]:
        """Return the k nearest of :attr:`rows` inside the cluster of the nearest prototype, by cosine.

        Where that cluster has k rows or fewer, they are the nearest of all rows.

        Args:
            rows: Rows of this process, of any length but 0.
            k: How many, from 1 to the number of rows held.

        Returns:
            Cosines, highest first, and places in :attr:`rows`.

        Raises:
            ValueError: There are no clusters yet, or fewer rows than k.

        Cost: O((B + M) D) memory, a product of B x M x D.
        """
        if not self.ready or not 1 <= k <= len(self):
            raise ValueError(
                f"ClusteredQueue: {k} neighbours are asked for among {len(self)} rows, which are "
                f"{'clustered' if self.ready else 'not clustered yet'}; ask for 1 to as many, once it is ready."
            )
        unit = F.normalize(rows.to(self.prototypes.dtype))
        own = pairwise.topk(unit, F.normalize(self.prototypes), 1, precision="fp32")[1][:, 0]
        small = torch.bincount(self.clusters, minlength=len(self.prototypes))[own] <= k
        return pairwise.topk(
            unit, F.normalize(self.rows), k, mask_mod=_in_reach, rows=(own, small), columns=(self.clusters,),
            precision="fp32",
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"prototypes={len(self.prototypes)}, epsilon={self.epsilon}, momentum={self.momentum}"

    def _move_prototypes(self) -> None:
        means, counts = _means(self.rows, self.clusters, len(self.prototypes))
        moved = self.momentum * self.prototypes + (1 - self.momentum) * means
        self.prototypes.copy_(torch.where(counts[:, None] > 0, moved, self.prototypes))


def _in_reach(row: Side, column: Side) -> Tensor:
    """A neighbour is of the row's own cluster, or of any where that one is too small."""
    return row[1] | (row[0] == column[0])


def _means(rows: Tensor, clusters: Tensor, number: int) -> tuple[Float[Tensor, "P D"], Int[Tensor, "P"]]:
    """Return the mean of the rows of each cluster (0 where it has none), and how many it has."""
    counts = torch.bincount(clusters, minlength=number)
    sums = rows.new_zeros(number, rows.shape[1]).index_add_(0, clusters, rows)
    return sums / counts.clamp(min=1)[:, None], counts
