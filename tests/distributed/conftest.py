"""Real processes, started once for all tests."""

from collections.abc import Iterator

import pytest

from processes import Processes


@pytest.fixture(scope="session")
def processes(tmp_path_factory) -> Iterator[Processes]:
    pool = Processes(tmp_path_factory.mktemp("processes"))
    yield pool
    pool.stop()
