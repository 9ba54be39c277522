"""Embedders whose vectors are known."""

import pytest

from evaluation.rule_embedder import RuleEmbedder, random_embedder


@pytest.fixture
def by_rule():
    """Make an embedder from a rule ``text -> vector``."""
    return RuleEmbedder


@pytest.fixture(name="random_embedder")
def _random_embedder():
    return random_embedder()
