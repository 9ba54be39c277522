"""Clustering: how well clusters that are found without labels agree with the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from likewise.data import Table, open_table
from likewise.data.checking import BadRows
from likewise.data.split_data import LABELLED_COLUMNS, input_keys, input_noun, inputs_of
from likewise.errors import InputError
from likewise.evaluation.bootstrap import Floats, Statistic, measured
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.evaluation.vectors import class_numbers, unit_vectors

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["CLUSTERING_METRICS", "DEFINITION", "agreement_statistic", "clustering", "open_labelled"]

CLUSTERING_METRICS = ("v_measure", "ari", "nmi")
"""What is measured, the one to quote first."""

WHOLE_UP_TO = 50_000
"""Rows up to which k-means sees all of them in each step; above it sees random parts (MiniBatchKMeans)."""

STARTS = 10
"""Starts of k-means, of which the best is kept."""

Ints = NDArray[np.int64]


def open_labelled(data: Any, *, rename: Mapping[str, str] | None = None, bad_rows: BadRows = "error") -> Table:
    """Open texts with labels.

    Args:
        data: Rows of ``text`` and ``label`` in anything that ``open_table`` reads.
        rename: The file's name of a column by ours, where they differ.
        bad_rows: "error" or "skip".

    Raises:
        InputError: A row is bad, or there is one class only.
    """
    table = open_table(data, columns=LABELLED_COLUMNS, rename=rename, bad_rows=bad_rows)
    labels = set(table.column("label").to_pylist())
    if len(labels) < 2:
        raise InputError(
            f"{table.name}: all {len(table)} rows have the label '{labels.pop()}'; at least 2 classes are needed. "
            "Check the column 'label'."
        )
    return table


def clustering(
    embedder: Embedder,
    data: Table,
    *,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Put the unit vectors into as many clusters as there are labels with k-means, and compare the two.

    Args:
        embedder: The model; texts are encoded with no role.
        data: Texts with labels (:func:`open_labelled`).
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Replicates for the 95 % intervals; items are drawn with the cluster they have, the clusters stay. 0:
            no intervals.
        seed: Seed of the starts of k-means and of the replicates.
        progress: Show progress on stderr while encoding.

    Returns:
        ``v_measure`` (the one to quote; harmonic mean of homogeneity and completeness, in [0, 1]), ``ari`` (adjusted
        Rand index, in [-0.5, 1], 0 for clusters at random) and ``nmi`` (mutual information over the *geometric* mean of
        the entropies, in [0, 1]; over the arithmetic mean it would be the V-measure once more).

    Raises:
        InputError: No label has two rows, there are fewer different vectors than labels, or a vector is zero or not
            finite.

    Source: Rosenberg and Hirschberg 2007 (V-measure); Hubert and Arabie 1985 (ARI); Strehl and Ghosh 2002, JMLR 3
    (NMI); Muennighoff et al. 2023, MTEB, arXiv 2210.07316 (k-means into as many clusters as labels, V-measure).
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    texts, labels = inputs_of(data), data.values("label")
    keys = input_keys(texts)
    classes = sorted(set(labels))
    if len(classes) == len(labels):
        raise InputError(
            f"{data.name}: each of the {len(labels)} labels has one row, so there is nothing to put together; at least "
            "one label with 2 rows is needed. Check the column 'label'."
        )
    vectors = unit_vectors(
        embedder, texts, name=data.name, batch_size=batch_size, precision=precision, progress=progress
    ).numpy()
    distinct = len(np.unique(vectors.astype(np.float32), axis=0))
    if distinct < len(classes):
        raise InputError(
            f"{data.name}: there are {distinct} different vectors for {len(classes)} labels; at least as many vectors "
            "as labels are needed. Give more different texts, or look at the geometry of the space."
        )
    whole = len(texts) <= WHOLE_UP_TO
    algorithm = KMeans if whole else MiniBatchKMeans
    order = sorted(range(len(texts)), key=lambda i: (keys[i], labels[i]))  # the order of the rows does not matter
    found = np.empty(len(texts), dtype=np.int64)
    found[order] = algorithm(len(classes), n_init=STARTS, random_state=seed).fit_predict(vectors[order])
    statistic = agreement_statistic(np.array(class_numbers(labels, classes)), found)
    return Result.of(
        "clustering",
        embedder,
        data,
        settings={"clusters": len(classes), "algorithm": algorithm.__name__, "starts": STARTS},
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        **vars(measured(statistic, CLUSTERING_METRICS, len(texts), bootstrap, seed)),
        num_items=len(texts),
        items=input_noun(data),
    )


def agreement_statistic(labels: Ints, clusters: Ints) -> Statistic:
    """Return V-measure, adjusted Rand index and normalised mutual information as a statistic ``[n, 3]``.

    Args:
        labels: Number of each item's label, ``[items]``.
        clusters: Number of each item's cluster.
    """
    from scipy import sparse

    pairs, cell = np.unique(np.stack([labels, clusters]), axis=1, return_inverse=True)
    cell = cell.ravel()
    in_cell = sparse.csr_array((np.ones(len(labels)), (np.arange(len(labels)), cell)))
    of_label, of_cluster = (
        sparse.csr_array((np.ones(pairs.shape[1]), (np.arange(pairs.shape[1]), side))) for side in pairs
    )

    def statistic(counts: Floats) -> Floats:
        both = counts @ in_cell  # [n, cells]: how many drawn items have this label and this cluster
        return _agreement(both, both @ of_label, both @ of_cluster)

    return statistic


def _agreement(both: Floats, labels: Floats, clusters: Floats) -> Floats:
    total = both.sum(axis=1)

    def entropy(counts: Floats) -> Floats:
        share = counts / total[:, None]
        found: Floats = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
        return found

    def ratio(above: Floats, below: Floats, otherwise: float) -> Floats:
        return np.where(below > 1e-15, above / np.where(below > 1e-15, below, 1.0), otherwise)

    def pairs(counts: Floats) -> Floats:
        found: Floats = (counts * (counts - 1) / 2).sum(axis=1)
        return found

    label_entropy, cluster_entropy = entropy(labels), entropy(clusters)
    mutual = np.maximum(label_entropy + cluster_entropy - entropy(both), 0.0)
    homogeneity, completeness = ratio(mutual, label_entropy, 1.0), ratio(mutual, cluster_entropy, 1.0)
    v_measure = ratio(2 * homogeneity * completeness, homogeneity + completeness, 0.0)
    neither = (label_entropy <= 1e-15) & (cluster_entropy <= 1e-15)
    nmi = np.where(neither, 1.0, ratio(mutual, np.sqrt(label_entropy * cluster_entropy), 0.0))
    of_labels, of_clusters = pairs(labels), pairs(clusters)
    expected = of_labels * of_clusters / np.maximum(total * (total - 1) / 2, 1.0)
    ari = ratio(pairs(both) - expected, (of_labels + of_clusters) / 2 - expected, 1.0)
    return np.stack([v_measure, ari, np.minimum(nmi, 1.0)], axis=1)


DEFINITION = Definition(columns=LABELLED_COLUMNS, metrics=CLUSTERING_METRICS, open=open_labelled, measure=clustering)
