"""A small index of rows whose vectors are known."""

import pytest

from evaluation.rule_embedder import random_embedder
from likewise.search import Index

ROWS = [
    {"id": "a1", "text": "a small house for a dog", "year": 1990, "topic": "animals"},
    {"id": "a2", "text": "the dogs of the neighbours bark", "year": 2005, "topic": "animals"},
    {"id": "b1", "text": "bread is baked in the morning", "year": 2010, "topic": "food"},
    {"id": "b2", "text": "fish swim in the aquarium", "year": 2015, "topic": "animals"},
    {"id": "c1", "text": "the library lends books", "year": 2020, "topic": "books"},
]


@pytest.fixture
def rows():
    """Five rows with ids and metadata."""
    return [dict(row) for row in ROWS]


@pytest.fixture
def embedder():
    """Gives each text a random direction of its own."""
    return random_embedder()


@pytest.fixture
def index(tmp_path, embedder, rows):
    """An index of the five rows."""
    return Index.create(tmp_path / "index", embedder, rows)
