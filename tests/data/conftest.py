"""A cache of its own for every test, and files made on the spot."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from likewise.data.assets import WORDNET_31, fetch
from likewise.data.wordnet import ReverseDictionary, parse_wordnet, without_names

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LIKEWISE_CACHE", str(folder))
    return folder


@pytest.fixture
def write(tmp_path) -> Callable[[str, str | bytes], Path]:
    """Write a file into the test's folder."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.fixture(scope="session")
def real_wordnet() -> ReverseDictionary:
    """WordNet 3.1 without names: from the installed package or the cache; fetched where neither has it."""
    return ReverseDictionary(without_names(parse_wordnet(fetch(WORDNET_31))))
