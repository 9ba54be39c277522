"""Recommendation: how far up a user's next item comes among all items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from likewise.data import INTERACTION_COLUMNS, InteractionData, open_interactions
from likewise.evaluation.definition import Definition
from likewise.evaluation.ranked import directions, parse_metrics, ranking_figures
from likewise.evaluation.result import Result
from likewise.evaluation.vectors import unit_vectors

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.encoders import Embedder

__all__ = ["DEFINITION", "RankingSettings", "ranking"]


@dataclass(frozen=True)
class RankingSettings:
    """How a ranking of items is measured."""

    metrics: tuple[str, ...] = ("ndcg@10", "hit@10", "ndcg@20", "hit@20")
    """Metric such as ndcg@10: ndcg, hit, mrr, recall, map or precision, and how many ranks count."""
    exclude_seen: bool = True
    """Take the items that a user took before out of the ranking; the one that is to be found always stays."""


def ranking(
    embedder: Embedder,
    data: InteractionData,
    *,
    metrics: Sequence[str] = RankingSettings.metrics,
    exclude_seen: bool = RankingSettings.exclude_seen,
    user_embeddings: Float[Tensor, "U D"] | None = None,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Rank all items for each user by cosine, and see how far up the held-out last one comes.

    A user's vector is ``normalise(mean of the unit vectors of the items before the last)``. All items of the log are
    ranked, never a sample of them (sampled figures do not even order models as whole ones do).

    Args:
        embedder: Encodes the items with role "document".
        data: Interactions (:func:`likewise.data.open_interactions`).
        metrics: Names like "ndcg@10" (:func:`likewise.evaluation.retrieval` explains them). With one item to find,
            hit@k and recall@k are equal.
        exclude_seen: Take the items that a user took before out of the ranking.
        user_embeddings: Vectors of the users in the order of ``data.histories``, from a model that has its own.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals over users; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        Means over users, in [0, 1], ``ndcg@10`` being the one to quote; how many users had a single interaction and
        were left out is in the settings. Items at equal cosine (up to rounding) rank in the order in which the log
        first names them.

    Raises:
        InputError: An unknown metric, or a vector that is zero or not finite.
        ValueError: Embeddings given that do not fit the data.

    Cost: O((U + M) D + U k) memory, where k is the depth and the items a user took; O(U M D) time beside encoding.
    Source: Krichene and Rendle 2020, On Sampled Metrics for Item Recommendation, KDD (why all items are ranked); Kang
    and McAuley 2018, SASRec, arXiv 1808.09781 (the last item is held out).
    """
    parsed = parse_metrics(metrics)
    items = unit_vectors(
        embedder, list(data.items.values()), name=data.name, role="document", batch_size=batch_size,
        precision=precision, progress=progress,
    )  # fmt: skip
    place = {item: number for number, item in enumerate(data.items)}
    histories = [[place[item] for item in several] for several in data.histories.values()]
    users = _means(items, histories) if user_embeddings is None else user_embeddings
    users = directions("ranking", users, list(data.histories), "user")
    if users.shape[1] != items.shape[1]:
        raise ValueError(
            f"ranking: users have {users.shape[1]} dimensions but items {items.shape[1]}; they must agree. Use one "
            "model for both."
        )
    wanted = [place[data.held_out[user]] for user in data.histories]
    seen = [set(several) - {one} if exclude_seen else set() for several, one in zip(histories, wanted, strict=True)]
    return Result.of(
        "ranking",
        embedder,
        data,
        settings={
            "items_ranked": len(items),
            "users_left_out": data.users_left_out,
            "exclude_seen": exclude_seen,
            "user_vectors": "mean of items" if user_embeddings is None else "given",
        },
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        items="users",
        **ranking_figures(
            users, items.float(), [{one: 1.0} for one in wanted], seen, parsed, bootstrap=bootstrap, seed=seed
        ),
    )


def _means(items: Tensor, histories: list[list[int]]) -> Tensor:
    """Return the mean vector of each user's items, ``[U, D]``, without holding all of them at once."""
    user = np.repeat(np.arange(len(histories)), [len(several) for several in histories])
    taken = np.concatenate([np.array(several) for several in histories])
    total = torch.zeros(len(histories), items.shape[1], dtype=items.dtype)
    at_a_time = 65_536
    for start in range(0, len(taken), at_a_time):
        part = slice(start, start + at_a_time)
        total.index_add_(0, torch.from_numpy(user[part]), items[torch.from_numpy(taken[part])])
    return total / torch.tensor([[len(several)] for several in histories])


DEFINITION = Definition(
    columns=INTERACTION_COLUMNS,
    metrics=RankingSettings.metrics,
    open=open_interactions,
    measure=ranking,
    settings=RankingSettings,
)
