"""Putting the spaces of several languages on top of each other: shift, scale, and perhaps a rotation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise import pairwise
from likewise.encoders.domains import Domain
from likewise.errors import InputError, unknown

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["Calibrator", "Rotation", "mutual_neighbours", "procrustes"]

logger = logging.getLogger(__name__)

Rotation = Literal["none", "procrustes", "unsupervised"]
"""How a language is turned to the pivot: not at all, by translations, or by how it lies."""

NEIGHBOURS = 10
"""Neighbours over which a similarity is corrected for rows that are near to everything (CSLS: 10)."""

DEAD = 1e-3
"""Share of the median deviation below which a coordinate is no signal, and is not blown up beyond it."""

REFINEMENTS = 5
"""Most rounds of mutual neighbours and Procrustes (MUSE: 5)."""


class Mutual(NamedTuple):
    """Rows of two sets that are each other's nearest.

    Args:
        x: Rows of the first set, int64 ``[P]``.
        y: Their neighbours in the second.
        score: Mean CSLS of these pairs; -inf where there is none.
    """

    x: Int[Tensor, "P"]
    y: Int[Tensor, "P"]
    score: float


@dataclass(frozen=True)
class Calibrator:
    """What is done to the embeddings of each language, ``(e - shift) @ matrix``.

    ``shift`` is the mean of the language, ``matrix`` divides every coordinate by its (biased) standard deviation and
    then turns the language to the pivot. A coordinate that does not vary is left unscaled; one that hardly does is
    scaled as if its deviation were a thousandth of the median's. A rotation is kept only where it raises the mean CSLS
    of mutual neighbours between the language and the pivot, with or without translations.

    Args:
        domains: What is done, by language.
        pivot: The language that is not turned.
        scores: Mean CSLS of mutual neighbours between a language and the pivot, before and after the rotation; of
            languages that were to be turned.
    """

    domains: Mapping[str, Domain]
    pivot: str
    scores: Mapping[str, tuple[float, float]]

    @classmethod
    def fit(
        cls,
        embeddings: Mapping[str, Float[Tensor, "n D"]],
        pivot: str,
        *,
        rotate: Rotation = "none",
        anchors: Mapping[str, tuple[Float[Tensor, "A D"], Float[Tensor, "A D"]]] | None = None,
        seed: int = 0,
    ) -> Calibrator:
        """Fit to embeddings of monolingual sentences.

        Args:
            embeddings: Embeddings of sentences by language, before any normalisation; at least ``2 D`` of each should
                be given.
            pivot: The language to which the others are turned.
            rotate: "none"; "procrustes" by the ``anchors``; or "unsupervised", by a discriminator that is to mistake
                turned embeddings for those of the pivot, then by mutual neighbours.
            anchors: By language the embeddings of some sentences, and of their translations in the pivot.
            seed: Start of what is drawn by "unsupervised".

        Raises:
            InputError: The pivot has no embeddings, a language has fewer than two or no anchors where they are needed,
                or ``rotate`` is unknown.

        Cost: "none" O(n D); the others O(n^2 D) for every round of neighbours, and D^3.
        Source: CCP, arXiv 2206.03281, section 3.3 (shift, scale, rotate); Conneau et al. 2018 (MUSE), arXiv 1710.04087,
            section 2 (adversarial mapping, CSLS, refinement).

        Example:
            >>> rows = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 4.0]])
            >>> Calibrator.fit({"en": rows}, "en").transform(rows, "en")[1]
            tensor([0.0000, 1.2247])
        """
        if rotate not in get_args(Rotation):
            raise unknown("rotation", rotate, get_args(Rotation))
        if pivot not in embeddings:
            raise unknown("pivot", pivot, embeddings)
        anchors = anchors or {}
        domains, scores = {}, {}
        plain = {language: _shift_and_scale(language, rows) for language, rows in embeddings.items()}
        target = _moved(embeddings[pivot], plain[pivot])
        for language, rows in embeddings.items():
            domains[language] = plain[language]
            if rotate == "none" or language == pivot:
                continue
            source = _moved(rows, plain[language])
            if rotate == "procrustes":
                if language not in anchors:
                    raise InputError(
                        f"there are no translations of '{language}' into '{pivot}'; give some, or rotate without them."
                    )
                ours, theirs = anchors[language]
                turned = procrustes(_moved(ours, plain[language]), _moved(theirs, plain[pivot]))
            else:
                turned = _unsupervised(source, target, seed)
            before, after = (mutual_neighbours(one, target).score for one in (source, source @ turned))
            scores[language] = before, after
            if after > before:
                matrix = plain[language].matrix
                assert matrix is not None  # noqa: S101 - made by _shift_and_scale
                domains[language] = Domain(shift=plain[language].shift, matrix=matrix @ turned.to(matrix.dtype))
        return cls(domains, pivot, scores)

    def transform(self, embeddings: Float[Tensor, "n D"], language: str) -> Float[Tensor, "n D"]:
        """Move embeddings of a language; they are not normalised.

        Raises:
            InputError: The language was not fitted; the nearest is named.
        """
        if language not in self.domains:
            raise unknown("language", language, self.domains)
        return _moved(embeddings, self.domains[language])


def procrustes(x: Float[Tensor, "A D"], y: Float[Tensor, "A D"]) -> Float[Tensor, "D D"]:
    """Return the orthogonal ``W`` that brings rows nearest to others, ``min ||x W - y||``: ``U V^T`` of ``x^T y``.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> procrustes(x, x @ torch.tensor([[0.0, -1.0], [1.0, 0.0]])).round().abs()
        tensor([[0., 1.],
                [1., 0.]])
    """
    from scipy.linalg import orthogonal_procrustes

    found, _ = orthogonal_procrustes(x.double().numpy(), y.double().numpy())
    rotation: Tensor = torch.from_numpy(found).to(x.dtype)
    return rotation


def mutual_neighbours(x: Float[Tensor, "n D"], y: Float[Tensor, "m D"], k: int = NEIGHBOURS) -> Mutual:
    """Find the rows that are each other's nearest, by cosines corrected for rows that are near to everything.

    ``CSLS(x, y) = 2 cos(x, y) - r(x) - r(y)``, where ``r`` is the mean cosine of a row to its ``k`` nearest of the
    other set.

    Source: Conneau et al. 2018, arXiv 1710.04087, section 2.3.
    """
    x, y = F.normalize(x, dim=1), F.normalize(y, dim=1)
    near_x = pairwise.topk(x, y, min(k, len(y)))[0].mean(dim=1)
    near_y = pairwise.topk(y, x, min(k, len(x)))[0].mean(dim=1)

    def csls(cosine: Tensor, row: pairwise.Side, column: pairwise.Side) -> Tensor:
        return 2 * cosine - row[0] - column[0]

    scores, forward = pairwise.topk(x, y, 1, score_mod=csls, rows=(near_x,), columns=(near_y,))
    backward = pairwise.topk(y, x, 1, score_mod=csls, rows=(near_y,), columns=(near_x,))[1][:, 0]
    rows = torch.arange(len(x), device=x.device)
    mutual = backward[forward[:, 0]] == rows
    score = float(scores[mutual, 0].mean()) if bool(mutual.any()) else -torch.inf
    return Mutual(rows[mutual], forward[mutual, 0], score)


def _shift_and_scale(language: str, rows: Tensor) -> Domain:
    number, dim = rows.shape
    if number < 2:
        raise InputError(f"there is {number} sentence of '{language}'; calibration takes {2 * dim} or more.")
    if number < 2 * dim:
        logger.warning(
            "there are %d sentences of '%s' for embeddings of %d numbers; mean and deviation take %d or more",
            number,
            language,
            dim,
            2 * dim,
        )
    rows = rows.double()
    std = rows.std(dim=0, correction=0)
    floored = std.clamp(min=float(DEAD * std.median()))
    scale = torch.where(std > 0, floored, torch.ones_like(std))
    return Domain(shift=rows.mean(dim=0), matrix=torch.diag(1 / scale))


def _moved(rows: Tensor, domain: Domain) -> Tensor:
    assert domain.shift is not None  # noqa: S101 - a calibration has both
    assert domain.matrix is not None  # noqa: S101
    return (rows - domain.shift.to(rows.dtype)) @ domain.matrix.to(rows.dtype)


def _unsupervised(x: Tensor, y: Tensor, seed: int) -> Tensor:
    """Return the best rotation that is found without translations, by the mean CSLS of mutual neighbours."""
    starts = [torch.eye(x.shape[1], dtype=x.dtype), _adversarial(x, y, seed)]
    return max((_refined(x, y, start) for start in starts), key=lambda found: found[1])[0]


def _refined(x: Tensor, y: Tensor, turned: Tensor) -> tuple[Tensor, float]:
    """Turn by mutual neighbours as long as that makes them better ones."""
    found = mutual_neighbours(x @ turned, y)
    for _ in range(REFINEMENTS):
        if not len(found.x):
            break
        candidate = procrustes(F.normalize(x[found.x], dim=1), F.normalize(y[found.y], dim=1))
        better = mutual_neighbours(x @ candidate, y)
        if better.score <= found.score:
            break
        turned, found = candidate, better
    return turned, found.score


STEPS, BATCH, HIDDEN = 1000, 64, 256
"""Of the adversarial mapping (MUSE: millions of steps on 200,000 words, batch 32, hidden 2048)."""
RATE, SMOOTHING, PULL = 0.1, 0.1, 0.01
"""Learning rate, label smoothing, and how strongly the map is held orthogonal (MUSE: 0.1, 0.1, 0.01)."""


def _adversarial(x: Tensor, y: Tensor, seed: int) -> Tensor:
    """Learn a rotation of ``x`` that a discriminator mistakes for ``y``."""
    dtype = x.dtype
    x, y = (F.normalize(rows, dim=1).float() for rows in (x, y))
    dim = x.shape[1]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        judge = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(dim, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.2),
            nn.Linear(HIDDEN, 1),
        )  # fmt: skip
        turned = nn.Parameter(torch.eye(dim))
        judging, turning = torch.optim.SGD(judge.parameters(), lr=RATE), torch.optim.SGD([turned], lr=RATE)
        scale = dim**0.5
        truth = torch.cat([torch.full((BATCH,), 1 - SMOOTHING), torch.full((BATCH,), SMOOTHING)])
        for _ in range(STEPS):
            for is_judge, optimizer in ((True, judging), (False, turning)):
                ours = x[torch.randint(len(x), (BATCH,))] @ (turned.detach() if is_judge else turned)
                rows = torch.cat([ours, y[torch.randint(len(y), (BATCH,))]]) * scale
                loss = F.binary_cross_entropy_with_logits(judge(rows)[:, 0], truth if is_judge else 1 - truth)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                turned.copy_((1 + PULL) * turned - PULL * turned @ turned.T @ turned)
    # The pull leaves it nearly orthogonal; the nearest rotation is one.
    u, _, v = torch.linalg.svd(turned.detach().double())
    rotation: Tensor = (u @ v).to(dtype)
    return rotation
