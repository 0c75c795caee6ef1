from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server_process import RunningServer, running_server


@pytest.fixture
def own_server(own_home: Path, tmp_path: Path) -> Iterator[RunningServer]:
    """A server over ``own_home``."""
    with running_server(own_home, tmp_path / "log") as running:
        yield running
