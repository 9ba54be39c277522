"""Few-shot classification: how far a few labelled texts a class go, over many small random tasks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from likewise.data import Table
from likewise.data.split_data import LABELLED_COLUMNS, input_keys, inputs_of
from likewise.errors import InputError
from likewise.evaluation.alignment import align_prototypes, centred
from likewise.evaluation.bootstrap import Floats, mean_statistic, measured
from likewise.evaluation.definition import Definition
from likewise.evaluation.prototypes import Nearest, prototype_scores
from likewise.evaluation.ranking_metrics import ndcg
from likewise.evaluation.result import Result
from likewise.evaluation.tasks.clustering import open_labelled
from likewise.evaluation.vectors import unit_vectors
from likewise.settings import build_settings

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "FewShotSettings", "few_shot"]

logger = logging.getLogger(__name__)

RANKS = 10
METRICS = ("accuracy", "macro_f1", f"ndcg@{RANKS}")


@dataclass(frozen=True)
class FewShotSettings:
    """What an episode is."""

    ways: int = 5
    """Classes of an episode, >= 2; 0: all that have enough texts."""
    shots: int = 5
    """Labelled texts of each class, >= 1."""
    queries: int = 15
    """Texts of each class that are to be told, >= 1; 0: all others, of classes with at least twice as many texts as
    shots and five to spare."""
    episodes: int = 600
    """Episodes, >= 1; the interval gets narrower with more of them."""
    nearest: Nearest = "euclidean"
    """A text has the class whose mean of examples is nearest: by Euclidean distance; by dot product, which favours
    classes whose examples lie close together; or logistic, by a logistic regression on the means."""
    align: bool = False
    """Move the means to where the texts to be told lie, by optimal transport. It sees all of these at once and takes
    classes to be equally frequent among them; where they are not, it does harm."""

    def __post_init__(self) -> None:
        for name, least in (("ways", 2), ("shots", 1), ("queries", 1), ("episodes", 1)):
            value, all_of_them = getattr(self, name), name in ("ways", "queries")
            if value < least and not (all_of_them and value == 0):
                or_all = ", or 0 for all" if all_of_them else ""
                raise InputError(f"{name} is {value}; at least {least} is accepted{or_all}.")


def few_shot(
    embedder: Embedder,
    data: Table,
    *,
    ways: int = FewShotSettings.ways,
    shots: int = FewShotSettings.shots,
    queries: int = FewShotSettings.queries,
    episodes: int = FewShotSettings.episodes,
    nearest: Nearest = "euclidean",
    align: bool = False,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Tell classes by the nearest mean of a few examples, in many random episodes.

    An episode draws ``ways`` classes, ``shots`` examples and ``queries`` other texts of each, without replacement. A
    text has the class whose mean of the examples' unit vectors is nearest, in Euclidean distance, by dot product (the
    mean is not put on the sphere again), or by a logistic regression on the means. And for each class the texts of all
    classes are ranked by the dot product with that mean. The episodes depend on data, settings and seed alone, so all
    models see the same ones.

    With ``ways=0, queries=0, nearest="dot", episodes=10`` it is the measure of Dialog2Flow: all classes with at least
    ``max(2 shots, shots + 5)`` texts, all other texts.

    With ``align`` the vectors are centred over their own numbers, and the means are moved towards the texts to be told
    (:func:`likewise.evaluation.alignment.align_prototypes`): in five passes with one shot, else in one. The episodes
    are those without it, so that the two can be compared; its figures say nothing of texts that come one by one.

    Args:
        embedder: The model; texts are encoded with no role.
        data: Texts with labels (``clustering.open_labelled``).
        ways: Classes of an episode; 0: all that have enough texts.
        shots: Labelled texts of each class.
        queries: Texts of each class that are to be told; 0: all others.
        episodes: How many episodes.
        nearest: "euclidean", "dot" or "logistic" (:func:`likewise.evaluation.prototypes.prototype_scores`).
        align: Whether the means are moved.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % interval over *episodes*: how sure the mean over episodes from these rows is,
            not how it would be on other rows. 0: no interval.
        seed: Seed of the episodes and of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``accuracy``, ``macro_f1`` (mean over the classes of an episode) and ``ndcg@10`` (of the rankings, a text of the
        class is relevant; mean over classes): means over episodes, in [0, 1]; those of each episode are in
        ``per_item``.

    Raises:
        InputError: There are fewer classes than ways, a class has fewer rows than shots + queries (with ``ways=0``:
            fewer than two have enough), or a vector is zero or not finite.

    Source: Snell et al. 2017, Prototypical Networks, arXiv 1703.05175, eq. 1-2 (here with frozen unit vectors).
        Alignment: BECLR, arXiv 2402.02444, there with a logistic regression on the moved means.
        All classes, all other texts, dot product: Burdisso et al. 2024, arXiv 2410.18481, section 5.2; their code
        computes its NDCG from where the relevant ranks are, not from the ranking, and counts the examples as to be
        found; here it is that of the ranking.
    """
    given = {"ways": ways, "shots": shots, "queries": queries, "episodes": episodes, "nearest": nearest, "align": align}
    build_settings(FewShotSettings, given, of="few_shot")
    texts, labels = inputs_of(data), data.values("label")
    keys = input_keys(texts)
    members: dict[str, list[int]] = {}
    for i in sorted(range(len(texts)), key=lambda i: (labels[i], keys[i])):  # the order of the rows does not matter
        members.setdefault(labels[i], []).append(i)
    least = shots + queries if queries else max(2 * shots, shots + 5)
    _enough(data.name, members, ways, least)
    vectors = unit_vectors(
        embedder, texts, name=data.name, batch_size=batch_size, precision=precision, progress=progress
    ).numpy()
    if align:
        vectors = centred(torch.from_numpy(vectors).double()).numpy()
        if not queries and len({len(rows) for rows in members.values()}) > 1:
            logger.warning(
                "the classes have different numbers of texts to be told, and alignment takes them to have equally "
                "many; compare with the figures without --align, or give --queries"
            )
    random = np.random.default_rng(seed)
    groups = [np.array(rows) for rows in members.values() if ways or len(rows) >= least]
    figures = np.array(
        [_episode(random, groups, vectors, ways, shots, queries, nearest, align) for _ in range(episodes)]
    )
    return Result.of(
        "few_shot",
        embedder,
        data,
        settings={"classes": len(groups), **given},
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        **vars(measured(mean_statistic(figures), METRICS, episodes, bootstrap, seed)),
        per_item=dict(zip(METRICS, figures.T, strict=True)),
        num_items=episodes,
        items="episodes",
    )


def _enough(name: str, members: dict[str, list[int]], ways: int, least: int) -> None:
    """Refuse data of which no episode can be made: ``least`` texts of each class are needed."""
    if len(members) < ways:
        raise InputError(
            f"{name} has {len(members)} classes, fewer than the {ways} ways of an episode; use at most as many ways, "
            "or add rows of other classes."
        )
    if not ways:
        enough = sum(len(rows) >= least for rows in members.values())
        if enough < 2:
            raise InputError(
                f"{name}: {enough} of {len(members)} classes have the {least} rows that an episode takes of each, and "
                "2 are needed; use fewer shots, or add rows."
            )
        return
    smallest = min(members, key=lambda label: len(members[label]))
    if len(members[smallest]) < least:
        raise InputError(
            f"{name}: class '{smallest}' has {len(members[smallest])} rows, fewer than the {least} (shots and queries) "
            "that an episode takes of each; use fewer of them, add rows of it, leave the class out, or use 0 ways for "
            "all classes with enough rows."
        )


def _episode(
    random: np.random.Generator,
    groups: list[np.ndarray],
    vectors: Floats,
    ways: int,
    shots: int,
    queries: int,
    nearest: Nearest,
    align: bool,
) -> tuple[float, float, float]:
    """Return accuracy, macro F1 and nDCG of one episode."""
    chosen = random.choice(len(groups), ways, replace=False) if ways else range(len(groups))
    drawn = [
        random.choice(groups[one], shots + queries if queries else len(groups[one]), replace=False) for one in chosen
    ]
    centroids = np.stack([vectors[rows[:shots]].mean(axis=0) for rows in drawn])  # [ways, D]
    asked = [rows[shots:] for rows in drawn]
    if align:
        queried = torch.from_numpy(vectors[np.concatenate(asked)])
        centroids = align_prototypes(torch.from_numpy(centroids), queried, shots=shots).numpy()
    truth = np.repeat(np.arange(len(asked)), [len(rows) for rows in asked])
    items = vectors[np.concatenate(asked)]
    told = prototype_scores(centroids, items, nearest).argmax(axis=1)
    right, of_class, as_class = (
        np.bincount(numbers, minlength=len(asked)) for numbers in (truth[told == truth], truth, told)
    )
    order = np.argsort(-(centroids @ items.T), axis=1, kind="stable")[:, :RANKS]
    gains = (truth[order] == np.arange(len(asked))[:, None]).astype(np.float64)
    ideal = (np.arange(RANKS) < of_class[:, None]).astype(np.float64)
    return (
        float((told == truth).mean()),
        float((2 * right / (of_class + as_class)).mean()),
        float(ndcg(gains, ideal, RANKS).mean()),
    )


DEFINITION = Definition(
    columns=LABELLED_COLUMNS,
    metrics=METRICS,
    open=open_labelled,
    measure=few_shot,
    settings=FewShotSettings,
)
