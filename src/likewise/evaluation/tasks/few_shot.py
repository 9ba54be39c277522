"""Few-shot classification: how far a few labelled texts a class go, over many small random tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from likewise.data import Table
from likewise.data.split_data import LABELLED_COLUMNS
from likewise.errors import InputError
from likewise.evaluation.bootstrap import Floats, mean_statistic, measured
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.evaluation.tasks.clustering import open_labelled
from likewise.evaluation.vectors import unit_vectors
from likewise.settings import build_settings

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "FewShotSettings", "few_shot"]


@dataclass(frozen=True)
class FewShotSettings:
    """What an episode is."""

    ways: int = 5
    """Classes of an episode, >= 2."""
    shots: int = 5
    """Labelled texts of each class, >= 1."""
    queries: int = 15
    """Texts of each class that are to be told, >= 1."""
    episodes: int = 600
    """Episodes, >= 1; the interval gets narrower with more of them."""

    def __post_init__(self) -> None:
        for name, least in (("ways", 2), ("shots", 1), ("queries", 1), ("episodes", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; at least {least} is accepted.")


def few_shot(
    embedder: Embedder,
    data: Table,
    *,
    ways: int = FewShotSettings.ways,
    shots: int = FewShotSettings.shots,
    queries: int = FewShotSettings.queries,
    episodes: int = FewShotSettings.episodes,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Tell classes by the nearest mean of a few examples, in many random episodes.

    An episode draws ``ways`` classes, ``shots`` examples and ``queries`` other texts of each, without replacement. A
    text has the class whose mean of the examples' unit vectors is nearest in Euclidean distance. The episodes depend on
    data, settings and seed alone, so all models see the same ones.

    Args:
        embedder: The model; texts are encoded with no role.
        data: Texts with labels (``clustering.open_labelled``).
        ways: Classes of an episode.
        shots: Labelled texts of each class.
        queries: Texts of each class that are to be told.
        episodes: How many episodes.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % interval over *episodes*: how sure the mean over episodes from these rows is,
            not how it would be on other rows. 0: no interval.
        seed: Seed of the episodes and of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``accuracy``: the mean over episodes, in [0, 1]; that of each episode is in ``per_item``.

    Raises:
        InputError: There are fewer classes than ways, a class has fewer rows than shots + queries, or a vector is zero
            or not finite.

    Source: Snell et al. 2017, Prototypical Networks, arXiv 1703.05175, eq. 1-2 (here with frozen unit vectors).
    """
    given = {"ways": ways, "shots": shots, "queries": queries, "episodes": episodes}
    build_settings(FewShotSettings, given, of="few_shot")
    texts, labels = (data.column(name).to_pylist() for name in ("text", "label"))
    members: dict[str, list[int]] = {}
    for i in sorted(range(len(texts)), key=lambda i: (labels[i], texts[i])):  # the order of the rows does not matter
        members.setdefault(labels[i], []).append(i)
    _enough(data.name, members, ways, shots, queries)
    vectors = unit_vectors(
        embedder, texts, name=data.name, batch_size=batch_size, precision=precision, progress=progress
    ).numpy()
    random = np.random.default_rng(seed)
    groups = [np.array(rows) for rows in members.values()]
    accuracy = np.array([_episode(random, groups, vectors, ways, shots, queries) for _ in range(episodes)])
    return Result.of(
        "few_shot",
        embedder,
        data,
        settings={"classes": len(groups), **given},
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        **vars(measured(mean_statistic(accuracy[:, None]), ("accuracy",), episodes, bootstrap, seed)),
        per_item={"accuracy": accuracy},
        num_items=episodes,
        items="episodes",
    )


def _enough(name: str, members: dict[str, list[int]], ways: int, shots: int, queries: int) -> None:
    if len(members) < ways:
        raise InputError(
            f"{name} has {len(members)} classes, fewer than the {ways} ways of an episode; use at most as many ways, "
            "or add rows of other classes."
        )
    smallest = min(members, key=lambda label: len(members[label]))
    if len(members[smallest]) < shots + queries:
        raise InputError(
            f"{name}: class '{smallest}' has {len(members[smallest])} rows, fewer than the {shots} shots and {queries} "
            "queries of an episode; use fewer of them, add rows of it, or leave the class out."
        )


def _episode(
    random: np.random.Generator, groups: list[np.ndarray], vectors: Floats, ways: int, shots: int, queries: int
) -> float:
    """Return the accuracy of one episode."""
    drawn = np.stack(
        [
            random.choice(groups[one], shots + queries, replace=False)
            for one in random.choice(len(groups), ways, replace=False)
        ]
    )
    centroids = vectors[drawn[:, :shots]].mean(axis=1)  # [ways, D]
    asked = vectors[drawn[:, shots:]]  # [ways, queries, D]
    distance = (centroids**2).sum(axis=1) - 2 * asked @ centroids.T  # less the |asked|^2 that all have in common
    return float((distance.argmin(axis=2) == np.arange(ways)[:, None]).mean())


DEFINITION = Definition(
    columns=LABELLED_COLUMNS,
    metrics=("accuracy",),
    open=open_labelled,
    measure=few_shot,
    settings=FewShotSettings,
)
