"""Labelled texts whose vectors are known: the text itself is its vector."""

import json

import numpy as np

from evaluation.rule_embedder import RuleEmbedder


def vector_texts(vectors):
    """Texts that :func:`reader` turns back into the vectors."""
    return [json.dumps([round(float(x), 6) for x in vector]) for vector in vectors]


def reader(dim):
    """An embedder that reads the vector a text holds."""
    return RuleEmbedder(dim, json.loads)


def blobs(seed, rows, classes=3, dim=4, spread=1.0):
    """Vectors around a centre for each class, and their labels."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, dim)) * 2
    labels = np.arange(rows) % classes
    return centres[labels] + random.normal(size=(rows, dim)) * spread, labels


def labelled_rows(vectors, labels):
    """Rows of text and label."""
    return [{"text": text, "label": f"c{label}"} for text, label in zip(vector_texts(vectors), labels, strict=True)]


def unit(vectors):
    """Vectors of unit norm."""
    vectors = np.round(np.asarray(vectors, dtype=float), 6).astype(np.float32).astype(float)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def drawn_items(num_items, replicates, *seed):
    """The items of each bootstrap replicate."""
    random = np.random.default_rng(seed)
    return [random.integers(0, num_items, num_items) for _ in range(replicates)]
