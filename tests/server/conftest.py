from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import RunningServer, running_server


@pytest.fixture(scope="session")
def server(packed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server over ``packed_home``, shared by all tests of a worker: they leave its store and settings alone."""
    with running_server(packed_home, tmp_path_factory.mktemp("server") / "log") as running:
        yield running
