"""Bitext retrieval: how well a text finds its translation, and the translation the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from likewise import pairwise
from likewise.data import Column, Table, Text, open_table
from likewise.data.checking import BadRows
from likewise.encoders.embedder import HasDomains
from likewise.errors import InputError
from likewise.evaluation.bootstrap import Floats, measured
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.evaluation.vectors import unit_vectors
from likewise.settings import build_settings

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["BITEXT_COLUMNS", "BITEXT_METRICS", "DEFINITION", "BitextSettings", "bitext", "open_bitext"]

BITEXT_COLUMNS = (
    Column("source", Text, help="a text in one language"),
    Column("target", Text, help="its translation"),
)
"""What a row must bring."""

BITEXT_METRICS = ("accuracy", "source_to_target", "target_to_source", "f1")
"""What is measured, the one to quote first."""

_SMALLEST_MARGIN = 1e-6
"""Least divisor of a margin score, so that neighbourhoods of negative cosines do not turn the order round."""


@dataclass(frozen=True)
class BitextSettings:
    """How two texts are compared."""

    scoring: Literal["cosine", "margin"] = "cosine"
    """cosine, or margin: the cosine over the mean cosine of both texts to their nearest neighbours."""
    k: int = 4
    """Neighbours of each text that the margin is taken over, >= 1 (paper: 4)."""
    source_domain: str | None = None
    """Domain of the sources, for a model that has domains: their language, say."""
    target_domain: str | None = None
    """Domain of the targets."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}; at least 1 is accepted, as 4.")


def open_bitext(data: Any, *, rename: Mapping[str, str] | None = None, bad_rows: BadRows = "error") -> Table:
    """Open texts with their translations.

    Args:
        data: Rows of ``source`` and ``target`` in anything that ``open_table`` reads.
        rename: The file's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".

    Raises:
        InputError: A row is bad, or a side has only one text.
    """
    table = open_table(data, columns=BITEXT_COLUMNS, rename=rename, bad_rows=bad_rows)
    for side in ("source", "target"):
        texts = table.column(side).to_pylist()
        if len(set(texts)) < 2:
            raise InputError(
                f"{table.name}: all {len(texts)} rows have the same {side} ({texts[0][:40]!r}), so there is nothing to "
                "choose from; at least 2 different texts are needed."
            )
    return table


def bitext(
    embedder: Embedder,
    data: Table,
    *,
    scoring: Literal["cosine", "margin"] = BitextSettings.scoring,
    k: int = BitextSettings.k,
    source_domain: str | None = None,
    target_domain: str | None = None,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Look each text's translation up among all texts of the other side.

    With ``scoring="margin"`` the score of x and y is the ratio margin ``cos(x, y) / (mean_z cos(x, z) / 2 + mean_z
    cos(y, z) / 2)`` with means over the k nearest neighbours of x among the targets and of y among the sources; it
    takes back texts that are near to everything. It is compared with all texts, not with k candidates only.

    A text that occurs several times is one candidate. What is found is right where *some* row pairs the two texts, so
    equal texts count as right. Texts at equal score rank in the order of the rows.

    Args:
        embedder: The model; both sides are encoded with no role.
        data: Rows of ``source`` and ``target`` (:func:`open_bitext`).
        scoring: "cosine" or "margin".
        k: Neighbours the margin is taken over; at most the texts there are.
        source_domain: Domain for which sources are encoded, of a model that has domains; None: none is said.
        target_domain: The same for targets.
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals over rows; 0: no intervals.
        seed: Seed of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``source_to_target`` and ``target_to_source`` (share of the rows whose text finds its translation), ``accuracy``
        (their mean, the one to quote), and ``f1`` of the pairs that choose each other: precision is the share of such
        pairs that are right, recall the share of rows with a right one. All in [0, 1].

    Raises:
        InputError: A vector is zero or not finite, or the model has no such domain.

    Cost: O((N + M) D + N k) memory, O(N M D) time.
    Source: Artetxe and Schwenk 2019, arXiv 1811.01136, eq. 1 and section 3.2 (ratio margin, k = 4; pairs that choose
    each other are its "intersection").
    """
    build_settings(BitextSettings, {"scoring": scoring, "k": k}, of="bitext")
    domains = {"source_domain": source_domain, "target_domain": target_domain}
    source, target = (data.column(side).to_pylist() for side in ("source", "target"))
    sources, targets = (list(dict.fromkeys(texts)) for texts in (source, target))
    x, y = (
        unit_vectors(
            _of_domain(embedder, domain),
            texts,
            name=data.name,
            batch_size=batch_size,
            precision=precision,
            progress=progress,
        )
        for texts, domain in ((sources, source_domain), (targets, target_domain))
    )
    forward, backward = _best(x, y, scoring, k)
    place_x, place_y = ({text: i for i, text in enumerate(texts)} for texts in (sources, targets))
    pairs = {(place_x[one], place_y[other]) for one, other in zip(source, target, strict=True)}
    there = np.array([(place_x[text], forward[place_x[text]]) in pairs for text in source], dtype=np.float64)
    back = np.array([(backward[place_y[text]], place_y[text]) in pairs for text in target], dtype=np.float64)
    mutual = np.array([backward[forward[place_x[text]]] == place_x[text] for text in source], dtype=np.float64)
    per_item = {"accuracy": (there + back) / 2, "source_to_target": there, "target_to_source": back}
    means = np.stack(list(per_item.values()), axis=1)

    def statistic(counts: Floats) -> Floats:
        f1 = 2 * (counts @ (there * mutual)) / (counts @ mutual + len(means))  # 2 right / (chosen + wanted)
        return np.concatenate([counts @ means / len(means), f1[:, None]], axis=1)

    return Result.of(
        "bitext",
        embedder,
        data,
        settings={
            "scoring": scoring,
            **({"k": k} if scoring == "margin" else {}),
            **domains,
        },
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        **vars(measured(statistic, BITEXT_METRICS, len(means), bootstrap, seed)),
        per_item=per_item,
        num_items=len(means),
        items="rows",
    )


def _of_domain(embedder: Embedder, domain: str | None) -> Embedder:
    if domain is None:
        return embedder
    if not isinstance(embedder, HasDomains):
        raise InputError(f"{embedder.name} has no domains; leave the domain '{domain}' out.")
    return embedder.for_domain(domain)


def _best(x: Tensor, y: Tensor, scoring: str, k: int) -> tuple[list[int], list[int]]:
    """Return the best row of ``y`` for every row of ``x``, and the other way round."""
    if scoring == "cosine":
        forward, backward = pairwise.topk(x, y, 1)[1], pairwise.topk(y, x, 1)[1]
    else:
        near_x = pairwise.topk(x, y, min(k, len(y)))[0].mean(dim=1) / 2
        near_y = pairwise.topk(y, x, min(k, len(x)))[0].mean(dim=1) / 2

        def margin(cosine: Tensor, row: pairwise.Side, column: pairwise.Side) -> Tensor:
            return cosine / (row[0] + column[0]).clamp(min=_SMALLEST_MARGIN)

        forward = pairwise.topk(x, y, 1, score_mod=margin, rows=(near_x,), columns=(near_y,))[1]
        backward = pairwise.topk(y, x, 1, score_mod=margin, rows=(near_y,), columns=(near_x,))[1]
    return forward[:, 0].tolist(), backward[:, 0].tolist()


DEFINITION = Definition(
    columns=BITEXT_COLUMNS, metrics=BITEXT_METRICS, open=open_bitext, measure=bitext, settings=BitextSettings
)
